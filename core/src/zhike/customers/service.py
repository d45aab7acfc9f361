"""Reading customers: one by id, and lists by identity or by age."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from asyncpg import Record

from zhike.access.actor import Actor
from zhike.access.scope import visible_customers
from zhike.api import MAX_ID, Page
from zhike.customers.identities import NORMALISERS, BadIdentity, order, plain
from zhike.errors import NotFound
from zhike.i18n import text
from zhike.ids import decode_cursor, encode_cursor
from zhike.orm import Connection, Database

_LIST = "customers"

_COLUMNS = """
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
        phone: As the newest event said, or its phone identity.
        email: As the newest event said, or its e-mail identity.
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
    sql = _ONE.format(columns=_COLUMNS, visible=visible_customers(actor, "c"))
    async with db.connection() as connection:
        row = await connection.fetchrow(sql, customer_id)
        if row is None:
            row = await connection.fetchrow(sql, await winner_of(connection, customer_id))
    if row is None:
        raise not_found(customer_id)
    return _customer(row)


async def list_(
    db: Database, actor: Actor, *, q: str | None = None, limit: int = 50, cursor: str | None = None, key: bytes = b""
) -> Page[Customer]:
    """Return a page of the customers `actor` sees, the newest first.

    Args:
        db: Where they are.
        actor: Who asks.
        q: Only the customers with this identity, read in every namespace that can take it.
        limit: Customers on the page.
        cursor: `next` of the page before.
        key: The deployment's secret that signs cursors.

    Raises:
        BadRequest: If `cursor` was not made for this list.
    """
    before = MAX_ID if cursor is None else decode_cursor(cursor, key, int, scope=_LIST)
    visible = visible_customers(actor, "c")
    async with db.connection() as connection:
        # One more than asked for tells whether there is a next page.
        if q:
            pairs = _read_as_identities(q)
            rows = await connection.fetch(
                _FOUND.format(columns=_COLUMNS, visible=visible),
                before,
                limit + 1,
                [namespace for namespace, _ in pairs],
                [value for _, value in pairs],
                _plain(q),
                list(NORMALISERS),
            )
        else:
            rows = await connection.fetch(_NEWEST.format(columns=_COLUMNS, visible=visible), before, limit + 1)
    items = [_customer(row) for row in rows[:limit]]
    return Page(items, encode_cursor(items[-1].id, key, scope=_LIST) if len(rows) > limit else None)


async def winner_of(connection: Connection, customer_id: int) -> int | None:
    """Return the customer into which this one was merged in the end, itself if it was not, None if there is none."""
    winner: int | None = await connection.fetchval(_WINNER, customer_id)
    return winner


def not_found(customer_id: int) -> NotFound:
    """Return the error for a customer who does not exist or is out of scope; nobody can tell which."""
    return NotFound(text("there is no customer {id}", id=customer_id))


def _customer(row: Record) -> Customer:
    values: list[Any] = list(row)
    identities: dict[str, list[str]] = {}
    pairs = values[9] or ()
    if len(pairs) > 1:
        pairs = sorted(pairs, key=lambda pair: (order(pair[0]), pair[1]))
    for namespace, value in pairs:
        identities.setdefault(namespace, []).append(value)
    values[9] = identities
    values[10] = msgspec.Raw(values[10])
    return Customer(*values)


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
