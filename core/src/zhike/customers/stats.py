"""Counts what customers did, from their events."""

from __future__ import annotations

from collections.abc import Collection

from zhike.customers.places import AT_PLACE, PLACES, PLANS
from zhike.orm import Connection

_FORGET_STATS = "DELETE FROM customer_event_stat WHERE customer_id = ANY($1::bigint[])"
# OFFSET 0 has each place looked up in the index, whatever the planner thinks of their number.
_COUNT_STATS = f"""
{PLACES}
INSERT INTO customer_event_stat (customer_id, name, currency, count, sum, first_at, last_at)
SELECT customer_id, coalesce(name, '*'), currency, count(*), coalesce(sum(amount), 0), min(occurred_at),
  max(occurred_at)
FROM (
  SELECT place.customer_id, found.* FROM place CROSS JOIN LATERAL (
    SELECT e.name, coalesce(e.currency, '') AS currency, e.amount, e.occurred_at
    FROM event AS e WHERE {AT_PLACE} AND e.behaviour OFFSET 0
  ) AS found
) AS behaviour
GROUP BY GROUPING SETS ((customer_id, name, currency), (customer_id, currency))
"""


async def rebuild_stats(connection: Connection, customers: Collection[int]) -> None:
    """Count the figures of customers anew from their events.

    Args:
        connection: In a transaction that has locked them `FOR UPDATE`, so that nobody counts meanwhile.
        customers: Who are not merged away.
    """
    await connection.execute(PLANS)
    await connection.execute(_FORGET_STATS, list(customers))
    await connection.execute(_COUNT_STATS, list(customers))
