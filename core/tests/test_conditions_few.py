"""The plan for a few customers: which indexes it goes through, and when stored totals answer instead of events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec
import pytest

from zhike.conditions.catalog import Fields
from zhike.conditions.check import check
from zhike.conditions.checked import Checked, Moment
from zhike.conditions.compiler import few
from zhike.conditions.compiler.statement import compile_each, compile_members
from zhike.conditions.decode import decode
from zhike.orm import Connection
from zhike.platform import assemble
from zhike.settings import Settings

NOW = datetime(2026, 3, 14, 8, tzinfo=UTC)
DAY = timedelta(days=1)
MOMENT = Moment(NOW, "Asia/Shanghai")
FIELDS = Fields(assemble({}).registry)
CUSTOMERS, EVENTS = 2_000, 20_000

INSERT = """
INSERT INTO event (
  message_id, name, behaviour, customer_id, home_customer_id, occurred_at, amount, currency, batch_id, shard,
  recorded_at, properties, source, origin, live
)
"""
REST = "1, 0, now(), '{}', '', 'system', true"
TOTALS = """
INSERT INTO customer_event_stat
SELECT customer_id, kind, coalesce(currency, ''), count(*), coalesce(sum(amount), 0), min(occurred_at), max(occurred_at)
FROM event, LATERAL (VALUES (name), ('*')) AS kinds (kind) WHERE behaviour GROUP BY 1, 2, 3
"""


async def fill(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"INSERT INTO customer (id) SELECT generate_series(1, {CUSTOMERS})")
        await connection.execute(
            f"{INSERT} SELECT n, (ARRAY['a', 'b', 'c'])[n % 3 + 1], true, c, c, $1::timestamptz - n % 400 * interval"
            f" '1 day', n % 7, 'CNY', {REST} FROM generate_series(1, {EVENTS}) AS n,"
            f" LATERAL (SELECT n % {CUSTOMERS} + 1 AS c) AS customers",
            NOW,
        )
        await connection.execute(TOTALS)
        await connection.execute("INSERT INTO event_type SELECT DISTINCT name, behaviour FROM event")
        await connection.execute("VACUUM (ANALYZE)")
    finally:
        await connection.close()


@pytest.fixture
async def connection(filled_url: str) -> AsyncIterator[Connection]:
    """In a transaction that leaves nothing, with the settings that the statement wants."""
    opened = await asyncpg.connect(filled_url)
    transaction = opened.transaction()
    await transaction.start()
    await opened.execute(few.PLANNING)
    yield opened
    await transaction.rollback()
    await opened.close()


def checked(node: dict[str, Any]) -> Checked:
    settings = Settings(data="unused", timezone=MOMENT.zone)  # type: ignore[arg-type]  # no file is read
    return check(decode(msgspec.json.encode(node)), fields=FIELDS, settings=settings)


def compiled(node: dict[str, Any], ids: list[int], now: datetime = NOW) -> tuple[str, list[Any]]:
    moment = Moment(now, MOMENT.zone)
    return compile_members(checked(node), select="customer.id", moment=moment, visible="true", among=ids)


async def members(connection: Connection, node: dict[str, Any], ids: list[int], now: datetime = NOW) -> list[int]:
    sql, values = compiled(node, ids, now)
    return sorted(row["id"] for row in await connection.fetch(sql, *values))


def event(measure: str = "count", **node: Any) -> dict[str, Any]:
    of = {"of": "amount"} if measure in ("sum", "avg", "min", "max", "distinct") else {}
    return {"type": "event", "event": "a", "measure": measure, "op": "gte", "value": 1} | of | node


BY_TOTALS = [
    event(),
    event("sum"),
    event("avg", event="*"),
    event("days_since_first"),
    event("days_since_last", event=["a", "b"], op="lt"),
]
BY_EVENTS = [
    event(within="P90D"),
    event("sum", event="*", within="P1Y"),
    event("min"),
    event("max", event="*"),
    event("distinct"),
    event("active_days"),
    event("days_since_last", within="P30D"),
    event(where={"type": "field", "field": "event.source", "op": "is_not_set"}),
    {"type": "trend", "event": "*", "measure": "count", "within": "P30D", "op": "lt", "value": -0.5},
]


@pytest.mark.parametrize("node", BY_TOTALS + BY_EVENTS, ids=str)
@pytest.mark.parametrize("size", [1, 100])
async def test_each_customer_is_looked_up_through_indexes(
    connection: Connection, node: dict[str, Any], size: int
) -> None:
    sql, values = compiled({"type": "not", "of": node}, list(range(1, size + 1)))
    plan = "\n".join([row[0] for row in await connection.fetch(f"EXPLAIN {sql}", *values)])
    for table in ("customer", "event", "customer_event_stat"):
        assert f"Seq Scan on {table}\n" not in plan.replace(" (", "\n"), plan
    assert ("customer_event_stat_pkey" in plan) == (node in BY_TOTALS), plan
    if node in BY_EVENTS:
        assert "event_timeline" in plan
        assert "event_name_time" not in plan


@pytest.mark.parametrize("node", BY_TOTALS, ids=str)
async def test_totals_answer_without_the_events(connection: Connection, node: dict[str, Any]) -> None:
    before = await members(connection, node, [1, 2, 3, 4, 5, 6])
    await connection.execute("DELETE FROM event")
    assert await members(connection, node, [1, 2, 3, 4, 5, 6]) == before
    await connection.execute("DELETE FROM customer_event_stat")
    assert await members(connection, node, [1, 2, 3, 4, 5, 6]) == []


async def test_totals_that_know_later_events_do_not_answer(connection: Connection) -> None:
    await connection.execute("DELETE FROM event")
    await connection.execute("DELETE FROM customer_event_stat")
    await connection.execute(
        f"{INSERT} VALUES ('x', 'a', true, 1, 1, $1, 100, 'CNY', {REST}),"
        f" ('y', 'a', true, 1, 1, $2, 300, 'CNY', {REST}), ('z', 'a', true, 2, 2, $1, 100, 'CNY', {REST})",
        NOW - 3 * DAY,
        NOW + DAY / 2,
    )
    await connection.execute(TOTALS)
    both = [1, 2]
    assert await members(connection, event(value=2), both) == []
    assert await members(connection, event("sum", op="eq"), both) == both
    assert await members(connection, event("avg", op="eq"), both) == both
    assert await members(connection, event("days_since_last", op="eq", value=3), both) == both
    assert await members(connection, event("days_since_first", op="eq", value=3), both) == both
    assert await members(connection, event(value=2), both, NOW + DAY) == [1]
    assert await members(connection, event("avg", op="eq", value=2), both, NOW + DAY) == [1]
    assert await members(connection, event("days_since_last", op="eq", value=0), both, NOW + DAY) == [1]
    # Long before, nobody had done anything.
    assert (
        await members(connection, event("days_since_first", op="is_not_set", value=None), both, NOW - 9 * DAY) == both
    )


async def test_totals_know_nothing_of_what_we_did(connection: Connection) -> None:
    await connection.execute(f"{INSERT} VALUES ('x', 'tag.added', false, 1, 1, $1, NULL, NULL, {REST})", NOW - DAY)
    await connection.execute("INSERT INTO event_type VALUES ('tag.added', false)")
    assert await members(connection, event(event="tag.added"), [1, 2]) == [1]
    assert await members(connection, event("days_since_last", event="tag.added"), [1, 2]) == [1]
    own, all_ = event(event=["tag.added", "a"], value=100), event(event="*", value=100)
    assert await members(connection, {"type": "any", "of": [own, all_]}, [1, 2]) == []


async def test_only_those_asked_about_are_found(connection: Connection) -> None:
    everybody = {"type": "all", "of": []}
    assert await members(connection, everybody, [3, 1, CUSTOMERS + 7, -1, 3]) == [1, 3]
    assert await members(connection, everybody, []) == []
    await connection.execute("UPDATE customer SET merged_into = 1 WHERE id = 3")
    assert await members(connection, everybody, [1, 3]) == [1]


async def test_parts_that_others_decide_are_left_out(connection: Connection) -> None:
    nobody = {"type": "field", "field": "customer.stage", "op": "eq", "value": "won"}
    sql, values = compiled({"type": "all", "of": [event(within="P1Y"), nobody]}, list(range(1, 101)))
    plan = [row[0] for row in await connection.fetch(f"EXPLAIN (ANALYZE, TIMING OFF) {sql}", *values)]
    assert any("event_timeline" in line and "never executed" in line for line in plan), plan


async def test_events_of_a_name_are_read_once_for_all_that_is_measured(connection: Connection) -> None:
    trend = {"type": "trend", "event": "a", "measure": "sum", "of": "amount", "within": "P30D", "op": "gt", "value": 1}
    nodes = [event(within="P90D"), event("min", within="P1Y"), event("active_days", within="P7D", op="lt"), trend]
    asked = [(checked(node), [1, 2, 3]) for node in nodes] + [(checked(event(event="b", within="P90D")), [4, 5])]
    sql, values = compile_each(asked, MOMENT)
    plan = [row[0] for row in await connection.fetch(f"EXPLAIN (ANALYZE, TIMING OFF, BUFFERS OFF) {sql}", *values)]
    runs = sorted(line.partition("loops=")[2].rstrip(")") for line in plan if "event_timeline" in line)
    assert runs == ["2", "3"], "\n".join(plan)  # of each name once per customer who is asked about
