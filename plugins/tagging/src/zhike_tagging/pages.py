"""The pages of tagging: all groups, the page of a tag, the forms of both, and a customer's tags."""

import secrets
from functools import partial
from typing import Annotated, Any

import msgspec

from zhike.access.scope import visible_ids
from zhike.conditions.standing.figures import by_day, counts
from zhike.conditions.words import Said, describe, duration
from zhike.contracts import Choosable, NavItem, PageRoute, Panel, Picker
from zhike.customers import service as customers
from zhike.i18n import text
from zhike.serving import working, written
from zhike.ui import Form, Html, PageCall, Redirect, submit
from zhike.ui.tables import Filter, Table, TableColumn
from zhike_tagging import actions, service
from zhike_tagging.actions import ASSIGN, MANAGE, READ
from zhike_tagging.conditions import MEMBERS
from zhike_tagging.schemas import Adopt, Assign, Group, GroupChange, NewGroup, NewTag, Past, Tag, TagChange, Tags

# Tags of a group on the page of all groups, and of all together, a few of each; the rest is a list of its own.
MOST_TAGS, MOST_SHOWN = 30, 1_000
# Has a function of the service make or change one of the two.
_written = partial(written, plugin="tagging")
_GROUPS = "SELECT * FROM tagging_group ORDER BY archived_at IS NOT NULL, position, id"
_FIRST_TAGS = "SELECT * FROM tagging_placed WHERE place <= $1 AND live ORDER BY place, id LIMIT $2"
_PICKED = """
SELECT name, group_name FROM tagging_listed
WHERE live AND CASE WHEN $1 ~ '^=' THEN name = substr($1, 2) ELSE strpos(lower(name), lower($1)) > 0 END
ORDER BY group_position, position, id LIMIT $2
"""
_COLUMNS = {"name": text("Tag"), "group": text("Group"), "given": text("Given")}


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """The address of a page.

    Args:
        counted: Whether to count customers: the page is drawn at once, and what takes longer comes after it.
        group: The key of the group in which a tag is to be made.
    """

    counted: bool = False
    group: Annotated[str, msgspec.Meta(max_length=50)] = ""


async def overview(call: PageCall, query: Query) -> Html:
    """Show the groups with their first tags, and those that can be adopted."""
    groups = await call.db.fetch(_GROUPS)
    tags = await call.db.fetch(_FIRST_TAGS, MOST_TAGS, MOST_SHOWN)
    known = {group["key"] for group in groups}
    return await call.render(
        "tagging/groups.html",
        fragment="groups",
        groups=groups,
        tags=tags,
        counts=await counts(call, MEMBERS, [tag["id"] for tag in tags], permission=READ) if query.counted else None,
        offered=[(group, tags) for group, tags in service.PRESETS if group.key not in known],
        kinds=dict(Form(NewGroup)["kind"].options),
        describe=partial(_describe, call),
    )


async def adopt(call: PageCall) -> Redirect:
    """Adopt a group that is shipped."""
    async with working(call, "tagging") as work:
        made = await service.adopt(work, call.actor, Adopt(groups=[call.path["group_key"]]))
    names = ", ".join(group.name for group in made.items)
    return call.redirect("/tagging", toast=text("{group} is in use; its rules are being evaluated", group=names))


async def listing(call: PageCall, query: Tags) -> Html:
    """List tags."""
    page = await service.tags(call, query)
    groups = {group["key"]: group for group in await call.db.fetch(_GROUPS)}
    named = [(key, group["name"]) for key, group in groups.items()]
    table = Table(
        id="tags",
        path="/tagging/tags",
        columns=[TableColumn(key=key, label=label, kind="custom") for key, label in _COLUMNS.items()],
        rows=page.items,
        query={"q": query.q, "group": query.group, "archived": "1" if query.archived else ""},
        newer="" if query.cursor else None,
        older=page.next,
        filters=[
            Filter(name="q", label=text("Name of the tag")),
            Filter(name="group", label=text("Group"), kind="select", options=named),
            Filter(name="archived", label=text("Archived"), kind="switch"),
        ],
        empty={"icon": "tags", "title": text("No tag yet"), "text": text("Tags are made in a group.")},
    )
    return await call.render("tagging/tags.html", fragment="list", table=table, groups=groups)


async def show(call: PageCall, query: Query) -> Html:
    """Show a tag: its rule in words, who has it, and how many had it day by day."""
    tag = await service.tag_of(call.db, call.id("tag_id"))
    members, chart = await by_day(call, MEMBERS, tag.id, permission=READ) if query.counted else (0, None)
    return await call.render(
        "tagging/tag.html",
        fragment="members",
        tag=tag,
        group=await service.group_of(call.db, tag.group),
        members=members,
        chart=chart,
        said=_describe(call, tag.condition),
        follow_up=Form(NewTag, tag)["task"],
        lasts=duration(tag.expires) if tag.expires else text("Until somebody takes it"),
    )


async def new_group(call: PageCall, _: Query) -> Html | Redirect:
    """Ask for a group, and make it."""
    return await _ask(call, NewGroup, {"key": f"group_{secrets.token_hex(4)}"}, service.create_group)


async def edit_group(call: PageCall, _: Query) -> Html | Redirect:
    """Ask what a group is to be, and change it."""
    group = await service.group_of(call.db, call.path["group_key"])
    return await _ask(call, NewGroup, group, service.change_group, GroupChange)


async def new_tag(call: PageCall, query: Query) -> Html | Redirect:
    """Ask for a tag, and make it."""
    return await _ask(call, NewTag, {"group": query.group}, service.create_tag)


