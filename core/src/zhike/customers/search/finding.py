"""Finds the newest customers that a query means, without asking the planner how many there are.

Tokens begin with the block of ids their customer is in. The search looks at the newest block, the one before it, the
next 2, 4 and so on, until there are enough: what is frequent is found in few rows, and of what is rare there is
little to sort in many blocks. `_MOST` ids bound a step, also where older customers are named more alike than newer.
"""

from __future__ import annotations

from collections.abc import Sequence

from asyncpg import Record

from zhike.access.actor import Actor
from zhike.access.masking import masked_fields
from zhike.access.roles import CUSTOMERS_READ
from zhike.access.scope import visible_customers
from zhike.customers.search.entry import BLOCKS, FREQUENT, RARE
from zhike.customers.search.index import FIELDS
from zhike.customers.search.query import Query, parse
from zhike.orm import Connection

_MOST = 17  # bits

# The + 0 keeps the planner from walking along the key instead: it takes few matches for many. Lists are texts that are
# cut here and the limit is written out: so the planner knows as much without the values as with them, and plans once.
_FOUND = """
WITH newest AS MATERIALIZED (
  SELECT least($1::bigint - 1, coalesce(max(customer_id), -1)) AS id FROM customer_search
)
SELECT found.*
FROM newest
CROSS JOIN LATERAL generate_series(0, (newest.id >> {most})::int + {doublings} + 1) AS step
CROSS JOIN LATERAL (
  SELECT
    least((((newest.id >> {bits}) - {reached} + 1) << {bits}) - 1, newest.id) AS last,
    greatest((newest.id >> {bits}) - {reach} + 1, 0) << {bits} AS first
) AS ids
CROSS JOIN LATERAL (
  SELECT s.customer_id FROM customer_search AS s
  WHERE {conditions} AND s.customer_id + 0 BETWEEN ids.first AND ids.last
  ORDER BY s.customer_id + 0 DESC
) AS match
CROSS JOIN LATERAL (
  SELECT {columns} FROM customer AS c WHERE c.id = match.customer_id AND {visible} LIMIT 1
) AS found
LIMIT {limit}
"""
_TOKENS = f"""
s.tokens && ARRAY(
  SELECT block || token FROM string_to_table(${{}}, ' ') AS t (token)
  CROSS JOIN LATERAL (
    SELECT CASE left(token, 1) WHEN '{RARE}' THEN {BLOCKS[RARE]} ELSE {BLOCKS[FREQUENT]} END
  ) AS b (bits)
  CROSS JOIN LATERAL generate_series(ids.first >> bits, ids.last >> bits) AS block
)
"""


async def find(
    connection: Connection, actor: Actor, q: str, *, phone: str | None, columns: str, before: int, limit: int
) -> Sequence[Record]:
    """Return the newest customers that a query means and `actor` sees.

    Fields that the actor does not see whole are not searched, but for a whole phone number.

    Args:
        connection: Where they are.
        actor: Who asks.
        q: What was typed.
        phone: That as a phone number in E.164, if it is one.
        columns: What to select of `customer AS c`.
        before: Only ids below this one.
        limit: Most rows.
    """
    searched = FIELDS - masked_fields(actor)
    query = parse(q, searched, phone)
    if query is None or not all(query.groups):
        return []
    groups = [*query.groups, *_scope(actor)]
    # A set of rare tokens bounds what there is to sort.
    sort = RARE if any(all(token[0] == RARE for token in group) for group in groups) else FREQUENT
    bits = BLOCKS[sort]
    conditions, values = _conditions(query._replace(groups=groups), sorted(searched if phone is None else {"phone"}))
    sql = _FOUND.format(
        most=_MOST,
        bits=bits,
        doublings=_MOST - bits + 1,
        reach=_reach("step", _MOST - bits + 1),
        reached=_reach("(step - 1)", _MOST - bits + 1),
        conditions=conditions,
        columns=columns,
        visible=visible_customers(actor, "c"),
        limit=limit,
    )
    return await connection.fetch(sql, before, *values)


def _reach(step: str, doublings: int) -> str:
    """Return in SQL how many blocks have been looked at after a step."""
    more = f"{1 << doublings} + ({step} - {doublings}) * {1 << doublings - 1}"
    return f"(CASE WHEN {step} < 0 THEN 0 WHEN {step} <= {doublings} THEN 1 << {step} ELSE {more} END)"


def _conditions(query: Query, fields: Sequence[str]) -> tuple[str, list[str]]:
    # Whatever is matched is letters, digits and marks of the index: nothing is to be escaped.
    patterns = ["|".join([f"%{pattern}%" for pattern in term]) for term in query.patterns]
    values = [*[" ".join(group) for group in query.groups], *patterns]
    whole = " || ".join(f"s.{field}" for field in fields)
    parts = [_TOKENS.format(number) for number in range(2, 2 + len(query.groups))]
    for number in range(2 + len(query.groups), 2 + len(values)):
        parts.append(f"({whole}) LIKE ANY (ARRAY(SELECT string_to_table(${number}, '|')))")
    return " AND ".join(parts), values


def _scope(actor: Actor) -> list[list[str]]:
    """Return the tokens of the actor's customers, so that few of many need not be looked for among all."""
    scope = actor.scope(CUSTOMERS_READ)
    if scope in {"all", None}:
        return []
    teams = sorted(actor.teams) if scope == "team" else []
    return [[f"{FREQUENT}o{actor.user_id}", *[f"{FREQUENT}t{team}" for team in teams]]]
