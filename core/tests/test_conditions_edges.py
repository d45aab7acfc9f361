"""The edges of windows: where they are between two instants, and that scans of ranges find who crossed them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zhike.conditions.check import check
from zhike.conditions.checked import Checked
from zhike.conditions.comparison import Comparison
from zhike.conditions.compiler.edges import compile_edges
from zhike.conditions.compiler.passage import Passage, merged
from zhike.conditions.decode import decode
from zhike.conditions.dependencies import dependencies
from zhike.conditions.durations import Duration, anniversaries
from zhike.orm import Connection, Database
from zhike.platform import Platform

SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")
ZONES = [SHANGHAI, BERLIN, ZoneInfo("Australia/Lord_Howe"), ZoneInfo("America/St_Johns"), ZoneInfo("Asia/Gaza")]
NOW = datetime(2026, 3, 14, 8, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

instants = st.integers(0, 20_000_000).map(lambda minutes: datetime(2001, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes))
lengths = st.builds(Duration, months=st.integers(0, 40), seconds=st.integers(1, 40 * 86400))
jumps = st.sampled_from([timedelta(seconds=90), HOUR, 5 * HOUR, DAY, 40 * HOUR, 3 * DAY, 40 * DAY, 700 * DAY])
shares = st.floats(0, 1)


@given(instants, jumps, shares, lengths, st.sampled_from(ZONES), st.integers(1, 2))
# Three days that end early on 31 March, when 28 February begins once more.
@example(datetime(2026, 3, 27, 22, 30, tzinfo=UTC), 3 * DAY, 0.99, Duration(1, 0), BERLIN, 1)
@example(datetime(2026, 3, 27, 22, 30, tzinfo=UTC), 3 * DAY + HOUR, 0.98, Duration(1, 0), BERLIN, 1)
def test_all_the_begins_of_a_window_in_between_are_in_the_span(
    begin: datetime, jump: timedelta, share: float, length: Duration, zone: ZoneInfo, windows: int
) -> None:
    between = begin + jump * share
    low, high = Passage(begin, begin + jump, zone).before(length, windows=windows)
    for _ in range(windows):
        between = length.before(between, zone)
    assert low <= between <= high


def test_a_span_is_as_long_as_the_time_but_where_the_calendar_is_uneven() -> None:
    month = Duration(months=1, seconds=0)

    def passed(month_: int, day: int, hour: int) -> tuple[datetime, datetime]:
        begin = datetime(2026, month_, day, hour, tzinfo=BERLIN)
        return Passage(begin, begin + HOUR, BERLIN).before(month)

    low, high = passed(5, 20, 10)
    assert (low, high) == (datetime(2026, 4, 20, 8, tzinfo=UTC), datetime(2026, 4, 20, 9, tzinfo=UTC))
    # Midnight before 1 May skips from 30 March to 1 April, midnight before 31 March back to that of 28 February.
    low, high = passed(4, 30, 23)
    assert low <= datetime(2026, 3, 30, 21, tzinfo=UTC)
    assert high >= datetime(2026, 3, 31, 22, tzinfo=UTC)
    low, high = passed(3, 30, 23)
    assert low <= datetime(2026, 2, 27, 23, tzinfo=UTC)
    assert high >= datetime(2026, 2, 28, 23, tzinfo=UTC)
    assert high - low < timedelta(days=2)


@given(instants, jumps, shares, st.sampled_from(ZONES), st.integers(0, 10))
def test_the_anniversaries_that_differ_in_between_are_listed(
    begin: datetime, jump: timedelta, share: float, zone: ZoneInfo, days: int
) -> None:
    length = Duration(0, days * 86_400) if days else None
    listed = Passage(begin, begin + jump, zone).anniversaries(length)
    at_begin, between, at_end = (
        set(anniversaries(instant.astimezone(zone).date(), length))
        for instant in (begin, begin + jump * share, begin + jump)
    )
    assert set(listed) >= (between ^ at_end) | (between ^ at_begin)
    first, last = begin.astimezone(zone), (begin + jump).astimezone(zone)
    if (first.date(), first.utcoffset()) == (last.date(), last.utcoffset()):
        assert not listed


VALUES = [Decimal(value) for value in ("0", "1", "2", "2.5", "30", "-1")]


@pytest.mark.parametrize("op", ["eq", "gt", "gte", "lt", "lte", "between", "in"])
def test_ages_at_which_a_comparison_turns(op: str) -> None:
    for low in VALUES:
        for high in VALUES:
            values = (low, high) if op in ("between", "in") else (low,)
            comparison = Comparison(op=op, kind="number", values=values, negated=False)
            spans = Passage(NOW, NOW + HOUR, SHANGHAI).ages(comparison)
            turned = {
                days for days in range(1, 40) if comparison.holds(Decimal(days)) != comparison.holds(Decimal(days - 1))
            }
            assert {(NOW - begin) / DAY for begin, _ in spans} >= turned
            assert {end - begin for begin, end in spans} <= {HOUR}
            assert len(spans) <= len(values) * 2


def test_ages_beyond_all_time_are_left_out() -> None:
    huge = Comparison(op="gte", kind="number", values=(Decimal("1e308"),), negated=False)
    assert Passage(NOW, NOW + HOUR, SHANGHAI).ages(huge) == []


def test_the_direction_of_time_is_of_no_account() -> None:
    month = Duration(months=1, seconds=7)
    forth, back = Passage(NOW, NOW + 9 * DAY, BERLIN), Passage(NOW + 9 * DAY, NOW, BERLIN)
    assert forth.now == back.now == (NOW, NOW + 9 * DAY)
    assert forth.before(month) == back.before(month)
    assert forth.anniversaries(None) == back.anniversaries(None)


def test_spans_that_meet_become_one() -> None:
    spans = [(NOW + DAY, NOW + 2 * DAY), (NOW, NOW + HOUR), (NOW + HOUR, NOW + 2 * HOUR)]
    assert merged(spans) == [(NOW, NOW + 2 * HOUR), (NOW + DAY, NOW + 2 * DAY)]


INSERT = """
INSERT INTO event (
  message_id, name, customer_id, home_customer_id, occurred_at, batch_id, behaviour, shard, recorded_at, properties,
  source, origin, live
)
"""
REST = "1, true, 0, now(), '{}', '', 'system', true"


class Asked:
    """Asks for the edges of conditions."""

    def __init__(self, platform: Platform, connection: Connection) -> None:
        self._platform = platform
        self._connection = connection

    def checked(self, node: dict[str, Any]) -> Checked:
        return check(decode(msgspec.json.encode(node)), fields=self._platform.fields, settings=self._platform.settings)

    async def edges(self, node: dict[str, Any], begin: datetime, end: datetime) -> list[int]:
        sql, values = compile_edges(self.checked(node), begin, end, SHANGHAI)
        return sorted(row["customer_id"] for row in await self._connection.fetch(sql, *values))

    async def events(self, *events: tuple[int, str, datetime]) -> None:
        await self._connection.executemany(f"{INSERT} VALUES (gen_random_uuid(), $2, $1, $1, $3, {REST})", events)
        await self._connection.execute(
            "INSERT INTO event_type SELECT DISTINCT name, true FROM event ON CONFLICT DO NOTHING"
        )


@pytest.fixture
async def asked(database: Database, make_platform: Any) -> Any:
    async with database.connection() as connection:
        yield Asked(make_platform(database), connection)


def counted(**node: Any) -> dict[str, Any]:
    return {"type": "event", "event": "a", "measure": "count", "op": "gte", "value": 1} | node


async def test_an_event_is_an_edge_when_its_time_comes_and_when_it_leaves(asked: Asked) -> None:
    await asked.events(
        (1, "a", NOW), (2, "a", NOW - 7 * DAY), (3, "a", NOW - 2 * DAY), (4, "b", NOW), (5, "b", NOW + DAY)
    )
    week = counted(within="P7D")
    assert await asked.edges(week, NOW - HOUR, NOW) == [1, 2]
    assert await asked.edges(week, NOW, NOW + HOUR) == []
    assert await asked.edges(week, NOW, NOW - HOUR) == [1, 2]
    assert await asked.edges(counted(), NOW - HOUR, NOW) == [1]
    assert await asked.edges(counted(event="*"), NOW - HOUR, NOW) == [1, 4]
    trend = {"type": "trend", "event": "a", "measure": "count", "op": "gt", "value": 0, "within": "P1D"}
    # The end of the later window, its begin, and that of the earlier one.
    assert await asked.edges(trend, NOW - HOUR, NOW) == [1, 3]
    assert await asked.edges(trend, NOW + DAY - HOUR, NOW + DAY) == [1]
    assert await asked.edges(trend, NOW + 2 * DAY - HOUR, NOW + 2 * DAY) == [1]
    assert await asked.edges(trend, NOW + 3 * DAY - HOUR, NOW + 3 * DAY) == []
    assert await asked.edges({"type": "all", "of": [week, trend]}, NOW - HOUR, NOW) == [1, 2, 3]


async def test_days_since_are_edges_only_at_the_values_asked_for(asked: Asked) -> None:
    await asked.events(*[(days, "a", NOW - days * DAY) for days in range(1, 10)])
    node = counted(measure="days_since_last", op="gte", value=3)
    assert await asked.edges(node, NOW - HOUR, NOW) == [3]
    assert await asked.edges(node | {"op": "between", "value": [3, 5]}, NOW - HOUR, NOW) == [3, 6]
    assert await asked.edges(node | {"op": "in", "value": [3, 4, 8]}, NOW - HOUR, NOW) == [3, 4, 5, 8, 9]
    assert await asked.edges(node | {"op": "is_set", "value": None}, NOW - HOUR, NOW) == []


async def test_where_limits_the_edges_and_may_have_its_own(asked: Asked) -> None:
    await asked.events((1, "a", NOW), (2, "a", NOW - 3 * DAY), (3, "a", NOW - 9 * DAY))
    since = {"type": "field", "field": "event.occurred_at", "op": "before", "value": (NOW - DAY).isoformat()}
    assert await asked.edges(counted(where=since), NOW - HOUR, NOW) == []
    assert await asked.edges(counted(where=since, within="P9D"), NOW - HOUR, NOW) == [3]
    recent = since | {"op": "within_last", "value": "P3D"}
    assert await asked.edges(counted(where=recent), NOW - HOUR, NOW) == [1, 2]
    assert await asked.edges(counted(where={"type": "not", "of": recent}), NOW - HOUR, NOW) == [1, 2]


async def test_dates_of_customers(asked: Asked, database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO customer (id, attributes) VALUES (1, $1), (2, $2), (3, $3), (4, $4)",
            *['{"born": "1990-03-15"}', '{"born": "1990-03-14T23:30:00+08:00"}', '{"born": "2000-03-16"}', "{}"],
        )
    node = {"type": "field", "field": "customer.attributes.born", "op": "anniversary"}
    midnight = datetime(2026, 3, 14, 16, tzinfo=UTC)
    assert await asked.edges(node, midnight - HOUR, midnight - timedelta(seconds=1)) == []
    assert await asked.edges(node, midnight - HOUR, midnight) == [1, 2]
    assert await asked.edges(node | {"value": "P2D"}, midnight - HOUR, midnight) == [2, 3]
    recent = node | {"op": "within_last", "value": "P1Y"}
    born = datetime(2000, 3, 15, 16, tzinfo=UTC)
    assert await asked.edges(recent, born - HOUR, born) == [3]
    assert await asked.edges(recent, born + HOUR, born + DAY) == []


@pytest.mark.parametrize(
    "node",
    [
        {"type": "field", "field": "customer.stage", "op": "eq", "value": "lead"},
        {"type": "field", "field": "customer.created_at", "op": "before", "value": "2026-01-01"},
        {"type": "all", "of": []},
    ],
)
async def test_what_does_not_depend_on_time_has_no_edges(asked: Asked, node: dict[str, Any]) -> None:
    await asked.events((1, "a", NOW))
    assert await asked.edges(node, NOW - 400 * DAY, NOW + 400 * DAY) == []
    assert not dependencies(asked.checked(node), asked._platform.fields).timed


async def test_edges_of_a_large_log_are_found_through_its_index(asked: Asked, database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute(
            f"{INSERT} SELECT n, 'a', n, n, $1::timestamptz - n * interval '1 minute', {REST}"
            " FROM generate_series(1, 30000) AS n",
            NOW,
        )
        await connection.execute("ANALYZE event")
        node = counted(within="P7D") | {"measure": "days_since_last", "op": "in", "value": [1, 2, 9]}
        sql, values = compile_edges(asked.checked(node), NOW - timedelta(minutes=5), NOW, SHANGHAI)
        plan = await connection.fetch(f"EXPLAIN {sql}", *values)
        assert any("event_name_time" in row[0] for row in plan)
        assert not any("Seq Scan on event" in row[0] for row in plan)
        assert len(await connection.fetch(sql, *values)) == 4 + 5 + 5 * 5


def depends(asked: Asked, node: dict[str, Any]) -> tuple[Sequence[str], bool, bool]:
    found = dependencies(asked.checked(node), asked._platform.fields)
    always = {"customer.created", "customer.merged", "customer.history_changed"}
    assert found.events >= always
    return sorted(found.events - always), found.any_behaviour, found.timed


async def test_dependencies(asked: Asked) -> None:
    city = {"type": "field", "field": "customer.attributes.city", "op": "eq", "value": "a"}
    touched = {"type": "field", "field": "customer.updated_at", "op": "is_set"}
    born = {"type": "field", "field": "customer.attributes.born", "op": "anniversary"}
    assert depends(asked, city) == (["customer.updated"], False, False)
    assert depends(asked, touched) == (["customer.updated"], True, False)
    assert depends(asked, {"type": "not", "of": born}) == (["customer.updated"], False, True)
    assert depends(asked, counted()) == (["a"], False, True)
    assert depends(asked, counted(event="*")) == ([], True, True)
    both = {"type": "any", "of": [city, counted(event=["a", "b"], where={"type": "all", "of": []})]}
    assert depends(asked, both) == (["a", "b", "customer.updated"], False, True)
