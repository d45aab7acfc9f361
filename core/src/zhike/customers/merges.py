"""The merges that a customer took part in."""

from __future__ import annotations

from datetime import datetime

import msgspec

from zhike.access.actor import Actor
from zhike.access.masking import masked_fields
from zhike.access.roles import CUSTOMERS_MERGE
from zhike.access.scope import visible_customers
from zhike.api import MAX_ID, Page
from zhike.customers.service import visible_winner
from zhike.ids import decode_cursor, encode_cursor
from zhike.orm import Database

_MERGES = """
SELECT merge_id, winner_id, array_agg(loser_id ORDER BY id), min(reason), min(origin), min(created_at),
  bool_and(settled_at IS NOT NULL), min(unmerged_at), min(unmerged_by)
FROM customer_merge
WHERE merge_id < $2 AND merge_id IN (SELECT merge_id FROM customer_merge WHERE winner_id = $1 OR loser_id = $1)
GROUP BY merge_id, winner_id ORDER BY merge_id DESC LIMIT $3
"""

_CHOSEN = """
SELECT m.merge_id, m.winner_id, array_agg(m.loser_id ORDER BY m.id), min(m.reason), min(m.origin), min(m.created_at),
  bool_and(m.settled_at IS NOT NULL), min(m.unmerged_at), min(m.unmerged_by), c.name
FROM customer_merge AS m JOIN customer AS c ON c.id = m.winner_id
WHERE m.reason = 'chosen' AND m.merge_id < $1 AND {visible}
GROUP BY m.merge_id, m.winner_id, c.name ORDER BY m.merge_id DESC LIMIT $2
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


class ChosenMerge(msgspec.Struct, frozen=True):
    """A merge that somebody chose.

    Args:
        merge: What took place.
        name: What the winner is called, as far as the reader sees that.
    """

    merge: MergeItem
    name: str | None


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


async def chosen(db: Database, actor: Actor, *, limit: int, cursor: str | None, key: bytes) -> Page[ChosenMerge]:
    """Return a page of the merges that somebody chose, as far as `actor` may merge the winner; the latest first."""
    before = MAX_ID if cursor is None else decode_cursor(cursor, key, int, scope="merges")
    sql = _CHOSEN.format(visible=visible_customers(actor, "c", CUSTOMERS_MERGE))
    rows = await db.fetch(sql, before, limit + 1)
    unnamed = "name" in masked_fields(actor)
    items = [ChosenMerge(MergeItem(*tuple(row)[:9]), None if unnamed else row["name"]) for row in rows[:limit]]
    return Page(items, encode_cursor(items[-1].merge.merge_id, key, scope="merges") if len(rows) > limit else None)
