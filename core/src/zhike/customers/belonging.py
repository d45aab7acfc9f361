"""Whose identities are, when customers are written: nobody takes another's, and the last strong one stays."""

from __future__ import annotations

from collections.abc import Sequence

from zhike.access.actor import Actor
from zhike.access.roles import CUSTOMERS_READ
from zhike.access.scope import visible_ids
from zhike.customers import erased, sql
from zhike.customers.resolve import Pair
from zhike.errors import BadRequest, Conflict
from zhike.i18n import text
from zhike.orm import Connection
from zhike.work import Work

_OWNERS = """
SELECT i.namespace, i.value, i.customer_id FROM unnest($1::text[], $2::text[]) AS k (namespace, value)
JOIN identity AS i ON i.namespace = k.namespace COLLATE "C" AND i.value = k.value COLLATE "C"
"""
_REMOVE = """
DELETE FROM identity AS i USING unnest($2::text[], $3::text[]) AS k (namespace, value)
WHERE i.customer_id = $1 AND i.namespace = k.namespace COLLATE "C" AND i.value = k.value COLLATE "C" RETURNING 1
"""
_ERASED = "SELECT EXISTS (SELECT FROM erasure)"


async def owners(connection: Connection, pairs: Sequence[Pair]) -> dict[Pair, int]:
    """Return whose identities are, of those that are somebody's."""
    namespaces, values = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    rows = await connection.fetch(_OWNERS, namespaces, values) if pairs else []
    return {(namespace, value): owner for namespace, value, owner in rows}


async def unowned(work: Work, actor: Actor, customer_id: int, pairs: Sequence[Pair]) -> list[Pair]:
    """Return those identities that are nobody's; refuse those that are another customer's, or an erased one's."""
    found = await owners(work.connection, pairs)
    if others := set(found.values()) - {customer_id}:
        raise await several(work.connection, actor, others | {customer_id})
    new = [pair for pair in pairs if pair not in found]
    some = new and await work.connection.fetchval(_ERASED)
    if some and await erased.erased_identities(work.connection, work.platform.vault, new):
        message = text("the data of this customer was erased; nothing is stored of them until new consent is recorded")
        raise Conflict(message, code="erased")
    return new


async def lose(connection: Connection, customer_id: int, pairs: Sequence[Pair]) -> None:
    """Take identities from a customer, who must keep a strong one if there was one."""
    namespaces, values = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    strong = await sql.strong_namespaces(connection, [customer_id])
    if len(await connection.fetch(_REMOVE, customer_id, namespaces, values)) < len(pairs):
        raise BadRequest(text("remove_identities: the customer has not all of them"), code="identity")
    if strong and not await sql.strong_namespaces(connection, [customer_id]):
        message = text("A customer keeps at least one identity that is not shared with others")
        raise Conflict(message, code="last_identity")


async def several(connection: Connection, actor: Actor, ids: set[int]) -> Conflict:
    """Return the error for identities of several customers; it names only those that `actor` sees."""
    if len(await visible_ids(connection, actor, ids, CUSTOMERS_READ)) < len(ids):
        return taken()
    named = ", ".join(map(str, sorted(ids)))
    return Conflict(text("The identities belong to different customers: {ids}", ids=named), code="identities")


def taken() -> Conflict:
    """Return the error for an identity of a customer whom nobody is told of."""
    return Conflict(text("An identity belongs to another customer"), code="identities")
