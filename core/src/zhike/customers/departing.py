"""Sends the events of customers who are merged or parted to where they belong: few at once, many by a job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from zhike.customers import settling
from zhike.customers.places import PLANS
from zhike.work import Work

_HOMES = """
WITH home AS (SELECT * FROM unnest($1::bigint[], $2::bigint[]) AS h (home_id, root_id)), place AS (
  SELECT unnest($3::bigint[]) AS place_id
  UNION
  SELECT s.place_id FROM customer_settling AS s JOIN home USING (home_id)
)
"""
_FEW = f"""
{_HOMES}
SELECT count(*) <= $4 FROM (
  SELECT FROM place CROSS JOIN LATERAL (
    SELECT FROM event AS e JOIN home ON home_id = e.home_customer_id
    WHERE e.customer_id = place.place_id AND e.customer_id <> root_id OFFSET 0
  ) AS found LIMIT $4 + 1
) AS stray
"""
_MOVE = f"""
{_HOMES}, settled AS (
  DELETE FROM customer_settling WHERE home_id = ANY($1::bigint[]) RETURNING place_id
), moved AS (
  UPDATE event AS e SET customer_id = home.root_id FROM place, home
  WHERE e.customer_id = place.place_id AND e.home_customer_id = home.home_id AND e.customer_id <> home.root_id
) SELECT DISTINCT place_id FROM settled
"""
_NOTE = """
INSERT INTO customer_settling (place_id, home_id, customer_merge_id)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])
ON CONFLICT (place_id, home_id) DO UPDATE SET customer_merge_id = excluded.customer_merge_id
"""
# What an earlier merge has not moved yet goes to whom it goes now: the later one is not settled before.
_FOLLOW = """
UPDATE customer_settling AS s SET customer_merge_id = h.merge
FROM unnest($1::bigint[], $2::bigint[]) AS h (home_id, merge) WHERE s.home_id = h.home_id
"""
_AT_HOME = """
DELETE FROM customer_settling AS s USING unnest($1::bigint[], $2::bigint[]) AS h (home_id, root_id)
WHERE s.home_id = h.home_id AND s.place_id = h.root_id
"""
_WHERE = "SELECT DISTINCT place_id FROM customer_settling WHERE home_id = ANY($1::bigint[])"


class Departure(NamedTuple):
    """Events that are to go.

    Args:
        place: With whom they stand.
        home: Whose they were first.
        root: To whom they go.
        merge: The id in customer_merge of why.
    """

    place: int
    home: int
    root: int
    merge: int


async def depart(work: Work, departures: Sequence[Departure]) -> set[int]:
    """Move events at once if they are few, else have them moved; the customers are locked `FOR UPDATE`.

    Returns:
        With whom they had been left by what has happened before, if they are gone from there now.
    """
    connection = work.connection
    await connection.execute(PLANS)
    homes, roots = [each.home for each in departures], [each.root for each in departures]
    places = list({each.place for each in departures})
    if await connection.fetchval(_FEW, homes, roots, places, settling.CHUNK):
        return {row["place_id"] for row in await connection.fetch(_MOVE, homes, roots, places)}
    await connection.execute(_NOTE, [each.place for each in departures], homes, [each.merge for each in departures])
    await connection.execute(_FOLLOW, homes, [each.merge for each in departures])
    await connection.execute(_AT_HOME, homes, roots)
    for row in await connection.fetch(_WHERE, homes):
        settling.enqueue(work, row["place_id"])
    return set()
