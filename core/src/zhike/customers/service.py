"""Reading customers: one by id, and lists by identity or by age."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

import msgspec
from asyncpg import Record

from zhike.access import audit
from zhike.access.actor import Actor
from zhike.access.masking import masked, masked_fields
from zhike.access.scope import visible_customers
from zhike.api import MAX_ID, Page
from zhike.customers.identities import NORMALISERS, BadIdentity, order, plain
from zhike.errors import NotFound
from zhike.i18n import text
from zhike.ids import decode_cursor, encode_cursor
from zhike.orm import Connection, Database

_LIST = "customers"

COLUMNS = """
c.id, c.kind, c.name, c.phone, c.email, c.company, c.stage, c.owner, c.team,
(SELECT array_agg(ARRAY[i.namespace, i.value]) FROM identity AS i WHERE i.customer_id = c.id),
c.attributes::text, c.created_at, c.updated_at
"""

_ONE = "SELECT {columns} FROM customer AS c WHERE c.id = $1 AND {visible}"

_WINNER = """
WITH RECURSIVE chain AS (
  SELECT id, merged_into FROM customer WHERE id = $1
  UNION
  SELECT c.id, c.merged_into FROM chain JOIN customer AS c ON c.id = chain.merged_into
) SELECT id FROM chain WHERE merged_into IS NULL
"""

_NEWEST = """
SELECT {columns} FROM customer AS c WHERE c.id < $1 AND {visible} ORDER BY c.id DESC LIMIT $2
"""

# Namespaces without rules of their own are found by jumping from one to the next in the index.
_FOUND = """
WITH RECURSIVE namespaces AS (
  SELECT min(namespace) AS namespace FROM identity
  UNION ALL
  SELECT (SELECT min(namespace) FROM identity WHERE namespace > n.namespace)
  FROM namespaces AS n WHERE n.namespace IS NOT NULL
), wanted AS (
  SELECT * FROM unnest($3::text[], $4::text[]) AS w (namespace, value)
  UNION ALL
  SELECT namespace, $5::text FROM namespaces WHERE namespace <> ALL ($6::text[])
)
SELECT {columns} FROM customer AS c
WHERE c.id < $1 AND {visible} AND c.id IN (
  SELECT i.customer_id FROM wanted AS w
  JOIN identity AS i ON i.namespace = w.namespace COLLATE "C" AND i.value = w.value COLLATE "C"
)
ORDER BY c.id DESC LIMIT $2
"""


class Customer(msgspec.Struct, frozen=True):
    """A customer as everybody is shown it.

    Args:
        id: Its id.
        kind: `person` or `company`.
        name: What it is called.
        phone: As the newest event said, or its phone identity; masked for some roles.
        email: As the newest event said, or its e-mail identity; masked for some roles.
        company: Where a person works.
        stage: Stage of its life as a customer.
        owner: Id of the user who looks after it.
        team: Id of the team.
        identities: Namespace to values, the strongest namespace first.
        attributes: All other traits, as the JSON text of an object.
        created_at: When it was first seen.
        updated_at: When a field last changed.
    """

    id: int
    kind: str
    name: str | None
    phone: str | None
    email: str | None
    company: str | None
    stage: str | None
    owner: int | None
    team: int | None
    identities: dict[str, list[str]]
    attributes: msgspec.Raw
    created_at: datetime
    updated_at: datetime


async def get(db: Database, actor: Actor, customer_id: int) -> Customer:
    """Return a customer; for one who was merged away, the winner.

    Raises:
        NotFound: If there is none, or `actor` does not see it.
    """
    sql = _ONE.format(columns=COLUMNS, visible=visible_customers(actor, "c"))
    async with db.connection() as connection:
        row = await connection.fetchrow(sql, customer_id)
        if row is None:
            row = await connection.fetchrow(sql, await winner_of(connection, customer_id))
    if row is None:
        raise not_found(customer_id)
    return customer_of(row, masked_fields(actor))


async def list_(
    db: Database, actor: Actor, *, q: str | None = None, limit: int = 50, cursor: str | None = None, key: bytes = b""
) -> Page[Customer]:
    """Return a page of the customers `actor` sees, the newest first.

    Args:
        db: Where they are.
        actor: Who asks.
        q: Only the customers with this identity, read in every namespace that can take it and that `actor` sees
            unmasked; a whole phone number always counts, and is audited where it is masked.
        limit: Customers on the page.
        cursor: `next` of the page before.
        key: The deployment's secret that signs cursors.

    Raises:
        BadRequest: If `cursor` was not made for this list.
    """
    before = MAX_ID if cursor is None else decode_cursor(cursor, key, int, scope=_LIST)
    visible, hidden = visible_customers(actor, "c"), masked_fields(actor)
    async with db.connection() as connection:
        # One more than asked for tells whether there is a next page.
        if q:
            pairs = [pair for pair in _read_as_identities(q) if pair[0] not in hidden or pair[0] == "phone"]
            rows = await connection.fetch(
                _FOUND.format(columns=COLUMNS, visible=visible),
                before,
                limit + 1,
                [namespace for namespace, _ in pairs],
                [value for _, value in pairs],
                _plain(q),
                list(NORMALISERS),
            )
            if "phone" in hidden and any(namespace == "phone" for namespace, _ in pairs):
                # Whoever knows a whole number may ask whose it is; trying numbers out leaves its trace.
                found = [row["id"] for row in rows[:limit]]
                await audit.record(connection, actor, "customer.lookup", "customer", {"by": "phone", "found": found})
        else:
            rows = await connection.fetch(_NEWEST.format(columns=COLUMNS, visible=visible), before, limit + 1)
    items = [customer_of(row, hidden) for row in rows[:limit]]
    return Page(items, encode_cursor(items[-1].id, key, scope=_LIST) if len(rows) > limit else None)


async def winner_of(connection: Connection, customer_id: int) -> int | None:
    """Return the customer into which this one was merged in the end, itself if it was not, None if there is none."""
    winner: int | None = await connection.fetchval(_WINNER, customer_id)
    return winner


def not_found(customer_id: int) -> NotFound:
    """Return the error for a customer who does not exist or is out of scope; nobody can tell which."""
    return NotFound(text("there is no customer {id}", id=customer_id))


def customer_of(row: Record, hidden: Collection[str] = ()) -> Customer:
    """Return the customer in a row of `COLUMNS`.

    Args:
        row: The row.
        hidden: The fields to mask.
    """
    values: list[Any] = list(row)
    identities: dict[str, list[str]] = {}
    pairs = values[9] or ()
    if len(pairs) > 1:
        pairs = sorted(pairs, key=lambda pair: (order(pair[0]), pair[1]))
    for namespace, value in pairs:
        shown = masked(namespace, value) if namespace in hidden else value
        identities.setdefault(namespace, []).append(shown)
    values[9] = identities
    values[10] = msgspec.Raw(values[10])
    customer = Customer(*values)
    known = {field: value for field in hidden if isinstance(value := getattr(customer, field, None), str)}
    return msgspec.structs.replace(customer, **{field: masked(field, value) for field, value in known.items()})


def _read_as_identities(value: str) -> list[tuple[str, str]]:
    pairs = []
    for namespace, normaliser in NORMALISERS.items():
        try:
            pairs.append((namespace, normaliser(value)))
        except BadIdentity:
            continue
    return pairs


def _plain(value: str) -> str | None:
    try:
        return plain(value)
    except BadIdentity:
        return None
