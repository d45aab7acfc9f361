"""What a customer is to others, and they to it: looked at from this customer's side, added and taken away."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import msgspec

from zhike.api import Id
from zhike.customers import dossier as dossiers
from zhike.customers import relating, relations
from zhike.customers.relation_schemas import NewRelation
from zhike.errors import BadRequest, Conflict, NotFound
from zhike.i18n import Text, text
from zhike.pages.customer.editing import opened
from zhike.pages.customer.page import head
from zhike.ui import FormError, Html, PageCall, Redirect, asked
from zhike.ui.forms import Form, decode
from zhike.ui.submitting import refused
from zhike.work import begin

KINDS: dict[str, tuple[Text, Text]] = {
    "employee": (text("Works for"), text("Employs")),
    "contact": (text("Is the contact of"), text("Has as contact")),
    "decision_maker": (text("Decides for"), text("Has as decision maker")),
    "parent_company": (text("Is the parent company of"), text("Belongs to")),
    "family": (text("Is family of"), text("Is family of")),
    "referrer": (text("Has recommended us to"), text("Came by recommendation of")),
}
"""Words for what one is to the other: as it is, and the other way round."""


class RelationForm(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for to note a relation.

    Args:
        kind: What the customer is to the other one; `-` before it turns it round.
        other: The other one.
        title: Such as a job's.
        since: The first day.
        until: The last day.
    """

    kind: Annotated[str, asked("This customer", min_length=1, max_length=51, pattern=r"\A-?[a-z][a-z0-9_]*\Z")]
    other: Annotated[Id, asked("The other one", kind="customer")]
    title: Annotated[str, asked("Job title", placeholder="Head of purchasing", max_length=200)] = ""
    since: Annotated[date | None, asked("Start date")] = None
    until: Annotated[date | None, asked("Until")] = None


async def show(call: PageCall) -> Html:
    """Show the relations of a customer."""
    dossier = await dossiers.get(call.host.platform, call.actor, call.id("customer_id"))
    found = await relations.list_(call.db, call.actor, dossier.customer.id)
    return await call.render(
        "customer/relations.html",
        fragment="list",
        relations=[(each, _word(each.kind, reverse=each.reverse)) for each in found.items],
        **head(call, dossier, "relations"),
    )


async def ask(call: PageCall) -> Html:
    """Ask for a new relation."""
    dossier = await opened(call)
    return await _form(
        call, Form(RelationForm, {"kind": "employee" if dossier.customer.kind == "person" else "parent_company"})
    )


async def add(call: PageCall) -> Html | Redirect:
    """Note a relation."""
    customer_id = call.id("customer_id")
    try:
        typed = decode(RelationForm, call.form)
    except FormError as error:
        return await _form(call, error.form, 422)
    new = NewRelation(
        kind=typed.kind.removeprefix("-"),
        other_customer_id=typed.other,
        reverse=typed.kind.startswith("-"),
        title=typed.title,
        since=typed.since,
        until=typed.until,
    )
    try:
        async with begin(call.host.platform, origin=call.actor.origin) as work:
            await relating.relate(work, call.actor, customer_id, new)
    except (BadRequest, Conflict) as error:
        form = refused(typed, error, {"other_customer_id": "other"})
        return await _form(call, form, form.status)
    return call.redirect(f"/customers/{customer_id}/relations", toast=text("The relation is noted"))


async def remove(call: PageCall) -> Redirect:
    """Take a relation away."""
    customer_id, path = call.id("customer_id"), f"/customers/{call.path['customer_id']}/relations"
    try:
        async with begin(call.host.platform, origin=call.actor.origin) as work:
            await relating.unrelate(work, call.actor, customer_id, call.id("relation_id"))
    except NotFound:
        await opened(call)  # whose page they may not see is not there either
        return call.redirect(path, toast=text("This relation was taken away before"))
    return call.redirect(path, toast=text("The relation is taken away"))


def _word(kind: str, *, reverse: bool) -> Text | str:
    return KINDS[kind][reverse] if kind in KINDS else kind


async def _form(call: PageCall, form: Form, status: int = 200) -> Html:
    options = [(prefix + kind, words[place]) for kind, words in KINDS.items() for place, prefix in enumerate(("", "-"))]
    options.remove(("-family", KINDS["family"][1]))
    names: list[tuple[str, str]] = []
    other = str(form["other"].value)
    if other.isascii() and other.isdigit() and len(other) < 19:
        names = await _named(call, int(other))
    return await call.render(
        "customer/relation_new.html",
        status=status,
        form=form,
        options=options,
        names=names,
        customer_id=call.id("customer_id"),
    )


async def _named(call: PageCall, customer_id: int) -> list[tuple[str, str]]:
    try:
        found = await dossiers.get(call.host.platform, call.actor, customer_id)
    except NotFound:
        return []
    return [(str(customer_id), found.customer.name or str(customer_id))]
