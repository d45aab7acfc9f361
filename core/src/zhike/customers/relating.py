"""Notes what customers are to each other, and takes it away."""

from __future__ import annotations

from zhike import wire
from zhike.access import audit
from zhike.access.actor import Actor
from zhike.access.roles import CUSTOMERS_READ, CUSTOMERS_WRITE
from zhike.customers.facts import CustomerRelated
from zhike.customers.relation_schemas import NewRelation, Relation
from zhike.customers.relations import read
from zhike.customers.service import visible_winner
from zhike.errors import Conflict, NotFound
from zhike.events.emit import hold
from zhike.i18n import text
from zhike.wire import Fault
from zhike.work import Work

_INSERT = """
INSERT INTO customer_relation (customer_id, other_customer_id, kind, title, since, until, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING id
"""
_DELETE = """
DELETE FROM customer_relation WHERE id = $2 AND (customer_id = $1 OR other_customer_id = $1)
RETURNING customer_id, other_customer_id, kind
"""


async def relate(work: Work, actor: Actor, customer_id: int, new: NewRelation) -> Relation:
    """Note what a customer is to another one; emits `customer.related` for both.

    Raises:
        NotFound: If there is no such customer, or `actor` may not write them.
        BadRequest: If the other one is not seen, or the same, or the days are in the wrong order.
        Conflict: If that is noted already.
    """
    if "\0" in new.title:
        raise wire.refuse(Fault("title", text("the character NUL (\\u0000) cannot be stored")))
    if new.since is not None and new.until is not None and new.since > new.until:
        raise wire.refuse(Fault("until", text("expected a day that is not before since")))
    connection = work.connection
    mine, other = await _held(work, actor, customer_id), await _other(work, actor, new.other_customer_id)
    if mine == other:
        raise wire.refuse(Fault("other_customer_id", text("expected another customer")))
    sides = (other, mine) if new.reverse else (mine, other)
    given = (new.kind, new.title, new.since, new.until, work.now)
    relation_id: int | None = await connection.fetchval(_INSERT, *sides, *given)
    if relation_id is None:
        raise Conflict(text("This relation is noted already"), code="relation")
    _tell(work, "customer.related", relation_id, *sides, new.kind)
    await _audit(work, actor, "customer.relate", sides, new.kind)
    [relation] = await read(connection, actor, mine, relation_id)
    return relation


async def unrelate(work: Work, actor: Actor, customer_id: int, relation_id: int) -> None:
    """Take a relation away; emits `customer.unrelated` for both.

    Raises:
        NotFound: If there is no such customer or relation, or `actor` may not write the customer.
    """
    mine = await _held(work, actor, customer_id)
    row = await work.connection.fetchrow(_DELETE, mine, relation_id)
    if row is None:
        raise NotFound(text("There is no relation {id}", id=relation_id))
    _tell(work, "customer.unrelated", relation_id, *row)
    await _audit(work, actor, "customer.unrelate", row[:2], row[2])


async def _held(work: Work, actor: Actor, customer_id: int, permission: str = CUSTOMERS_WRITE) -> int:
    """Return who a customer is now, and keep them from being merged, if `actor` holds a permission for them."""
    await hold(work.connection, [customer_id])
    return await visible_winner(work.connection, actor, customer_id, permission)


async def _other(work: Work, actor: Actor, customer_id: int) -> int:
    try:
        return await _held(work, actor, customer_id, CUSTOMERS_READ)
    except NotFound as error:
        raise wire.refuse(Fault("other_customer_id", error.message)) from None


def _tell(work: Work, name: str, relation_id: int, first: int, second: int, kind: str) -> None:
    for customer, other, reverse in [(first, second, False), (second, first, True)]:
        properties = CustomerRelated(relation_id=relation_id, kind=kind, other_customer_id=other, reverse=reverse)
        work.emit(name, customer, properties=properties)


async def _audit(work: Work, actor: Actor, action: str, sides: tuple[int, ...], kind: str) -> None:
    await audit.record(work.connection, actor, action, f"customer:{sides[0]}", {"kind": kind, "other": sides[1]})
