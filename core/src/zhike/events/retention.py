"""Deletes events that are kept no longer, chunk by chunk, and counts anew what was counted from them."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from zhike.customers.erased import message_hashes
from zhike.customers.facts import HistoryChanged
from zhike.customers.stats import rebuild_stats
from zhike.events.sql import DELETE_EVENTS, KEEP_MESSAGES
from zhike.orm import Connection
from zhike.work import Work

CHUNK = 500
"""Events that one call deletes at most."""
COUNTED = 100_000
"""Events up to which they are counted."""

_OLD = """
FROM event AS e JOIN customer AS c ON c.id = e.customer_id AND c.merged_into IS NULL AND c.erased_at IS NULL
WHERE e.name = $1 AND e.occurred_at < $2
"""
# The others' events are on their way to whom they were merged into, or are being erased.
_CHUNK = f"SELECT e.batch_id, e.id, e.message_id, e.customer_id {_OLD} ORDER BY e.occurred_at, e.id LIMIT $3"
_COUNT = f"SELECT count(*), count(DISTINCT customer_id) FROM (SELECT e.customer_id {_OLD} LIMIT $3) AS old"
_LOCK = """
SELECT id FROM customer
WHERE id = ANY($1::bigint[]) AND merged_into IS NULL AND erased_at IS NULL ORDER BY id FOR UPDATE
"""


class Old(NamedTuple):
    """What would be deleted.

    Args:
        events: How many events, at most `COUNTED`.
        customers: How many customers they are about.
    """

    events: int
    customers: int


async def count_old(connection: Connection, name: str, before: datetime) -> Old:
    """Count the events of a type that occurred before an instant."""
    row = await connection.fetchrow(_COUNT, name, before, COUNTED)
    return Old(*row) if row else Old(0, 0)


async def delete_old(work: Work, name: str, before: datetime) -> int:
    """Delete events of a type that occurred before an instant, the oldest first, at most `CHUNK` of them.

    Their messages are not stored again. Figures of the customers are counted anew, and `customer.history_changed` tells
    consumers.

    Args:
        work: The unit of work; call it once in each.
        name: The event type.
        before: The instant.

    Returns:
        How many were deleted; fewer than `CHUNK` if no more are left.
    """
    connection = work.connection
    await connection.execute("SET LOCAL enable_seqscan = off")
    rows = await connection.fetch(_CHUNK, name, before, CHUNK)
    held = {row[0] for row in await connection.fetch(_LOCK, list({row["customer_id"] for row in rows}))}
    rows = [row for row in rows if row["customer_id"] in held]
    if rows:
        hashes = message_hashes(await work.platform.vault.keys(), (row["message_id"] for row in rows))
        await connection.execute(KEEP_MESSAGES, hashes)
        await connection.execute(DELETE_EVENTS, [row["batch_id"] for row in rows], [row["id"] for row in rows])
        await rebuild_stats(connection, held)
        # The event type is the core's, whoever's unit of work this is part of.
        plugin, work.plugin = work.plugin, ""
        for customer in sorted(held):
            work.emit("customer.history_changed", customer, properties=HistoryChanged(reason="retention"))
        work.plugin = plugin
    return len(rows)
