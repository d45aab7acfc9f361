"""Where the events of customers who were merged stand until they are moved."""

from __future__ import annotations

from collections.abc import Collection

from zhike.orm import Connection

TREE = """
WITH RECURSIVE tree AS (
  SELECT id AS customer_id, id AS home_id FROM unnest($1::bigint[]) AS n (id)
  UNION ALL
  SELECT tree.customer_id, c.id FROM tree JOIN customer AS c ON c.merged_into = tree.home_id
)"""
"""SQL that begins a statement: all who are part of the customers $1, themselves included."""

PLACES = f"""
{TREE}, place AS (
  SELECT n.id AS customer_id, n.id AS place_id, NULL::bigint[] AS homes,
    coalesce(array_agg(s.home_id) FILTER (WHERE s.home_id IS NOT NULL), '{{}}') AS others
  FROM unnest($1::bigint[]) AS n (id) LEFT JOIN customer_settling AS s ON s.place_id = n.id GROUP BY n.id
  UNION ALL
  SELECT tree.customer_id, s.place_id, array_agg(s.home_id), '{{}}'
  FROM tree JOIN customer_settling AS s ON s.home_id = tree.home_id AND s.place_id <> tree.customer_id
  GROUP BY tree.customer_id, s.place_id
)
"""
"""SQL that begins a statement: where the events of the customers $1, who are not merged away, stand at present."""

AT_PLACE = """
e.customer_id = place.place_id AND e.home_customer_id <> ALL (place.others)
AND (place.homes IS NULL OR e.home_customer_id = ANY (place.homes))
"""
"""The events `e` of a row of `place`."""

PLANS = "SET LOCAL enable_seqscan = off"
"""As in ingest: no plan that was made while tables were small may read a whole one."""


async def homes_of(connection: Connection, customers: Collection[int]) -> dict[int, int]:
    """Return all who are part of customers, themselves included, each with the one of the customers."""
    rows = await connection.fetch(f"{TREE} SELECT home_id, customer_id FROM tree", list(customers))
    return dict(map(tuple, rows))