async def edit_tag(call: PageCall, _: Query) -> Html | Redirect:
    """Ask what a tag is to be, and change it."""
    tag = await service.changeable(call.host.platform, call.actor, call.id("tag_id"))
    return await _ask(call, NewTag, tag, service.change_tag, TagChange)


async def archive(call: PageCall, change: Any, do: Any) -> Redirect:
    """Put a group or a tag out of use, or into use again."""
    stored = await _written(call, do, change(version=call.version, archived=call.field("archived") == "1"))
    return call.redirect(_page(stored), toast=text("Archived") if stored.archived_at else text("In use again"))


async def panel(call: PageCall, customer_id: int) -> dict[str, Any]:
    """Return a customer's tags, with the names of groups."""
    page = await service.assigned(call, Past(limit=200))
    names = {group["key"]: group["name"] for group in await call.db.fetch(_GROUPS)}
    may_assign = bool(await visible_ids(call.db, call.actor, [customer_id], ASSIGN))
    return {"assigned": page.items, "names": names, "may_assign": may_assign}


async def assign(call: PageCall) -> Html:
    """Give a customer a tag, or take one, and show what they have now."""
    customer = await customers.get(call.db, call.actor, call.id("customer_id"), permission=ASSIGN)
    given = Assign(customers=[customer.id], add=call.form.get("add", []), remove=call.form.get("remove", []))
    async with working(call, "tagging") as work:
        await actions.assign(work, call.actor, given)
    return await call.render("tagging/panel.html", customer_id=customer.id, **await panel(call, customer.id))


async def history(call: PageCall) -> Html:
    """Show which tags a customer had, and since when."""
    page = await service.assigned(call, Past(limit=100, history=True))
    return await call.render("tagging/history.html", assigned=page.items)


async def explain(call: PageCall) -> Html:
    """Show why a customer got a tag."""
    why = await service.why(call)
    found = {node.path: node for node in why.explained.nodes} if why.explained is not None else {}
    said = _describe(call, why.condition) if why.condition != service.HIDDEN else None
    group = await service.group_of(call.db, why.assignment.group)
    return await call.render("tagging/why.html", why=why, group=group, said=said, found=found)


async def find(call: PageCall, typed: str, limit: int) -> list[Choosable]:
    """Offer the tags in use, by name."""
    return [Choosable(value=name, label=name, hint=group) for name, group in await call.db.fetch(_PICKED, typed, limit)]


async def _ask(call: PageCall, struct: type[Any], first: Any, do: Any, change: Any = None) -> Html | Redirect:
    """Ask for a group or a tag by a form, and have what was typed written, as a `change` if it is there already."""
    stored = first if change else None

    async def save(typed: msgspec.Struct) -> Redirect:
        made = await _written(call, do, _change(call, change, typed) if change else typed)
        return call.redirect(_page(made), toast=text("{name} is saved", name=made.name))

    async def show(form: Form) -> Html:
        group = await service.group_of(call.db, form["group"].value) if struct is NewTag else None
        named = {"form": form, "stored": stored, "group": group, "describe": partial(_describe, call)}
        return await call.render("tagging/form.html", fragment="form", status=form.status, **named)

    return await submit(call, struct, save, show, first, beside={"circle": "condition"})


def _change(call: PageCall, change: Any, typed: msgspec.Struct) -> Any:
    """Return what was typed as a change of what the form was made from."""
    given = {name: getattr(typed, name) for name in change.__struct_fields__ if hasattr(typed, name)}
    return change(version=call.version, **given)


def _page(stored: Group | Tag) -> str:
    return f"/tagging/tags/{stored.id}" if isinstance(stored, Tag) else "/tagging"


def _describe(call: PageCall, condition: object) -> Said | None:
    """Return a rule in words, as far as the reader may know them."""
    return None if condition is None else describe(call.host.platform, condition, call.host.ui.people, actor=call.actor)


_GROUP, _TAG, _OF = "/tagging/groups/{group_key}", "/tagging/tags/{tag_id}", "/tagging/customers/{customer_id}"
_read, _do = partial(PageRoute, permission=READ), partial(PageRoute, method="POST", permission=MANAGE)
_ASKED = {"/tagging/groups/new": new_group, _GROUP: edit_group, "/tagging/tags/new": new_tag, f"{_TAG}/edit": edit_tag}
_forms = [partial(PageRoute, method=method, permission=MANAGE, query=Query) for method in ("GET", "POST")]
PAGES = (
    _read(path="/tagging", handler=overview, query=Query),
    _do(path="/tagging/presets/{group_key}", handler=adopt),
    _do(path=f"{_GROUP}/archive", handler=partial(archive, change=GroupChange, do=service.change_group)),
    _read(path="/tagging/tags", handler=listing, query=Tags),
    _read(path=_TAG, handler=show, query=Query),
    _do(path=f"{_TAG}/archive", handler=partial(archive, change=TagChange, do=service.change_tag)),
    _do(path=f"{_OF}/tags", handler=assign, permission=ASSIGN),
    _read(path=f"{_OF}/history", handler=history),
    _read(path="/tagging/assignments/{assignment_id}", handler=explain),
    *(form(path=path, handler=asked) for path, asked in _ASKED.items() for form in _forms),
)
_TAGS = text("Tags")
NAV = [
    NavItem(key="tagging.tags", label=_TAGS, icon="tags", path="/tagging", permission=READ, group="customers", order=40)
]
PANELS = [Panel(key="tagging.tags", label=_TAGS, load=panel, template="tagging/panel.html", permission=READ, order=20)]
PICKERS = [Picker(key="tag", find=find, permission=READ)]
