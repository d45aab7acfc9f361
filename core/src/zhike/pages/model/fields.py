"""The fields of customers as one builds them: headings and fields in their order, beside the form they make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from zhike.customers import defining, layout
from zhike.customers.field_schemas import FieldChange
from zhike.customers.layout import Group, Layout
from zhike.errors import BadRequest, Conflict, NotFound
from zhike.i18n import Text, text
from zhike.pages.model.shapes import ICONS, TYPES, known
from zhike.ui import Html, PageCall, Redirect

if TYPE_CHECKING:
    from zhike.customers.field import Field

_GROUP, _FIELD = "group:", "field:"


class GroupQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The address of the dialog of a heading.

    Args:
        key: Which one; "" for another one.
    """

    key: Annotated[str, Meta(max_length=200)] = ""


async def show(call: PageCall) -> Html:
    """Show all fields in their order."""
    return await _page(call, await layout.get(call.host.platform))


async def arrange(call: PageCall) -> Html:
    """Put fields and headings into the order that the page has now."""
    platform = call.host.platform
    now = await layout.get(platform)
    labels = {group.key: group.label for group in now.groups}
    groups: dict[str, list[str]] = {"": []}
    at = ""
    for each in call.form.get("layout", []):
        if each.startswith(_GROUP):
            at = each.removeprefix(_GROUP)
            groups.setdefault(at, [])
        elif each.startswith(_FIELD):
            groups[at].append(each.removeprefix(_FIELD))
    wanted = {
        "version": call.field("version"),
        "groups": [{"key": key, "label": labels.get(key, key), "fields": each} for key, each in groups.items() if key],
        "ungrouped": groups[""],
    }
    try:
        after = await layout.arrange(platform, call.actor, msgspec.convert(wanted, Layout))
    except msgspec.ValidationError:
        raise BadRequest(text("The form is not readable; open it again")) from None
    except (Conflict, NotFound) as error:
        return await _page(call, now, problem=error.message, status=409)
    call.toast(text("The order is saved"))
    return await _page(call, after)


async def ask_group(call: PageCall, query: GroupQuery) -> Html:
    """Ask for the name of a heading."""
    now = await layout.get(call.host.platform)
    group = next((each for each in now.groups if each.key == query.key), None)
    if query.key and group is None:
        raise NotFound(text("There is no heading {key}", key=query.key))
    return await _group_dialog(call, now, group, group.label if group else "")


async def save_group(call: PageCall) -> Html | Redirect:
    """Make a heading, call it otherwise, or take it away; its fields then stand under none."""
    now = await layout.get(call.host.platform)
    key, label = call.field("key"), call.field("label").strip()
    group = next((each for each in now.groups if each.key == key), None) if key else None
    groups = list(now.groups)
    ungrouped = now.ungrouped
    done = text("The heading {label} is saved", label=label)
    if call.field("remove") and group is not None:
        groups.remove(group)
        ungrouped = [*ungrouped, *group.fields]
        done = text("The heading {label} is gone; its fields stay", label=group.label)
    elif not label:
        return await _group_dialog(call, now, group, label, text("This is needed"), 422)
    elif any(label in {each.label, each.key} for each in groups if each is not group):
        return await _group_dialog(call, now, group, label, text("There is a heading of this name"), 422)
    elif group is not None:
        groups[groups.index(group)] = msgspec.structs.replace(group, label=label)
    else:
        groups.append(Group(key=label, label=label))
    wanted = {"version": call.field("version"), "groups": msgspec.to_builtins(groups), "ungrouped": ungrouped}
    try:
        await layout.arrange(call.host.platform, call.actor, msgspec.convert(wanted, Layout))
    except msgspec.ValidationError:
        return await _group_dialog(call, now, group, label, text("At most {n} characters", n=200), 422)
    except BadRequest as error:
        return await _group_dialog(call, now, group, label, error.message, 422)
    except Conflict as error:
        return await _group_dialog(call, now, group, label, error.message, 409)
    return call.redirect("/settings/fields", toast=done)


async def archive(call: PageCall) -> Redirect:
    """Take a field out of use, or into it again."""
    key, gone = call.field("key"), bool(call.field("archived"))
    field = await defining.change(call.host.platform, call.actor, key, FieldChange(archived=gone))
    label = field.shown
    told = text("{label} is archived; its values stay", label=label) if gone else text("{label} is back", label=label)
    return call.redirect("/settings/fields", toast=told)


async def _group_dialog(
    call: PageCall, now: Layout, group: Group | None, label: str, problem: Text | None = None, status: int = 200
) -> Html:
    return await call.render(
        "model/group.html", status=status, version=now.version, group=group, label=label, problem=problem
    )


async def _page(call: PageCall, now: Layout, *, problem: Text | None = None, status: int = 200) -> Html:
    fields = known((await call.host.platform.customer_fields.renew(now=True)).known)
    return await call.render(
        "model/fields.html",
        fragment="preview",
        status=status,
        version=now.version,
        groups=[("", None, _of(now.ungrouped, fields)), *((g.key, g.label, _of(g.fields, fields)) for g in now.groups)],
        archived=[field for field in fields.values() if field.archived],
        types=TYPES,
        icons=ICONS,
        problem=problem,
    )


def _of(keys: list[str], fields: dict[str, Field]) -> dict[str, list[Any]]:
    """Return fields by their keys, those in use apart from those that are archived."""
    found = [fields[key] for key in keys if key in fields]
    return {
        "used": [each for each in found if not each.archived],
        "archived": [each for each in found if each.archived],
    }
