"""The form for a new customer; who is known already by what is typed is changed instead, and says so."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from zhike.api import Id
from zhike.customers.identifying import identifying
from zhike.customers.said import pairs_of, require_nameable, said_of
from zhike.customers.schemas import NewCustomer
from zhike.customers.upsert import upsert
from zhike.errors import BadRequest
from zhike.i18n import text
from zhike.ui import Form, Html, PageCall, Redirect, asked
from zhike.ui.submitting import submit
from zhike.work import Work

_IDENTITIES = ("phone", "email", "uscc", "external_id")
_BESIDE = {f"identities.{name}": name for name in _IDENTITIES}


class NewQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The address of the form.

    Args:
        phone: A number that was looked for in vain.
        name: Likewise.
    """

    phone: Annotated[str, Meta(max_length=50)] = ""
    name: Annotated[str, Meta(max_length=200)] = ""


class NewForm(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for.

    Args:
        kind: Person or company.
        name: What it is called.
        phone: Becomes an identity, and the field.
        email: Likewise.
        uscc: Unified social credit identifier of a company.
        external_id: Its number elsewhere.
        company: Where a person works.
        owner: Who looks after it.
    """

    kind: Annotated[
        Literal["person", "company"], asked("Person or company", options={"person": "Person", "company": "Company"})
    ] = "person"
    name: Annotated[str, asked("Name", min_length=1, max_length=500)]
    phone: Annotated[str, asked("Phone", placeholder="138 0013 8000", max_length=50)] = ""
    email: Annotated[str, asked("E-mail", placeholder="name@example.com", max_length=254)] = ""
    uscc: Annotated[str, asked("Unified social credit code", help="Of a company", max_length=50)] = ""
    external_id: Annotated[
        str, asked("Customer number", help="From your shop or ERP; what the customer is known by", max_length=200)
    ] = ""
    company: Annotated[str, asked("Company", help="Where a person works", max_length=500)] = ""
    owner: Annotated[Id | None, asked("Owner", kind="user")] = None


async def ask(call: PageCall, query: NewQuery) -> Html:
    """Ask for a new customer."""
    return await _form(call, Form(NewForm, {"kind": "person", "phone": query.phone, "name": query.name}))


async def make(call: PageCall) -> Html | Redirect:
    """Make the customer, or change the one who has one of the identities."""

    async def save(typed: NewForm) -> Redirect:
        customer_id, created = await _write(call, typed)
        made = text("{name} is in", name=typed.name)
        known = text("This customer was known already, and has been completed")
        return call.redirect(f"/customers/{customer_id}", toast=made if created else known)

    return await submit(call, NewForm, save, partial(_form, call), beside=_BESIDE)


async def _write(call: PageCall, typed: NewForm) -> tuple[int, bool]:
    identities = {name: value for name in _IDENTITIES if (value := getattr(typed, name))}
    if not identities:
        raise BadRequest(text("Give at least a phone, an e-mail, a credit code or a customer number"))
    body: dict[str, Any] = {"kind": typed.kind, "name": typed.name, "identities": identities}
    body |= {name: value for name in ("phone", "email", "company", "owner") if (value := getattr(typed, name))}
    new = msgspec.convert(body, NewCustomer)
    said = said_of(call.host.platform, call.actor, new)
    pairs = pairs_of(new.identities, "identities")
    require_nameable(call.actor, pairs)

    async def write(work: Work) -> tuple[int, bool]:
        return await upsert(work, call.actor, pairs, said)

    return await identifying(call, pairs, write)


async def _form(call: PageCall, form: Form) -> Html:
    return await call.render("customers/new.html", fragment="form", status=form.status, form=form)
