"""Erasing a customer, which asks for the name, and the copy of all that is stored about one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from zhike.access.roles import CUSTOMERS_ERASE
from zhike.api import Stream
from zhike.customers import dossier as dossiers
from zhike.customers import erase, person_export
from zhike.customers.service import not_found
from zhike.i18n import text
from zhike.pages.customer.page import name_of
from zhike.ui import FormError, Html, PageCall, Redirect, asked
from zhike.ui.forms import Form, decode
from zhike.work import begin

if TYPE_CHECKING:
    from zhike.customers.dossier import Dossier

_TYPED = 40


class EraseForm(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for before a customer is erased.

    Args:
        name: What has to be typed.
        reason: Why; it stays.
    """

    name: Annotated[str, asked("To confirm", min_length=1, max_length=10_000)]
    reason: Annotated[
        str,
        asked(
            "Reason",
            help="It stays, so name nobody: the number of a letter will do",
            max_length=500,
            pattern=r"\A[^\x00]*\Z",
        ),
    ] = ""


async def ask(call: PageCall) -> Html:
    """Say what goes and what stays, and ask for the name."""
    return await _dialog(call, Form(EraseForm))


async def start(call: PageCall) -> Html | Redirect:
    """Begin to erase the customer."""
    dossier = await dossiers.get(call.host.platform, call.actor, call.id("customer_id"))
    try:
        typed = decode(EraseForm, call.form)
    except FormError as error:
        return await _dialog(call, error.form, 422)
    if typed.name.split() != _word(dossier).split():
        return await _dialog(call, Form(EraseForm, typed, {"name": text("This is not what is to be typed")}), 422)
    async with begin(call.host.platform, origin=call.actor.origin) as work:
        number = await erase.request(work, call.actor, dossier.customer.id, typed.reason or None)
    return call.redirect(f"/erasures/{number}", toast=text("The customer is erased; nobody sees them any more"))


async def state(call: PageCall) -> Html:
    """Show how far an erasure is."""
    found = await erase.get(call.db, call.actor, call.id("erasure_id"), call.locale)
    return await call.render("customer/erasure.html", fragment="state", erasure=found)


async def export(call: PageCall) -> Stream:
    """Hand out the copy of all that is stored about a customer, as a file."""
    return await person_export.export(call.host.platform, call.actor, call.id("customer_id"))


def _word(dossier: Dossier) -> str:
    """Return what has to be typed: the name, or the id of whoever has none or a very long one."""
    name = dossier.customer.name or ""
    return name if 0 < len(name.strip()) <= _TYPED else str(dossier.customer.id)


async def _dialog(call: PageCall, form: Form, status: int = 200) -> Html:
    dossier = await dossiers.get(call.host.platform, call.actor, call.id("customer_id"))
    if CUSTOMERS_ERASE not in dossier.allowed:
        raise not_found(call.id("customer_id"))
    return await call.render(
        "customer/erase.html",
        status=status,
        form=form,
        name=name_of(dossier),
        word=_word(dossier),
        customer_id=dossier.customer.id,
    )
