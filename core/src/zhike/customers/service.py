"""Reading customers: one by id, and lists by identity or by age."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
from asyncpg import Record

from zhike.access import audit
from zhike.access.actor import Actor
from zhike.access.masking import field_of, rules_of
from zhike.access.roles import CUSTOMERS_READ
from zhike.access.scope import visible_customers
from zhike.api import MAX_ID, Page
from zhike.customers.identities import NORMALISERS, BadIdentity, order, plain
from zhike.customers.search.finding import find
from zhike.customers.showing import shown
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

_MANY = "SELECT {columns} FROM customer AS c WHERE c.id = ANY ($1::bigint[]) AND {visible}"

_VISIBLE = "SELECT c.id FROM customer AS c WHERE c.id = $1 AND {visible}"
_WINNER = """
WITH RECURSIVE chain AS (
  SELECT id, merged_into FROM customer WHERE id = $1
  UNION
  SELECT c.id, c.merged_into FROM chain JOIN customer AS c ON c.id = chain.merged_into
) SELECT id FROM chain WHERE merged_into IS NULL
"""
_WINNERS = """
WITH RECURSIVE chain AS (
  SELECT id AS start, id, merged_into FROM customer WHERE id = ANY($1::bigint[])
  UNION
  SELECT chain.start, c.id, c.merged_into FROM chain JOIN customer AS c ON c.id = chain.merged_into
) SELECT start, id FROM chain WHERE merged_into IS NULL
"""

_NEWEST = """
SELECT {columns} FROM customer AS c WHERE c.id < $1 AND {visible} ORDER BY c.id DESC LIMIT $2
"""

# Namespaces without rules of their own are found by jumping from one to the next in the index. Few have one identity
# in common: a page is cut out of all of them.
_FOUND = """
WITH RECURSIVE namespaces AS (
  SELECT min(namespace) AS namespace FROM identity
  UNION ALL
  SELECT (SELECT min(namespace) FROM identity WHERE namespace > n.namespace)
  FROM namespaces AS n WHERE n.namespace IS NOT NULL
), wanted AS (
  SELECT * FROM unnest($1::text[], $2::text[]) AS w (namespace, value)
  UNION ALL
  SELECT namespace, $3::text FROM namespaces WHERE namespace <> ALL ($4::text[])
)
SELECT {columns} FROM customer AS c
WHERE {visible} AND c.id = ANY (ARRAY(
  SELECT i.customer_id FROM wanted AS w CROSS JOIN LATERAL (
    SELECT customer_id FROM identity
    WHERE namespace = w.namespace COLLATE "C" AND value = w.value COLLATE "C" LIMIT 1
  ) AS i
))
ORDER BY c.id DESC
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


async def get(db: Database, actor: Actor, customer_id: int, *, permission: str = CUSTOMERS_READ) -> Customer:
    """Return a customer; for one who was merged away, the winner.

    Args:
        db: Where they are.
        actor: Who asks.
        customer_id: Whom they ask for.
        permission: That of the route.

    Raises:
        NotFound: If there is none, or `actor` does not see it.
    """
    sql = _ONE.format(columns=COLUMNS, visible=visible_customers(actor, "c", permission))
    async with db.connection() as connection:
        row = await connection.fetchrow(sql, customer_id)
        if row is None:
            row = await connection.fetchrow(sql, await winner_of(connection, customer_id))
    if row is None:
        raise not_found(customer_id)
    return customer_of(row, actor)


async def many(
    db: Connection | Database, actor: Actor, ids: Collection[int], *, permission: str = CUSTOMERS_READ
) -> dict[int, Customer]:
    """Return those of some customers whom `actor` sees, by id; nothing is asked for none.

    Args:
        db: Where they are.
        actor: Who asks.
        ids: The customers.
        permission: For which `actor` must see them.
    """
    if not ids:
        return {}
    sql = _MANY.format(columns=COLUMNS, visible=visible_customers(actor, "c", permission))
    return {row["id"]: customer_of(row, actor) for row in await db.fetch(sql, [*ids])}


