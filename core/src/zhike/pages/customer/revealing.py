"""Showing a masked field whole, for a reason that the audit trail keeps."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from zhike.access.roles import CUSTOMERS_REVEAL
from zhike.customers import reveal
from zhike.customers.field import Field
from zhike.customers.service import visible_winner
from zhike.i18n import text
from zhike.pages.customer.profile import ATTRIBUTE, Fact, shown
from zhike.ui import FormError, Html, PageCall, asked
from zhike.ui.forms import Form, decode


class RevealQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The address of the dialog.

    Args:
        field: What is to be seen, such as `phone`.
    """

    field: Annotated[str, Meta(max_length=250, pattern=r"\A[^\x00]+\Z")]


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for.

    Args:
        field: What is to be seen.
        reason: Why.
    """

    field: Annotated[str, asked("Field", kind="hidden", max_length=250, pattern=r"\A[^\x00]+\Z")]
    reason: Annotated[
        str,
        asked(
            "Reason",
            placeholder="The customer called back and asked to be reached",
            min_length=1,
            max_length=500,
            pattern=r"\A[^\x00]*[^\x00\s][^\x00]*\Z",
        ),
    ]


async def ask(call: PageCall, query: RevealQuery) -> Html:
    """Ask why."""
    async with call.db.connection() as connection:
        await visible_winner(connection, call.actor, call.id("customer_id"), CUSTOMERS_REVEAL)
    return await _dialog(call, Form(Reason, {"field": query.field}))


async def show(call: PageCall) -> Html:
    """Show the field in its place, until the page is left."""
    try:
        given = decode(Reason, call.form)
    except FormError as error:
        return await _dialog(call, error.form, 422)
    request = reveal.RevealRequest(fields=[given.field], reason=given.reason)
    found = await reveal.revealed(call, call.id("customer_id"), request)
    call.event("close-dialog")
    call.toast(text("The audit trail notes that you have seen this"), kind="info")
    value, fact = found.fields[given.field], None
    if isinstance(value, msgspec.Raw):  # an attribute
        key = given.field.removeprefix(ATTRIBUTE)
        field = call.host.platform.customer_fields.known.get(key) or Field(key=key)
        fact = Fact(given.field, field, msgspec.json.decode(value), False, None)
    return await call.render(
        "customer/revealed.html", fragment="value", field=given.field, value=value, fact=fact, shown=shown
    )


async def _dialog(call: PageCall, form: Form, status: int = 200) -> Html:
    return await call.render("customer/reveal.html", status=status, form=form, customer_id=call.id("customer_id"))
