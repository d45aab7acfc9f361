"""Lists around merges: those of a customer, and customers who may be one."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from zhike.access import audit
from zhike.access.actor import Actor
from zhike.access.masking import field_of, hidden_fields
from zhike.access.roles import CUSTOMERS_MERGE
from zhike.access.scope import visible_customers
from zhike.api import MAX_ID, Page
from zhike.customers.service import visible_winner
from zhike.errors import NotFound
from zhike.i18n import text
from zhike.ids import decode_cursor, encode_cursor
from zhike.orm import Connection, Database

_MERGES = """
SELECT merge_id, winner_id, array_agg(loser_id ORDER BY id), min(reason), min(origin), min(created_at),
  bool_and(settled_at IS NOT NULL), min(unmerged_at), min(unmerged_by)
FROM customer_merge
WHERE merge_id < $2 AND merge_id IN (SELECT merge_id FROM customer_merge WHERE winner_id = $1 OR loser_id = $1)
GROUP BY merge_id, winner_id ORDER BY merge_id DESC LIMIT $3
"""
# A customer merged away is no candidate: whoever it was merged into is.
_CANDIDATES = """
SELECT d.id, d.low_id, d.high_id, d.reason, d.namespace, d.created_at FROM duplicate_candidate AS d
JOIN customer AS l ON l.id = d.low_id JOIN customer AS h ON h.id = d.high_id
WHERE d.id < $1 AND d.state = 'open' AND {low} AND {high} ORDER BY d.id DESC LIMIT $2
"""
_DISMISS = """
UPDATE duplicate_candidate AS d SET state = 'dismissed' FROM customer AS l, customer AS h
WHERE d.id = $1 AND l.id = d.low_id AND h.id = d.high_id AND {low} AND {high}
RETURNING d.low_id, d.high_id
"""


class MergeItem(msgspec.Struct, frozen=True):
    """A merge that took place.

    Args:
        merge_id: What undoes it.
        winner_id: Who remained.
        loser_ids: Who became part of them.
        reason: `anonymous`, a visitor who turned out to be somebody, or `chosen` by somebody.
        origin: Who caused it.
        created_at: When.
        settled: Whether all events have moved, also back.
        unmerged_at: When it was undone, or null.
        unmerged_by: By whom.
    """

    merge_id: int
    winner_id: int
    loser_ids: list[int]
    reason: str
    origin: str
    created_at: datetime
    settled: bool
    unmerged_at: datetime | None
    unmerged_by: str | None


class Candidate(msgspec.Struct, frozen=True):
    """Two customers who may be one.

    Args:
        id: Its id.
        customer_ids: The two.
        reason: `strong_identity`, `weak_identity`, `many_events` or `refused` (a plugin cannot merge them).
        namespace: Of the identity that says so; null where the caller does not see any of it.
        created_at: When that was seen first.
    """

    id: int
    customer_ids: tuple[int, int]
    reason: str
    namespace: str | None
    created_at: datetime


class Dismissed(msgspec.Struct, frozen=True):
    """Two customers who are two.

    Args:
        id: The candidate's id.
        state: Always `dismissed`.
    """

    id: int
    state: Literal["dismissed"] = "dismissed"


async def of_customer(
    db: Database, actor: Actor, customer_id: int, *, limit: int, cursor: str | None, key: bytes
) -> Page[MergeItem]:
    """Return a page of the merges a customer took part in, the latest first; of one merged away, its own.

    Raises:
        NotFound: If there is no such customer, or `actor` does not see who it is now.
    """
    scope = f"merges:{customer_id}"
    before = MAX_ID if cursor is None else decode_cursor(cursor, key, int, scope=scope)
    async with db.connection() as connection:
        await visible_winner(connection, actor, customer_id)
        rows = await connection.fetch(_MERGES, customer_id, before, limit + 1)
    items = [MergeItem(*row) for row in rows[:limit]]
    return Page(items, encode_cursor(items[-1].merge_id, key, scope=scope) if len(rows) > limit else None)


async def candidates(db: Database, actor: Actor, *, limit: int, cursor: str | None, key: bytes) -> Page[Candidate]:
    """Return a page of the pairs that nobody has said anything about, and of whom `actor` may merge both."""
    before = MAX_ID if cursor is None else decode_cursor(cursor, key, int, scope="duplicates")
    async with db.connection() as connection:
        rows = await connection.fetch(_CANDIDATES.format_map(_both(actor)), before, limit + 1)
    hidden = hidden_fields(actor)
    items = [
        Candidate(row[0], (row[1], row[2]), row[3], None if field_of(row[4] or "") in hidden else row[4], row[5])
        for row in rows[:limit]
    ]
    return Page(items, encode_cursor(items[-1].id, key, scope="duplicates") if len(rows) > limit else None)


async def dismiss(connection: Connection, actor: Actor, candidate_id: int) -> Dismissed:
    """Note that two customers are two: ingest neither merges nor proposes them any more.

    Raises:
        NotFound: If there is no such candidate, or `actor` may not merge both.
    """
    row = await connection.fetchrow(_DISMISS.format_map(_both(actor)), candidate_id)
    if row is None:
        raise NotFound(text("There is no candidate {id}", id=candidate_id))
    await audit.record(connection, actor, "customer.dismiss", f"customer:{row['low_id']}", {"other": row["high_id"]})
    return Dismissed(candidate_id)


def _both(actor: Actor) -> dict[str, str]:
    return {place: visible_customers(actor, place[0], CUSTOMERS_MERGE) for place in ("low", "high")}
