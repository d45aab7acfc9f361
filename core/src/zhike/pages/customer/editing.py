"""Editing a customer: a form made from the definitions, errors beside fields, and what somebody else has changed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from zhike.access.roles import CUSTOMERS_WRITE
from zhike.customers import dossier as dossiers
from zhike.customers.field import BUILT_IN
from zhike.customers.identifying import identifying
from zhike.customers.said import said_of
from zhike.customers.service import not_found
from zhike.customers.write import change, read
from zhike.errors import BadRequest, Conflict, Forbidden, ZhikeError
from zhike.hooks import Rejected
from zhike.i18n import Text, text
from zhike.pages.customer import inputs, profile
from zhike.pages.customer.inputs import Typed
from zhike.pages.customer.page import head
from zhike.ui import Html, PageCall, Redirect, formats

if TYPE_CHECKING:
    from zhike.customers.dossier import Dossier
    from zhike.customers.said import Said
    from zhike.customers.service import Customer
    from zhike.pages.customer.profile import Fact, Group
    from zhike.work import Work

REFUSED = (BadRequest, Conflict, Forbidden, Rejected)
"""What a form is shown again for, with what was typed."""


def status_of(error: ZhikeError) -> int:
    """Return the status of a form that is shown again; pages put no other answer in its place than 409 and 422."""
    return 409 if error.status == 409 else 422


async def opened(call: PageCall) -> Dossier:
    """Return the customer of a form, if the reader may write them.

    Raises:
        NotFound: If there is none whom they may write.
    """
    dossier = await dossiers.get(call.host.platform, call.actor, call.id("customer_id"))
    if CUSTOMERS_WRITE not in dossier.allowed:
        raise not_found(call.id("customer_id"))
    return dossier


async def ask(call: PageCall) -> Html:
    """Ask for the fields."""
    dossier = await opened(call)
    groups = await profile.groups(call, dossier)
    return await _form(call, dossier, groups, _stored(groups))


async def save(call: PageCall) -> Html | Redirect:
    """Write what was changed; what somebody else has changed meanwhile is kept, or shown beside it."""
    dossier = await opened(call)
    groups = await profile.groups(call, dossier)
    facts = [fact for group in groups for fact in group.facts]
    stored, typed = _stored(groups), inputs.typed(call.form, facts)
    if call.field("version") != dossier.customer.updated_at.isoformat():
        conflicts = _merged(call.field("base"), stored, typed, facts)
        if conflicts:
            problem = text("Somebody has changed this customer meanwhile. Look at the marked fields and save again.")
            return await _form(call, dossier, groups, typed, conflicts, problem, 409)
    changes = {name: value for name, value in typed.items() if value != stored[name]}
    if not changes:
        return call.redirect(f"/customers/{dossier.customer.id}", toast=text("Nothing was changed"))
    fields = {fact.name: fact.field for fact in facts}
    if errors := inputs.checked(call, changes, fields):
        return await _form(call, dossier, groups, typed, errors, None, 422)
    try:
        said, customer = await write(call, dossier, changes, fields, if_updated_at=dossier.customer.updated_at)
    except REFUSED as error:
        return await _form(call, dossier, groups, typed, {}, error.message, status_of(error))
    return call.redirect(f"/customers/{customer.id}", toast=_kept(said, customer, fields))


async def write(
    call: PageCall, dossier: Dossier, changes: Typed, fields: Mapping[str, Any], if_updated_at: datetime | None = None
) -> tuple[Said, Customer]:
    """Change a customer, and return what was said and what has become of it.

    Args:
        call: The request.
        dossier: The customer.
        changes: Field to what was typed.
        fields: The definitions.
        if_updated_at: When it must have been changed last.
    """
    said = said_of(call.host.platform, call.actor, inputs.change_of(changes, fields))

    async def written(work: Work) -> Customer:
        changed = await change(work, call.actor, dossier.customer.id, said, if_updated_at=if_updated_at)
        return await read(work, call.actor, changed)

    return said, await identifying(call, [], written)


def _stored(groups: list[Group]) -> Typed:
    return {fact.name: inputs.stored(fact) for group in groups for fact in group.facts}


def _merged(base: str, stored: Typed, typed: Typed, facts: list[Fact]) -> dict[str, Text]:
    """Take over what only somebody else has changed, and return the fields that both have."""
    try:
        before = msgspec.json.decode(base, type=dict[str, str | list[str]])
    except msgspec.DecodeError:
        before = {}
    conflicts = {}
    for fact in facts:
        name = fact.name
        if stored[name] in (before.get(name), typed[name]):
            continue
        if typed[name] == before.get(name):
            typed[name] = stored[name]
        else:
            conflicts[name] = text(
                "Meanwhile somebody has put {value} here", value=inputs.told(fact.field, stored[name])
            )
    return conflicts


def _kept(said: Said, customer: Customer, fields: Mapping[str, Any]) -> Text:
    """Say that it is saved, and which fields keep what a more trusted source says."""
    attributes = msgspec.json.decode(customer.attributes)
    kept = []
    for key, value in said.traits.items():
        name = key if key in BUILT_IN else profile.ATTRIBUTE + key
        now = getattr(customer, key) if key in BUILT_IN else attributes.get(key)
        if not isinstance(value, dict) and now is not None and str(now) != str(value) and fields[name].sources:
            kept.append(str(fields[name].label or key))
    if kept:
        return text("Saved; a more trusted source has spoken of {fields}, which stay", fields=formats.listed(kept))
    return text("Saved")


async def _form(
    call: PageCall,
    dossier: Dossier,
    groups: list[Group],
    typed: Typed,
    errors: Mapping[str, Text] | None = None,
    problem: Text | None = None,
    status: int = 200,
) -> Html:
    wrong = errors or {}
    drawn = [
        (group.label, [inputs.element(call, fact, typed[fact.name], wrong.get(fact.name)) for fact in group.facts])
        for group in groups
    ]
    return await call.render(
        "customer/edit.html",
        fragment="form",
        status=status,
        drawn=drawn,
        problem=problem or (text("Look at the marked fields") if wrong else None),
        base=msgspec.json.encode(_stored(groups)).decode(),
        version=dossier.customer.updated_at.isoformat(),
        **head(call, dossier, "edit"),
    )
