"""The queue of pairs who may be one, as far as the reader may merge both and sees whole what is compared."""

from __future__ import annotations

import msgspec
from asyncpg import Record

from zhike.access.actor import Actor
from zhike.access.masking import field_of, hidden_fields
from zhike.access.roles import CUSTOMERS_MERGE
from zhike.access.scope import visible_customers
from zhike.api import MAX_ID, Page
from zhike.customers.duplicates.rules import REASONS, RULES, SURE, visible_rules
from zhike.customers.duplicates.schemas import Counts, Pair, PairsQuery, Reason, Scan
from zhike.customers.service import Customer, many
from zhike.errors import NotFound
from zhike.i18n import text
from zhike.ids import decode_cursor, encode_cursor
from zhike.orm import Connection, Database
from zhike.platform import Platform

LEVELS = (90, 80, 70, 60, 50)
"""Scores for which it is counted how many pairs have at least so much."""

# A customer merged away is in no pair: whoever it was merged into is. Pairs that are what they are by fields that the
# reader does not see whole are not theirs: not even that two values are alike is to be learned.
_PAIRS = """
FROM duplicate_candidate AS d
JOIN customer AS l ON l.id = d.low_id JOIN customer AS h ON h.id = d.high_id
WHERE d.rules <@ $1::text[] AND {low} AND {high}
"""
_LIST = f"""
SELECT d.id, d.low_id, d.high_id, d.reason, d.namespace, d.rules, d.score, d.state, d.decided_by, d.decided_at,
  d.created_at
{_PAIRS} AND d.state = $2 AND d.score >= $3 AND ($4::text IS NULL OR d.reason = $4 OR $4 = ANY(d.rules))
  AND (d.score, d.id) < ($5, $6) {{more}}
ORDER BY d.score DESC, d.id DESC LIMIT $7
"""
_OF_CUSTOMER = "AND (d.low_id = $8 OR d.high_id = $8)"
_COUNTS = f"SELECT d.state, d.score, count(*) {_PAIRS} GROUP BY 1, 2"
_SCAN = """
SELECT scan_after IS NOT NULL, compared, started_at, ended_at,
  (SELECT jsonb_object_agg(rule, n)::text FROM (SELECT rule, count(*) AS n FROM duplicate_block GROUP BY 1) AS b)
FROM duplicate_scan
"""
_OPEN = f"{_PAIRS} AND d.state = 'open' AND d.score >= $2 AND ($3::text IS NULL OR d.reason = $3 OR $3 = ANY(d.rules))"
_COUNT = f"SELECT count(*) {_OPEN}"
_SUREST = f"SELECT d.id {_OPEN} ORDER BY d.score DESC, d.id DESC LIMIT $4"
_ONE = f"SELECT d.low_id, d.high_id, d.state {_PAIRS} AND d.id = $2"


async def list_(platform: Platform, actor: Actor, query: PairsQuery, *, locale: str, key: bytes) -> Page[Pair]:
    """Return a page of the pairs of whom `actor` may merge both, the surest first.

    Args:
        platform: The process's platform.
        actor: Who asks.
        query: Which of them.
        locale: The reader's language.
        key: The deployment's secret that signs cursors.

    Raises:
        BadRequest: If the cursor was not made for this list.
    """
    scope = f"duplicates:{query.state}"
    cursor = query.cursor
    before = (SURE + 1, MAX_ID) if cursor is None else decode_cursor(cursor, key, tuple[int, int], scope=scope)
    values = [visible_rules(actor), query.state, query.min_score, query.rule, *before, query.size + 1]
    if query.customer_id is not None:
        values.append(query.customer_id)
    sql = _LIST.format(more="" if query.customer_id is None else _OF_CUSTOMER, **_both(actor))
    async with platform.db.connection() as connection:
        rows = await connection.fetch(sql, *values)
        shown = rows[: query.size]
        both = {row[place] for row in shown for place in (1, 2)}
        customers = await many(connection, actor, both, permission=CUSTOMERS_MERGE)
    opened = platform.customer_fields.opened
    items = []
    for row in shown:
        two = [opened(customers[each]) for each in (row["low_id"], row["high_id"]) if each in customers]
        items.append(_pair(row, two, actor, locale))
    more = len(rows) > query.size
    return Page(items, encode_cursor((items[-1].score, items[-1].id), key, scope=scope) if more else None)


async def counts(db: Database, actor: Actor) -> Counts:
    """Return how many pairs there are of whom `actor` may merge both."""
    states: dict[str, int] = {}
    levels = dict.fromkeys(LEVELS, 0)
    async with db.connection() as connection:
        for state, score, number in await connection.fetch(_COUNTS.format_map(_both(actor)), visible_rules(actor)):
            states[state] = states.get(state, 0) + number
            if state == "open":
                levels |= {level: levels[level] + number for level in LEVELS if score >= level}
        running, compared, started, ended, crowded = tuple(await connection.fetchrow(_SCAN) or ())
    return Counts(
        open=states.get("open", 0),
        later=states.get("later", 0),
        distinct=states.get("distinct", 0),
        at_least=levels,
        crowded={} if crowded is None else msgspec.json.decode(crowded, type=dict[str, int]),
        scan=Scan(running, compared, started, ended),
    )


async def count(connection: Connection, actor: Actor, min_score: int, rule: str | None) -> int:
    """Return how many open pairs `actor` may merge that have at least a score, and for which a rule holds."""
    found: int = await connection.fetchval(_COUNT.format_map(_both(actor)), visible_rules(actor), min_score, rule)
    return found


async def surest(connection: Connection, actor: Actor, min_score: int, rule: str | None, limit: int) -> list[int]:
    """Return the ids of the surest of these pairs."""
    values = (visible_rules(actor), min_score, rule, limit)
    return [row[0] for row in await connection.fetch(_SUREST.format_map(_both(actor)), *values)]


async def pair_of(connection: Connection, actor: Actor, pair_id: int) -> tuple[int, int, str]:
    """Return the customers of a pair, the older one first, and what has been said of them.

    Raises:
        NotFound: If there is no such pair, or `actor` may not merge both, or does not see what is compared.
    """
    row = await connection.fetchrow(_ONE.format_map(_both(actor)), visible_rules(actor), pair_id)
    if row is None:
        raise no_pair()
    return row[0], row[1], row[2]


def no_pair() -> NotFound:
    """Return the error for a pair that is not there, or not for the actor to decide on."""
    return NotFound(text("There is no such pair of customers"))


def _both(actor: Actor) -> dict[str, str]:
    return {place: visible_customers(actor, place[0], CUSTOMERS_MERGE) for place in ("low", "high")}


def _pair(row: Record, customers: list[Customer], actor: Actor, locale: str) -> Pair:
    told = {name: RULES[name].label for name in row["rules"] if name in RULES}
    if row["reason"] in REASONS:
        told = {row["reason"]: REASONS[row["reason"]], **told}
    same = ("id", "reason", "score", "state", "decided_by", "decided_at", "created_at")
    return Pair(
        **{name: row[name] for name in same},
        customer_ids=(row["low_id"], row["high_id"]),
        customers=customers,
        namespace=None if field_of(row["namespace"] or "") in hidden_fields(actor) else row["namespace"],
        reasons=[Reason(name, label.render(locale)) for name, label in told.items()],
    )
