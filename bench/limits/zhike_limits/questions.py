"""Questions about all customers, written by hand: each event is read once, by sets."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from zhike_limits.sql import SCAN, Connection

SETTINGS = "SET LOCAL jit = off; SET LOCAL work_mem = '64MB'"
# A count could as well read the smallest index, or use all cores; the limit is one pass over the rows.
_ONE_PASS = "SET LOCAL enable_indexonlyscan = off; SET LOCAL max_parallel_workers_per_gather = 0"
# $1 is now, $2 the beginning of the window.
_ASKED = """
SELECT count(*) FROM customer AS c JOIN (
  SELECT customer_id FROM event WHERE {rows} AND occurred_at <= $1{begins}
  GROUP BY customer_id HAVING {holds}
) AS matched ON matched.customer_id = c.id WHERE c.merged_into IS NULL
"""
_PAID = "name = 'order.paid'"
_MONEY = f"{_PAID} AND currency = 'CNY'"
QUESTIONS = {
    "count": (_PAID, "count(*) >= 3"),
    "sum": (_MONEY, "sum(amount) > 100000"),
    "avg": (_MONEY, "avg(amount) > 45000"),
    "min": (_MONEY, "min(amount) < 10000"),
    "max": (_MONEY, "max(amount) > 80000"),
    "days_since_first": (_PAID, "min(occurred_at) <= $1 - interval '120 hours'"),
    "days_since_last": (_PAID, "max(occurred_at) > $1 - interval '120 hours'"),
    "active_days": (_PAID, "count(DISTINCT (occurred_at AT TIME ZONE 'Asia/Shanghai')::date) >= 3"),
    "distinct": (_PAID, "count(DISTINCT properties ->> 'path') >= 3"),
    "sum of a property": (_PAID, "sum((properties ->> 'quantity')::numeric) >= 10"),
    "where": (f"{_PAID} AND properties ->> 'path' < '/p/2'", "count(*) >= 2"),
    "trend": (
        _PAID,
        "count(*) FILTER (WHERE occurred_at <= $3) > 0 AND count(*) FILTER (WHERE occurred_at > $3)"
        " - count(*) FILTER (WHERE occurred_at <= $3) < -0.5 * count(*) FILTER (WHERE occurred_at <= $3)",
    ),
}
"""Which events are measured, and what has to hold for those of a customer; `trend` has the window's middle as $3."""


async def ask(connection: Connection, question: str, now: datetime, *window: timedelta) -> tuple[float, int]:
    """Answer a question and return the milliseconds it took, and for how many customers it holds.

    Args:
        connection: To a database with the reference schema or one that has its columns.
        question: A key of `QUESTIONS`.
        now: The end of the window.
        window: How long before now it begins, if it does, and for `trend` how long before now its middle lies.
    """
    rows, holds = QUESTIONS[question]
    asked = _ASKED.format(rows=rows, holds=holds, begins=" AND occurred_at > $2" if window else "")
    return await timed(connection, SETTINGS, asked, now, *(now - length for length in window))


async def scan(connection: Connection) -> tuple[float, int]:
    """Count all events in one pass over the rows; the answer is as that of `ask`."""
    return await timed(connection, _ONE_PASS, SCAN)


async def timed(connection: Connection, settings: str, statement: str, *values: object) -> tuple[float, int]:
    """Run a statement with settings of its own and return its milliseconds and its one value."""
    async with connection.transaction():
        await connection.execute(settings)
        begun = time.perf_counter()
        answer = await connection.fetchval(statement, *values)
        return (time.perf_counter() - begun) * 1000, answer
