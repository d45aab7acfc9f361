"""Rows S3a and S3b: a condition evaluated for customers who have changed, against the same condition for everybody."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from zhike.conditions import service
from zhike.conditions.checked import Checked, Moment
from zhike.conditions.compiler import few, statement
from zhike.conditions.planned import planned
from zhike_bench.bars import Row, middle
from zhike_bench.engines import make_platform
from zhike_bench.pairs import interleave
from zhike_bench.stage import Stage
from zhike_limits.sql import Connection

Rules = dict[str, dict[str, Any]]

CHANGED = 1000
REPEATS = 5  # of the side that takes milliseconds, of which the median counts
_PAID: dict[str, Any] = {"type": "event", "event": "order.paid"}
_SPENT = _PAID | {"measure": "sum", "of": "amount"}
TOTALS: Rules = {
    "count": _PAID | {"measure": "count", "op": "gte", "value": 5},
    "sum": _SPENT | {"op": "gt", "value": 5000},
    "avg": _SPENT | {"measure": "avg", "op": "gt", "value": 800},
    "days since": {"type": "event", "event": "*", "measure": "days_since_last", "op": "gte", "value": 60},
    "R1": {
        "type": "all",
        "of": [
            {"type": "field", "field": "customer.attributes.city", "op": "in", "value": ["city1", "city2", "city3"]},
            {"type": "event", "event": "app.login", "measure": "days_since_last", "op": "gte", "value": 30},
            _SPENT | {"op": "gt", "value": 100},
        ],
    },
}
"""Rules that stored totals answer."""
_PATH = {"type": "field", "field": "event.properties.path", "op": "eq", "value": "/p/1"}
EVENTS: Rules = {
    "count P7D": _PAID | {"measure": "count", "within": "P7D", "op": "gte", "value": 2},
    "count P90D": _PAID | {"measure": "count", "within": "P90D", "op": "gte", "value": 3},
    "sum P1Y": _SPENT | {"within": "P1Y", "op": "gt", "value": 5000},
    "active days": {"type": "event", "event": "*", "measure": "active_days", "within": "P90D", "op": "gte", "value": 5},
    "where": {
        "type": "event",
        "event": "page.view",
        "where": _PATH,
        "measure": "count",
        "within": "P90D",
        "op": "gte",
        "value": 1,
    },
    "max": _SPENT | {"measure": "max", "op": "gt", "value": 890},
    "trend": {"type": "trend", "event": "*", "measure": "count", "within": "P30D", "op": "lt", "value": -0.5},
}
"""Rules that need the events themselves."""
_CHANGED = "SELECT customer_id FROM event GROUP BY 1 ORDER BY max(occurred_at) DESC LIMIT $1"


async def s3a(stage: Stage) -> list[tuple[str, Row]]:
    """Rules on totals."""
    return await _rows(stage, "S3a", TOTALS)


async def s3b(stage: Stage) -> list[tuple[str, Row]]:
    """Rules on events."""
    return await _rows(stage, "S3b", EVENTS)


async def _rows(stage: Stage, identifier: str, rules: Rules) -> list[tuple[str, Row]]:
    await stage.history()
    db = await stage.db()
    platform = make_platform(stage.settings, db)
    async with stage.owner() as connection:
        rows = await connection.fetch(_CHANGED, max(10, round(CHANGED * stage.scale)))
        # Those who were active last, as after their events.
        changed = [row["customer_id"] for row in rows]
        return [
            (name, await _compared(stage, identifier, connection, service.check(platform, rule), changed))
            for name, rule in rules.items()
        ]


async def _compared(
    stage: Stage, identifier: str, connection: Connection, checked: Checked, changed: Sequence[int]
) -> Row:
    moment = Moment(datetime.now(UTC), stage.settings.timezone)

    async def evaluate(planning: str, among: Sequence[int] | None) -> float:
        begun = time.perf_counter()
        async with planned(connection, planning):  # type: ignore[arg-type]  # a pooled one is one
            sql, values = statement.compile_members(
                checked, select="count(*)", moment=moment, visible="true", among=among
            )
            await connection.fetchval(sql, *values)
        return (time.perf_counter() - begun) * 1000

    async def product(_: int) -> float:
        return middle([await evaluate(few.PLANNING, changed) for _ in range(REPEATS)])

    async def limit(_: int) -> float:
        return await evaluate(statement.planning(checked), None)

    return await interleave(identifier, stage.scale, stage.pairs, product, limit)
