"""Small changes from the head of the page: stage, owner, team, and what a customer is known by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from zhike.access.masking import field_of, rules_of
from zhike.customers.field import STAFF, Field
from zhike.customers.identifying import identifying
from zhike.customers.identities import LABELS, STRONG
from zhike.customers.said import Said, pairs_of, require_nameable
from zhike.customers.write import change
from zhike.errors import NotFound
from zhike.i18n import Text, text
from zhike.pages.customer import inputs
from zhike.pages.customer.editing import REFUSED, opened, status_of, write
from zhike.pages.customer.profile import Fact
from zhike.ui import FormError, Html, PageCall, Redirect, asked
from zhike.ui.forms import Form, Shown, decode
from zhike.ui.submitting import about

if TYPE_CHECKING:
    from zhike.customers.dossier import Dossier
    from zhike.work import Work

_TITLES = {"stage": text("Change the stage"), "owner": text("Change the owner"), "team": text("Change the team")}


class NewIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for to add an identity.

    Args:
        namespace: What it is.
        value: It.
    """

    namespace: Annotated[str, asked("Kind", max_length=50)] = "phone"
    value: Annotated[str, asked("Value", min_length=1, max_length=1_000)]


async def ask(call: PageCall) -> Html:
    """Ask for the new stage, owner or team."""
    name, dossier = _name(call), await opened(call)
    return await _dialog(call, dossier, _shown(call, dossier, name))


async def save(call: PageCall) -> Html | Redirect:
    """Change it."""
    name, dossier = _name(call), await opened(call)
    typed = call.field(name).strip()
    fields = {name: call.host.platform.customer_fields.known.get(name) or Field(key=name, built_in=True)}
    try:
        await write(call, dossier, {name: typed}, fields)
    except (*REFUSED, msgspec.ValidationError) as error:
        wrong = text("This does not fit") if isinstance(error, msgspec.ValidationError) else about(error)[1]
        status = 422 if isinstance(error, msgspec.ValidationError) else status_of(error)
        return await _dialog(call, dossier, _shown(call, dossier, name, typed, wrong), status)
    return call.redirect(f"/customers/{dossier.customer.id}", toast=text("Saved"))


async def ask_identity(call: PageCall) -> Html:
    """Ask for an identity that the customer is to get."""
    return await _identity(call, await opened(call), Form(NewIdentity))


async def add_identity(call: PageCall) -> Html | Redirect:
    """Give the customer an identity."""
    dossier = await opened(call)
    try:
        new = decode(NewIdentity, call.form)
    except FormError as error:
        return await _identity(call, dossier, error.form, 422)
    try:
        await _identify(call, dossier, add={new.namespace: new.value})
    except REFUSED as error:
        return await _identity(call, dossier, Form(NewIdentity, new, {"value": about(error)[1]}), status_of(error))
    return call.redirect(f"/customers/{dossier.customer.id}", toast=text("The identity is added"))


async def remove_identity(call: PageCall) -> Redirect:
    """Take an identity from the customer."""
    dossier = await opened(call)
    await _identify(call, dossier, remove={call.field("namespace"): call.field("value")})
    return call.redirect(f"/customers/{dossier.customer.id}", toast=text("The identity is removed"))


async def _identify(
    call: PageCall, dossier: Dossier, add: dict[str, str] | None = None, remove: dict[str, str] | None = None
) -> None:
    added, removed = pairs_of(add or {}, "identities"), pairs_of(remove or {}, "identities")
    require_nameable(call.actor, [*added, *removed])
    said = Said({}, {}, STAFF)

    async def written(work: Work) -> int:
        return await change(work, call.actor, dossier.customer.id, said, add=added, remove=removed)

    await identifying(call, [*added, *removed], written)


def _name(call: PageCall) -> str:
    name = call.path["field"]
    if name not in _TITLES or name in rules_of(call.actor):
        raise NotFound(text("There is no field {key}", key=name))
    return name


def _shown(call: PageCall, dossier: Dossier, name: str, typed: str | None = None, error: Text | None = None) -> Shown:
    value = getattr(dossier.customer, name)
    holds = ("" if value is None else str(value)) if typed is None else typed
    if name in inputs.OWN:
        return inputs.own(call, name, holds, error)
    field = call.host.platform.customer_fields.known.get(name) or Field(key=name, built_in=True)
    return inputs.element(call, Fact(name, field, value, False, None), holds, error)


async def _dialog(call: PageCall, dossier: Dossier, shown: Shown, status: int = 200) -> Html:
    return await call.render(
        "customer/quick.html", status=status, title=_TITLES[shown.name], shown=shown, customer_id=dossier.customer.id
    )


async def _identity(call: PageCall, dossier: Dossier, form: Form, status: int = 200) -> Html:
    known = [*STRONG, *(each for each in dossier.customer.identities if each not in STRONG)]
    rules = rules_of(call.actor)
    options = [(each, LABELS.get(each, each)) for each in known if field_of(each) not in rules or each == "phone"]
    return await call.render(
        "customer/identity.html", status=status, form=form, options=options, customer_id=dossier.customer.id
    )
