"""How many customers belong to rules, of those that the reader sees: now, and day by day."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from zhike import clock
from zhike.access.scope import visible_customers
from zhike.i18n import text

if TYPE_CHECKING:
    from zhike.ui import PageCall

_COUNTS = """
SELECT m.rule_id, count(*) FROM {members} AS m JOIN customer AS c ON c.id = m.customer_id
WHERE m.rule_id = ANY($1::bigint[]) AND m.valid_to IS NULL AND {visible} GROUP BY m.rule_id
"""
_CHANGES = """
WITH held AS (
  SELECT (greatest(m.valid_from, $2) AT TIME ZONE $3)::date AS since, (m.valid_to AT TIME ZONE $3)::date AS until
  FROM {members} AS m JOIN customer AS c ON c.id = m.customer_id
  WHERE m.rule_id = $1 AND (m.valid_to IS NULL OR m.valid_to > $2) AND {visible}
)
SELECT day, sum(change)::bigint AS change FROM (
  SELECT since AS day, 1 AS change FROM held UNION ALL SELECT until, -1 FROM held WHERE until IS NOT NULL
) AS n GROUP BY day
"""


async def counts(call: PageCall, members: str, rule_ids: Collection[int], *, permission: str) -> dict[int, int]:
    """Return how many customers belong to each of some rules.

    Args:
        call: Who reads.
        members: See `StandingRules`.
        rule_ids: Which rules.
        permission: By which the reader sees customers.
    """
    statement = _COUNTS.format(members=members, visible=visible_customers(call.actor, "c", permission))
    rows = await call.db.fetch(statement, list(rule_ids))
    return dict.fromkeys(rule_ids, 0) | {row[0]: row[1] for row in rows}


async def by_day(
    call: PageCall, members: str, rule_id: int, *, permission: str, days: int = 60
) -> tuple[int, dict[str, Any]]:
    """Return how many customers belong now, and the chart of how many did at the end of each day.

    Args:
        call: Who reads; days are those of their zone.
        members: See `StandingRules`.
        rule_id: Which rule.
        permission: By which the reader sees customers.
        days: How many days the chart goes back.
    """
    now, statement = (
        clock.now(),
        _CHANGES.format(members=members, visible=visible_customers(call.actor, "c", permission)),
    )
    dates = [now.astimezone(call.zone).date() - timedelta(days=back) for back in range(days, -1, -1)]
    rows = await call.db.fetch(statement, rule_id, now - timedelta(days=days), str(call.zone))
    changes = {row["day"]: row["change"] for row in rows}
    values = list(accumulate(changes.get(date, 0) for date in dates))
    series = {"name": text("Customers").render(call.locale), "values": values}
    return values[-1], {"kind": "area", "names": [f"{date:%m-%d}" for date in dates], "series": [series]}