async def list_(
    db: Database, actor: Actor, *, q: str | None = None, limit: int = 50, cursor: str | None = None, key: bytes = b""
) -> Page[Customer]:
    """Return a page of the customers `actor` sees, the newest first.

    Args:
        db: Where they are.
        actor: Who asks.
        q: Only the customers with this identity, read in every namespace that can take it and that `actor` sees
            unmasked; without any, those in whose fields all its words are found (`zhike.customers.search`). A whole
            phone number always counts, and is audited where it is masked.
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
        if q and not q.isspace():
            rows = await _searched(connection, actor, q, before, limit + 1)
        else:
            rows = await connection.fetch(_NEWEST.format(columns=COLUMNS, visible=visible), before, limit + 1)
    items = [customer_of(row, actor) for row in rows[:limit]]
    return Page(items, encode_cursor(items[-1].id, key, scope=_LIST) if len(rows) > limit else None)


async def found_ids(connection: Connection, actor: Actor, q: str, before: int, limit: int) -> list[int]:
    """Return the ids of the newest customers below an id that `list_` finds by `q`, the newest first."""
    return [row["id"] for row in await _searched(connection, actor, q, before, limit)]


async def _searched(connection: Connection, actor: Actor, q: str, before: int, limit: int) -> Sequence[Record]:
    """Return the newest customers below an id who have an identity, or, if nobody has it, whom a query means."""
    rules = rules_of(actor)
    traced = rules.get("phone") == "mask"
    pairs = {
        namespace: value
        for namespace, value in _read_as_identities(q)
        if field_of(namespace) not in rules or (traced and namespace == "phone")
    }
    exact = await connection.fetch(
        _FOUND.format(columns=COLUMNS, visible=visible_customers(actor, "c")),
        [*pairs],
        [*pairs.values()],
        _plain(q),
        [*NORMALISERS, *(field.removeprefix("identities.") for field in rules)],
    )
    rows: Sequence[Record] = [row for row in exact if row["id"] < before][:limit]
    phone = pairs.get("phone")
    if not exact:
        rows = await find(connection, actor, q, phone=phone, columns=COLUMNS, before=before, limit=limit)
    if phone is not None:
        await trace(connection, actor, [row["id"] for row in rows[: limit - 1]])
    return rows


async def trace(connection: Connection, actor: Actor, found: Sequence[int]) -> None:
    """Note whom a whole phone number has led to where numbers are masked: trying them out leaves its trace."""
    if rules_of(actor).get("phone") == "mask":
        await audit.record(connection, actor, "customer.lookup", "customer", {"by": "phone", "found": found})


async def winners_of(connection: Connection, customers: Sequence[int]) -> dict[int, int]:
    """Return who stands for each of some customers, also after several merges; who does not exist is left out."""
    return {row[0]: row[1] for row in await connection.fetch(_WINNERS, list(customers))}


async def winner_of(connection: Connection, customer_id: int) -> int | None:
    """Return the customer into which this one was merged in the end, itself if it was not, None if there is none."""
    winner: int | None = await connection.fetchval(_WINNER, customer_id)
    return winner


async def visible_winner(
    connection: Connection, actor: Actor, customer_id: int, permission: str = CUSTOMERS_READ
) -> int:
    """Return the id of a customer, or of the winner, if it is one for whom `actor` holds a permission.

    Raises:
        NotFound: If there is none.
    """
    visible = _VISIBLE.format(visible=visible_customers(actor, "c", permission))
    while True:
        winner = await winner_of(connection, customer_id)
        found: int | None = await connection.fetchval(visible, winner)
        if found is not None:
            return found
        if winner == await winner_of(connection, customer_id):  # else who was merged away in between
            raise not_found(customer_id)


def not_found(customer_id: int) -> NotFound:
    """Return the error for a customer who does not exist or is out of scope; nobody can tell which."""
    return NotFound(text("There is no customer with the id {id}", id=customer_id))


def customer_of(row: Record, actor: Actor) -> Customer:
    """Return the customer in a row of `COLUMNS` as `actor` is shown it."""
    values: list[Any] = list(row)
    identities: dict[str, list[str]] = {}
    pairs = values[9] or ()
    if len(pairs) > 1:
        pairs = sorted(pairs, key=lambda pair: (order(pair[0]), pair[1]))
    for namespace, value in pairs:
        identities.setdefault(namespace, []).append(value)
    values[9] = identities
    values[10] = msgspec.Raw(values[10])
    return shown(actor, Customer(*values))


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
