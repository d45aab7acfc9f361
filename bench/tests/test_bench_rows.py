"""Rows of the log, the jobs and the hooks, tried out at a size that measures nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from zhike_bench.bars import BARS, Row
from zhike_bench.rows import ROWS, Measured, changed, everybody, search
from zhike_bench.segments import RULES
from zhike_bench.stage import Stage
from zhike_limits.tickets import RedisServer

PAIRS = 2


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with Stage(0.001, PAIRS) as made:
        yield made


async def measure(stage: Stage, identifier: str, variants: list[str]) -> list[Row]:
    """Run a row, check its shape and return it."""
    measured: Measured = await ROWS[identifier](stage)
    assert [variant for variant, _ in measured] == variants
    rows = [row for _, row in measured]
    for row in rows:
        assert (row.id, row.unit, row.pairs) == (identifier, BARS[identifier].unit, PAIRS)
        assert 0 < row.low <= row.value <= row.high
        assert row.product > 0
        assert row.limit > 0
    return rows


@pytest.mark.asyncio(loop_scope="module")
class TestRows:
    async def test_i8_evaluates_the_rules_of_all_whom_events_concern(self, stage: Stage) -> None:
        [row] = await measure(stage, "I8", [""])
        # With two pairs this lies between their ratios, however much a busy machine has drawn these apart.
        assert row.low * 0.999 <= row.product / row.limit <= row.high * 1.001
        async with stage.owner() as connection:
            told = dict(await connection.fetch("SELECT name, count(*) FROM event WHERE NOT behaviour GROUP BY 1"))
            assert told["segments.entered"] > told["segments.left"] > 0
            # A customer entered as often as they left, once more if they are in it, once less if they were at first.
            wrong = await connection.fetchval(
                """
                SELECT count(*) FROM (
                  SELECT customer_id, (properties->>'segment')::int AS segment,
                         sum(CASE name WHEN 'segments.entered' THEN 1 ELSE -1 END) AS balance
                  FROM event WHERE name LIKE 'segments.%' GROUP BY 1, 2
                ) AS changes
                LEFT JOIN segments_member AS m USING (customer_id, segment)
                WHERE balance NOT BETWEEN -1 AND 1 OR (balance = 1) > (m.segment IS NOT NULL)
                """
            )
            assert wrong == 0
            # Few spend as much at this size as two of the rules ask for.
            segments = await connection.fetchval("SELECT count(DISTINCT segment) FROM segments_member")
            assert len(RULES) - 2 <= segments <= len(RULES)

    async def test_s6_compares_times(self, stage: Stage) -> None:
        await measure(stage, "S6", [""])
        async with stage.owner() as connection:
            stored = await connection.fetchval("SELECT count(*) FROM event WHERE behaviour")
            counted = await connection.fetchval("SELECT sum(count) FROM customer_event_stat WHERE name = '*'")
            assert 0 < counted < stored  # half of them were stored without

    async def test_l1_passes_the_log_by(self, stage: Stage) -> None:
        [row] = await measure(stage, "L1", ["batches of 100"])
        assert row.value > 1

    async def test_l2_takes_the_worst(self, stage: Stage) -> None:
        [row] = await measure(stage, "L2", [""])
        assert row.value == row.high < 30
        async with stage.owner() as connection:  # what hung is gone
            assert not await connection.fetchval("SELECT count(*) FROM log_batch WHERE size = 0")

    async def test_l3_is_a_time_and_no_ratio(self, stage: Stage) -> None:
        [row] = await measure(stage, "L3", [""])
        assert row.value == row.product > row.limit

    async def test_q2(self, stage: Stage) -> None:
        if RedisServer.program() is None:
            pytest.skip("redis-server is not installed")
        await measure(stage, "Q2", [""])

    async def test_q3_and_q6_leave_the_timers_that_wait(self, stage: Stage) -> None:
        async with stage.owner() as connection:  # as a plugin's schedule leaves when its server stops
            left = "INSERT INTO job (name, plugin, payload, due_at) VALUES ('acme.left', 'acme', '{}', now())"
            await connection.execute(left)
        await measure(stage, "Q3", [""])
        [row] = await measure(stage, "Q6", ["p99"])
        assert row.limit == 250
        db, new = await stage.another("zhike_parked")
        assert not new
        async with db.connection() as connection:
            assert await connection.fetchval("SELECT count(*) FROM job") == 1000

    async def test_q5_has_two_quantiles_of_the_same_wake_ups(self, stage: Stage) -> None:
        half, most = await measure(stage, "Q5", ["p50", "p99"])
        assert half.product <= most.product
        assert half.limit <= most.limit

    async def test_n1_types_five_sorts_of_queries(self, stage: Stage) -> None:
        await measure(stage, "N1", list(search.VARIANTS))

    async def test_n2_merges_others_when_it_is_measured_again(self, stage: Stage) -> None:
        for _ in range(2):
            await measure(stage, "N2", [""])

    @pytest.mark.heavy
    async def test_w2_asks_for_a_page_and_each_of_its_parts(self, stage: Stage) -> None:
        measured = await ROWS["W2"](stage)
        variants = [variant for variant, _ in measured]
        assert variants[:1] == ["the page"]
        assert {"timeline", "panels/pages.browsing"} < set(variants)
        assert all(row.pairs == PAIRS and min(row.product, row.limit) > 0 for _, row in measured)

    @pytest.mark.heavy
    async def test_s3_compares_few_with_all(self, stage: Stage) -> None:
        await measure(stage, "S3a", list(changed.TOTALS))
        await measure(stage, "S3b", list(changed.EVENTS))
        async with stage.owner() as connection:
            stored = await connection.fetchval("SELECT count(*) FROM event WHERE behaviour")
            assert await connection.fetchval("SELECT sum(count) FROM customer_event_stat WHERE name = '*'") == stored

    @pytest.mark.heavy
    async def test_s1_and_s2_ask_every_measure_over_every_window(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Windows ask alike but for their length; one makes the test short.
        monkeypatch.setattr(everybody, "DAYS", {"P90D": 90})
        measured = await ROWS["S1"](stage)
        windows = ["all time", *everybody.DAYS]
        asked = {f"{name}, {window}" for name in everybody.MEASURES for window in windows}
        assert asked < {variant for variant, _ in measured}
        bars = {row.bar for variant, row in measured if variant.endswith("one pass")}
        assert bars == {everybody.PASSES} != {BARS["S1"].full}
        assert len(await ROWS["S2"](stage)) == 2 * len(everybody.STORED)
