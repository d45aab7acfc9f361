"""Rows S1 and S2: a condition evaluated for all customers, against SQL written by hand and against one pass."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from zhike.conditions import service
from zhike.conditions.checked import Moment
from zhike.conditions.compiler.statement import compile_members, planning
from zhike_bench.bars import Row
from zhike_bench.engines import make_platform
from zhike_bench.pairs import interleave
from zhike_bench.stage import Stage
from zhike_limits import questions
from zhike_limits.sql import Connection

Condition = dict[str, Any]
Leg = Callable[[], Awaitable[tuple[float, int]]]

PASSES = 2.0  # over all events: what a count or a sum over up to 90 days may take
DAYS = {"P7D": 7, "P90D": 90, "P1Y": 365}
_PAID: Condition = {"type": "event", "event": "order.paid"}
_MONEY = _PAID | {"of": "amount"}
_PATH = {"type": "field", "field": "event.properties.path", "op": "lt", "value": "/p/2"}
MEASURES: dict[str, Condition] = {
    "count": _PAID | {"measure": "count", "op": "gte", "value": 3},
    "sum": _MONEY | {"measure": "sum", "op": "gt", "value": 1000},
    "avg": _MONEY | {"measure": "avg", "op": "gt", "value": 450},
    "min": _MONEY | {"measure": "min", "op": "lt", "value": 100},
    "max": _MONEY | {"measure": "max", "op": "gt", "value": 800},
    "days_since_first": _PAID | {"measure": "days_since_first", "op": "gte", "value": 5},
    "days_since_last": _PAID | {"measure": "days_since_last", "op": "lt", "value": 5},
    "active_days": _PAID | {"measure": "active_days", "op": "gte", "value": 3},
    "distinct": _PAID | {"measure": "distinct", "of": "event.properties.path", "op": "gte", "value": 3},
    "sum of a property": _PAID | {"measure": "sum", "of": "event.properties.quantity", "op": "gte", "value": 10},
    "where": _PAID | {"measure": "count", "where": _PATH, "op": "gte", "value": 2},
}
"""The questions of the limits with the same names, put as conditions."""
TREND: Condition = {"type": "trend", "event": "order.paid", "measure": "count", "op": "lt", "value": -0.5}
STORED = ("count", "sum", "avg", "days_since_first", "days_since_last")
"""Measures that stored totals answer where there is no window."""


class Evaluator:
    """Evaluates conditions over the history, for all customers at one instant.

    Args:
        stage: Where.
        connection: To the product's database.
    """

    def __init__(self, stage: Stage, connection: Connection) -> None:
        self._stage = stage
        self._connection = connection
        self.now = datetime.now(UTC)

    async def row(self, identifier: str, condition: Condition, limit: Leg, *, same: bool) -> Row:
        """Measure a row.

        Args:
            identifier: Its id.
            condition: What the product evaluates.
            limit: Runs the limit's side; returns milliseconds and its answer.
            same: Whether both sides have to answer alike.
        """
        platform = make_platform(self._stage.settings, await self._stage.db())
        checked = service.check(platform, condition)
        moment = Moment(self.now, self._stage.settings.timezone)
        answers = set()

        async def product(_: int) -> float:
            sql, values = compile_members(checked, select="count(*)", moment=moment, visible="true")
            milliseconds, answer = await questions.timed(self._connection, planning(checked), sql, *values)
            answers.add(answer)
            return milliseconds

        async def other(_: int) -> float:
            milliseconds, answer = await limit()
            if same:
                answers.add(answer)
            return milliseconds

        row = await interleave(identifier, self._stage.scale, self._stage.pairs, product, other)
        if len(answers) != 1:
            raise RuntimeError(f"{identifier}: {condition} gave {answers}")
        return row

    async def by_hand(self, question: str, condition: Condition, *days: int) -> Row:
        """Measure a condition against the question it puts, over a window of so many days."""
        lengths = [timedelta(days=each) for each in days]
        return await self.row(
            "S1", condition, lambda: questions.ask(self._connection, question, self.now, *lengths), same=True
        )

    async def passes(self, identifier: str, condition: Condition) -> Row:
        """Measure a condition against one pass over all events."""
        return await self.row(identifier, condition, lambda: questions.scan(self._connection), same=False)


async def s1(stage: Stage) -> list[tuple[str, Row]]:
    """Every measure over every window against the question written by hand; counts and sums against passes too."""
    await stage.history()
    measured = []
    async with stage.owner() as connection:
        evaluator = Evaluator(stage, connection)
        for name, condition in MEASURES.items():
            measured.append((f"{name}, all time", await evaluator.by_hand(name, condition)))
            for label, days in DAYS.items():
                windowed = condition | {"within": f"P{days}D"}
                measured.append((f"{name}, {label}", await evaluator.by_hand(name, windowed, days)))
                if name in ("count", "sum") and days <= 90:
                    row = await evaluator.passes("S1", windowed)
                    measured.append((f"{name}, {label} / one pass", msgspec.structs.replace(row, bar=PASSES)))
        for label, days in DAYS.items():
            trend = TREND | {"within": f"P{days}D"}
            measured.append((f"trend, {label}", await evaluator.by_hand("trend", trend, days * 2, days)))
    return measured


async def s2(stage: Stage) -> list[tuple[str, Row]]:
    """Every measure that stored totals answer, over all time, against one pass over all events."""
    await stage.history()
    async with stage.owner() as connection:
        evaluator = Evaluator(stage, connection)
        return [
            (f"{name}{suffix}", await evaluator.passes("S2", MEASURES[name] | asked))
            for name in STORED
            for suffix, asked in (("", {}), (" of all behaviours", {"event": "*"}))
        ]
