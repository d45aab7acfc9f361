"""A plugin that keeps ten segments up to date as events come, as a plugin for segments would."""

from __future__ import annotations

from collections.abc import Sequence

from zhike.contracts import Consumer, EventType, RecordedEvent
from zhike.hooks import hookimpl
from zhike.work import Work
from zhike_limits.sql import Connection

PLUGIN = "segments"
EVENTS = ("page.view", "app.login", "order.paid", "cart.added")
# Amounts are in minor units. Customers leave those that ask for no order, and may enter any other.
RULES = (
    "views >= 10",
    "views >= 3 AND orders = 0",
    "logins >= 3",
    "logins = 0 AND views >= 8",
    "orders >= 2",
    "orders >= 3 AND spent >= 100000",
    "spent >= 50000",
    "spent >= 250000 AND last_order > now() - interval '30 days'",
    "carts >= 1 AND orders = 0",
    "views + logins + orders + carts >= 20 OR spent >= 500000",
)
TABLE = """
CREATE TABLE IF NOT EXISTS segments_member (
  segment smallint NOT NULL, customer_id bigint NOT NULL, PRIMARY KEY (customer_id, segment)
)
"""
# Every customer has done something before: 0 to 11 views, up to 3 log-ins, 2 orders and 1 full cart.
HISTORY = """
INSERT INTO customer_event_stat (customer_id, name, currency, count, sum, first_at, last_at)
SELECT
  n, k.name, CASE k.name WHEN 'order.paid' THEN 'CNY' ELSE '' END, n % k.most,
  CASE k.name WHEN 'order.paid' THEN n % k.most * (n % 50) * 1000 ELSE 0 END, now() - interval '40 days',
  now() - interval '20 days'
FROM generate_series(1, $1::bigint) AS n,
     (VALUES ('page.view', 12), ('app.login', 4), ('order.paid', 3), ('cart.added', 2)) AS k (name, most)
WHERE n % k.most > 0
ON CONFLICT DO NOTHING
"""
_TRUE_NOW = f"""
SELECT c.customer_id, rule.segment
FROM unnest($1::bigint[]) AS c (customer_id)
CROSS JOIN LATERAL (
  SELECT
    coalesce(max(count) FILTER (WHERE name = 'page.view'), 0) AS views,
    coalesce(max(count) FILTER (WHERE name = 'app.login'), 0) AS logins,
    coalesce(max(count) FILTER (WHERE name = 'cart.added'), 0) AS carts,
    coalesce(max(count) FILTER (WHERE name = 'order.paid'), 0) AS orders,
    coalesce(max(sum) FILTER (WHERE name = 'order.paid'), 0) AS spent,
    max(last_at) FILTER (WHERE name = 'order.paid') AS last_order
  FROM customer_event_stat WHERE customer_id = c.customer_id
) AS stat
CROSS JOIN LATERAL (VALUES {", ".join(f"({n}, {rule})" for n, rule in enumerate(RULES))}) AS rule (segment, holds)
WHERE rule.holds
"""
MEMBERS = f"INSERT INTO segments_member (customer_id, segment) {_TRUE_NOW} ON CONFLICT DO NOTHING"
_REFRESH = f"""
WITH current AS MATERIALIZED ({_TRUE_NOW}
), before AS MATERIALIZED (
  SELECT customer_id, segment FROM segments_member WHERE customer_id = ANY($1::bigint[])
), entered AS (
  INSERT INTO segments_member (customer_id, segment)
  SELECT customer_id, segment FROM current EXCEPT SELECT customer_id, segment FROM before
  RETURNING customer_id, segment
), gone AS (
  DELETE FROM segments_member AS m
  USING (SELECT customer_id, segment FROM before EXCEPT SELECT customer_id, segment FROM current) AS g
  WHERE (m.customer_id, m.segment) = (g.customer_id, g.segment)
  RETURNING m.customer_id, m.segment
)
SELECT 'segments.entered' AS name, customer_id, segment FROM entered
UNION ALL SELECT 'segments.left', customer_id, segment FROM gone
"""


class Segments:
    """The plugin.

    Attributes:
        changes: How many customers have entered or left a segment.
    """

    def __init__(self) -> None:
        self.changes = 0

    @hookimpl
    def register_event_types(self) -> list[EventType]:
        """Register what it tells others."""
        return [EventType(name=f"{PLUGIN}.{verb}", kind="platform", label=verb) for verb in ("entered", "left")]

    @hookimpl
    def register_consumers(self) -> list[Consumer]:
        """Register for everything that a rule asks for."""
        return [Consumer(events=EVENTS)]

    @hookimpl
    async def on_events_recorded(self, events: Sequence[RecordedEvent], work: Work) -> None:
        """Evaluate all rules for the customers of these events; write and tell what has changed."""
        latest = {event.customer_id: event for event in events}
        for name, customer, segment in await work.connection.fetch(_REFRESH, list(latest)):
            work.emit(name, customer, cause=latest[customer], key=str(segment), properties={"segment": segment})
            self.changes += 1


async def prepare(connection: Connection, customers: int) -> None:
    """Give customers a past and put them into the segments it puts them in."""
    await connection.execute(TABLE)
    await connection.execute(HISTORY, customers)
    await connection.execute(MEMBERS, list(range(1, customers + 1)))
    await connection.execute("VACUUM (ANALYZE) customer_event_stat, segments_member")
