"""Routes of what a customer was, who said so, and what it is to others."""

from __future__ import annotations

from functools import partial

from zhike import wire
from zhike.access.roles import CUSTOMERS_READ, CUSTOMERS_WRITE
from zhike.api import Call, Route
from zhike.customers import relating, relations, stages
from zhike.customers.relation_schemas import NewRelation, Relation, Relations
from zhike.customers.stages import Origins, Stages
from zhike.work import begin


async def list_stages(call: Call) -> Stages:
    """List the stages that a customer had, the earliest first."""
    return await stages.stages(call.db, call.actor, call.id("customer_id"))


async def show_provenance(call: Call) -> Origins:
    """Show who said last what a customer's fields are, and when."""
    fields = await call.host.platform.customer_fields.renew()
    return await stages.provenance(call.db, call.actor, call.id("customer_id"), fields.ranked)


async def list_relations(call: Call) -> Relations:
    """List what a customer is to others, and they to it."""
    return await relations.list_(call.db, call.actor, call.id("customer_id"))


async def create_relation(call: Call) -> Relation:
    """Note what a customer is to another one."""
    customer_id, new = call.id("customer_id"), wire.decode(call.body, call.body_type, NewRelation)
    async with begin(call.host.platform, origin=call.actor.origin) as work:
        return await relating.relate(work, call.actor, customer_id, new)


async def delete_relation(call: Call) -> Relations:
    """Take a relation away and list those that are left."""
    customer_id = call.id("customer_id")
    async with begin(call.host.platform, origin=call.actor.origin) as work:
        await relating.unrelate(work, call.actor, customer_id, call.id("relation_id"))
    return await relations.list_(call.db, call.actor, customer_id)


_ONE = "/customers/{customer_id}"
_read = partial(Route, method="GET", permission=CUSTOMERS_READ)
_write = partial(Route, permission=CUSTOMERS_WRITE)

ROUTES = (
    _read(path=f"{_ONE}/stages", handler=list_stages, summary="A customer's stages", answer=Stages),
    _read(
        path=f"{_ONE}/provenance",
        handler=show_provenance,
        summary="Where a customer's fields come from",
        answer=Origins,
    ),
    _read(
        path=f"{_ONE}/relations",
        handler=list_relations,
        summary="A customer's relations",
        answer=Relations,
    ),
    _write(
        method="POST",
        path=f"{_ONE}/relations",
        handler=create_relation,
        summary="Note a relation",
        body=NewRelation,
        answer=Relation,
        statuses=(409,),
    ),
    _write(
        method="DELETE",
        path=f"{_ONE}/relations/{{relation_id}}",
        handler=delete_relation,
        summary="Take a relation away",
        answer=Relations,
    ),
)
