"""One field of customers: making it, changing it, and what that would do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from zhike.conditions.standing.rules import asking
from zhike.customers import defining, layout
from zhike.customers.field import STAFF, Field
from zhike.customers.field_use import use
from zhike.desk import views
from zhike.errors import BadRequest, Conflict, Forbidden, NotFound
from zhike.i18n import Text, text
from zhike.money import EXPONENTS
from zhike.pages.model.shapes import SEALABLE, TYPES, as_change, as_new, chooses, known, shaped, told, typed
from zhike.ui import Html, PageCall, Redirect, formats

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zhike.customers.field_use import FieldUse

_CURRENCIES = ("CNY", "USD", "EUR", "HKD", "JPY", "GBP")


class FieldQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The address of a field.

    Args:
        key: Which field; "" for one that is to be made.
        group: The heading that a new one is to stand under.
    """

    key: Annotated[str, Meta(max_length=200)] = ""
    group: Annotated[str, Meta(max_length=200)] = ""


async def show(call: PageCall, query: FieldQuery) -> Html:
    """Show the form of a field."""
    stored = await _stored(call, query.key)
    return await _page(call, stored or Field(key="", group=query.group), stored)


async def shape(call: PageCall) -> Html:
    """Draw the form again, as its type asks for it, with a choice or source more or less; nothing is saved."""
    stored = await _stored(call, call.field("stored"))
    field = shaped(typed(call, stored), call.field("do"))
    concern = None
    if stored is not None and not stored.built_in and field.type != stored.type:
        concern = await use(call.db, call.actor, stored)
    return await _page(call, field, stored, concern=concern, focus=call.field("do"))


async def preview(call: PageCall) -> Html:
    """Draw the field as it would be asked for."""
    field = typed(call, await _stored(call, call.field("stored")))
    return await call.render("model/field_preview.html", field=field)


async def usage(call: PageCall, query: FieldQuery) -> Html:
    """Say how many customers have a value, and which saved views and rules look at it."""
    field = await _stored(call, query.key)
    if field is None:
        raise NotFound(text("There is no field {key}", key=query.key))
    found = await use(call.db, call.actor, field, choices=True)
    return await call.render(
        "model/field_use.html",
        field=field,
        use=found,
        choices={each.key: each.label or each.key for each in field.choices},
        used=await _used(call, field),
    )


async def _used(call: PageCall, field: Field) -> list[str]:
    """Return the saved views and rules that look at a field, in the reader's language."""
    name = f"customer.{field.key}" if field.built_in else f"customer.attributes.{field.key}"
    seen = await views.list_(call.db, call.actor, "customers") if call.user_id is not None else []
    found: list[tuple[Text | str, str]] = [
        (text("View"), view.name)
        for view in seen
        if field.key in view.query or f'{name}"' in str(view.query.get("condition"))
    ]
    found += [(label, each) for label, names in await asking(call.host.platform, name) for each in names]
    return [text("{label}: {value}", label=label, value=value).render(call.locale) for label, value in found]


async def save(call: PageCall) -> Html | Redirect:
    """Make the field, or change it."""
    stored = await _stored(call, call.field("stored"))
    field = typed(call, stored)
    platform, actor = call.host.platform, call.actor
    version = call.field("version")
    errors: dict[str, Text] = {} if field.label else {"label": text("This is needed")}
    if field.type == "money" and field.currency not in {None, *EXPONENTS}:
        errors["currency"] = text("An ISO 4217 code such as CNY is expected")
    if errors and not (stored and stored.built_in and "label" in errors):
        return await _page(call, field, stored, errors=errors, status=422)
    try:
        if stored is None:
            last = max((each.position for each in platform.customer_fields.known.values()), default=0)
            await defining.create(platform, actor, as_new(replace(field, position=last + 1)))
        else:
            number = int(version) if version.isascii() and version.isdigit() and len(version) < 10 else stored.version
            await defining.change(platform, actor, stored.key, as_change(field, stored, number))
    except msgspec.ValidationError:
        return await _page(call, field, stored, problem=text("Something in it is too long"), status=422)
    except Conflict as error:
        if error.code == "version" and stored is not None:
            return await _page(call, field, stored, problem=error.message, now=stored, status=409)
        beside, problem = told(error)
        return await _page(call, field, stored, errors=beside, problem=problem, status=409)
    except (BadRequest, Forbidden) as error:
        beside, problem = told(error)
        return await _page(call, field, stored, errors=beside, problem=problem, status=422)
    return call.redirect("/settings/fields", toast=text("{label} is saved", label=field.shown))


async def _stored(call: PageCall, key: str) -> Field | None:
    if not key:
        return None
    fields = known((await call.host.platform.customer_fields.renew(now=True)).known)
    if key not in fields:
        raise NotFound(text("There is no field {key}", key=key))
    return fields[key]


async def _page(
    call: PageCall,
    field: Field,
    stored: Field | None,
    *,
    errors: Mapping[str, Text] | None = None,
    problem: Text | None = None,
    now: Field | None = None,
    concern: FieldUse | None = None,
    focus: str = "",
    status: int = 200,
) -> Html:
    """Draw the form.

    Args:
        call: The request.
        field: As it was typed.
        stored: As it is stored.
        errors: What is wrong, by field of the form.
        problem: What is wrong with all of it.
        now: What somebody else has saved meanwhile.
        concern: Whom a change of the type would concern.
        focus: The button that was pressed.
        status: HTTP status.
    """
    platform = call.host.platform
    fields = platform.customer_fields.known
    groups = (await layout.get(platform)).groups
    sources = {STAFF, *(source for each in fields.values() for source in each.sources)}
    currencies = dict.fromkeys(
        [platform.settings.currency, *_CURRENCIES, *([field.currency] if field.currency else [])]
    )
    return await call.render(
        "model/field.html",
        fragment="shape",
        status=status,
        field=field,
        stored=stored,
        types=list(TYPES.items()),
        groups=[(each.key, each.label) for each in groups],
        currencies=[(each, each) for each in currencies],
        sources=sorted(sources - set(field.sources)),
        staff=STAFF,
        chooses=chooses(field),
        sealable=field.type in SEALABLE and not field.built_in,
        errors=dict(errors or {}),
        problem=problem,
        differences=_differences(field, now) if now else [],
        concern=concern,
        focus=focus,
        used=await _used(call, stored) if stored is not None else [],
    )


def _differences(mine: Field, theirs: Field) -> list[tuple[Text, Any]]:
    """Return what somebody else has said of a field that the form says otherwise."""
    found: list[tuple[Text, Any, Any]] = [
        (text("Name of the field"), mine.label, theirs.label),
        (text("Type"), TYPES[mine.type], TYPES[theirs.type]),
        (text("Help"), mine.help, theirs.help),
        (text("Choices"), _listed(mine), _listed(theirs)),
        (text("Trusted sources"), formats.listed(mine.sources), formats.listed(theirs.sources)),
    ]
    return [(label, there) for label, here, there in found if here != there]


def _listed(field: Field) -> Text:
    return formats.listed(each.label or each.key for each in field.choices)
