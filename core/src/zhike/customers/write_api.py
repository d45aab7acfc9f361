"""Routes that make and change customers."""

from __future__ import annotations

from functools import partial

import msgspec

from zhike import wire
from zhike.access.roles import CUSTOMERS_WRITE
from zhike.api import Call, Route
from zhike.customers.identifying import identifying
from zhike.customers.said import pairs_of, require_nameable, said_of
from zhike.customers.schemas import CustomerChange, NewCustomer
from zhike.customers.service import Customer
from zhike.customers.upsert import upsert
from zhike.customers.write import change, read
from zhike.i18n import text
from zhike.wire import Fault
from zhike.work import Work


class Written(Customer, frozen=True, kw_only=True):
    """A customer that was made or changed by what identifies it.

    Args:
        created: Whether it was made.
    """

    created: bool


async def write_customer(call: Call) -> Written:
    """Make a customer, or change the one with one of the identities given, who gets all of them."""
    new = wire.decode(call.body, call.body_type, NewCustomer)
    said = said_of(call.host.platform, call.actor, new)
    pairs = pairs_of(new.identities, "identities")
    require_nameable(call.actor, pairs)
    if not pairs:
        detail = text("expected at least one, such as {example}", example='{"phone": "…"}')
        raise wire.refuse(Fault("identities", detail))

    async def write(work: Work) -> Written:
        customer_id, created = await upsert(work, call.actor, pairs, said)
        customer = await read(work, call.actor, customer_id)
        call.created = created
        return Written(**msgspec.structs.asdict(customer), created=created)

    return await identifying(call, pairs, write)


async def change_customer(call: Call) -> Customer:
    """Change a customer; what is left out of the body stays as it is."""
    customer_id, body = call.id("customer_id"), wire.decode(call.body, call.body_type, CustomerChange)
    said = said_of(call.host.platform, call.actor, body)
    add, remove = pairs_of(body.add_identities, "add_identities"), pairs_of(body.remove_identities, "remove_identities")
    require_nameable(call.actor, [*add, *remove])
    at = body.if_updated_at

    async def write(work: Work) -> Customer:
        changed = await change(work, call.actor, customer_id, said, add=add, remove=remove, if_updated_at=at)
        return await read(work, call.actor, changed)

    return await identifying(call, [*add, *remove], write)


_write = partial(Route, permission=CUSTOMERS_WRITE)

ROUTES = (
    _write(
        method="POST",
        path="/customers",
        handler=write_customer,
        summary="Make or change a customer",
        body=NewCustomer,
        answer=Written,
        statuses=(201, 409),
    ),
    _write(
        method="PATCH",
        path="/customers/{customer_id}",
        handler=change_customer,
        summary="Change a customer",
        body=CustomerChange,
        answer=Customer,
        statuses=(409,),
    ),
)
