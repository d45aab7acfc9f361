"""Merging anonymous visitors into the customers they turned out to be, inside the transaction of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from zhike.customers.resolve import Merge
from zhike.customers.traits import encode_taken
from zhike.orm import Connection

Stat = tuple[int, str, str, int, int, datetime, datetime]
"""A row of customer_event_stat: customer, name, currency, count, sum, first and last instant."""

# Waits for units of work that are about to commit events of these customers, and has others wait to see who they are
# then (`zhike.events.emit`). Only afterwards, in a statement of its own, is everything seen that has to be moved.
_LOSE = "SELECT FROM customer WHERE id = ANY($1::bigint[]) ORDER BY id FOR UPDATE"

# What a job is about to move from there to somebody else is left to it.
# home_customer_id and shard keep saying whose the rows were first: that is what unmerge restores.
_MOVE = """
WITH pair AS (
  SELECT * FROM unnest($1::bigint[], $2::bigint[]) AS p (loser, winner)
), identities AS (
  UPDATE identity AS i SET customer_id = pair.winner FROM pair WHERE i.customer_id = pair.loser
), events AS (
  UPDATE event AS e SET customer_id = pair.winner FROM pair WHERE e.customer_id = pair.loser AND NOT EXISTS (
    SELECT FROM customer_settling AS s WHERE s.place_id = pair.loser AND s.home_id = e.home_customer_id
  )
), stats AS (
  DELETE FROM customer_event_stat AS s USING pair WHERE s.customer_id = pair.loser
  RETURNING pair.winner, s.name, s.currency, s.count, s.sum, s.first_at, s.last_at
) SELECT * FROM stats
"""

_RECORD = """
INSERT INTO customer_merge (id, merge_id, winner_id, loser_id, reason, origin, taken, created_at, settled_at)
SELECT id, CASE WHEN $6::boolean THEN min(id) OVER () ELSE id END, winner_id, loser_id,
  CASE WHEN $6 THEN 'chosen' ELSE 'anonymous' END, origin, taken::jsonb, $5::timestamptz,
  CASE WHEN NOT $6 THEN $5::timestamptz END
FROM (
  SELECT nextval('customer_merge_id_seq') AS id, m.*
  FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[]) AS m (winner_id, loser_id, origin, taken)
) AS numbered
RETURNING loser_id, id
"""


async def merge_visitors(
    connection: Connection, merges: Sequence[Merge], root: Callable[[int], int], now: datetime
) -> tuple[list[Stat], dict[int, int]]:
    """Give the stored identities and events of merged visitors to their winners and record the merges.

    The caller has locked losers and winners, and writes `merged_into` and the fields taken over. Visitors with
    more than `MERGE_LIMIT` events never come here: moving them would hold the batch up, so that they stay
    candidates.

    Args:
        connection: Inside the batch's transaction.
        merges: In the order in which they happened; all ids are stored ones.
        root: The customer at the end of a chain of merges.
        now: When they count as merged.

    Returns:
        The losers' stats, which are deleted here, under the ids of the winners. The caller adds them together
        with the batch's own, since the rows of customer_event_stat are locked in one pass, ordered by key. And the id
        of the recorded merge by loser.
    """
    losers = [merge.loser_id for merge in merges]
    await lose(connection, losers)
    stats = await connection.fetch(_MOVE, losers, [root(loser) for loser in losers])
    return [tuple(row) for row in stats], await record(connection, merges, now)


async def lose(connection: Connection, customers: Sequence[int]) -> None:
    """Wait for units of work that are about to commit events of locked customers, and let no others begin."""
    await connection.execute(_LOSE, customers)


async def record(
    connection: Connection, merges: Sequence[Merge], now: datetime, *, chosen: bool = False
) -> dict[int, int]:
    """Note merges, and return their ids by loser.

    Args:
        connection: In the transaction of the merges.
        merges: Which.
        now: When they count as merged.
        chosen: Whether somebody has said so; they are undone together, and may have events to move.
    """
    columns = [(merge.winner_id, merge.loser_id, merge.cause.origin, encode_taken(merge.taken)) for merge in merges]
    return dict(map(tuple, await connection.fetch(_RECORD, *map(list, zip(*columns, strict=True)), now, chosen)))
