"""Time: clocks set back, timers a year ahead, many due at one instant, wake-ups, and a million that only wait."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from zhike import clock
from zhike.contracts import Job, JobItem

SCALE = float(os.environ.get("ZHIKE_FAULT_SCALE", "0.1"))


async def test_timers_wait_for_their_instant(stand: Any, make: Any, frozen_now: Any) -> None:
    told: list[Any] = []
    worker = stand.worker(make.tell(told, batch=100))
    start = frozen_now.instant
    new_york = ZoneInfo("America/New_York")
    instants = [
        start + timedelta(days=400),
        datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC),
        datetime(2026, 11, 1, 1, 30, fold=1, tzinfo=new_york),
        datetime(2026, 11, 1, 1, 30, fold=0, tzinfo=new_york),
        datetime(2027, 3, 14, 3, 0, tzinfo=new_york),
        start + timedelta(microseconds=1),
    ]
    for n, instant in enumerate(instants):
        await stand.add("probe.tell", [{"n": n}], due_at=instant)
    for instant in sorted(instants, key=lambda each: each.astimezone(UTC)):
        frozen_now.set(instant.astimezone(UTC) - timedelta(microseconds=1))
        assert not await worker.step()
        frozen_now.set(instant)
        assert await worker.step()
    assert [each["n"] for each in told] == [5, 3, 2, 4, 0, 1]
    assert not await stand.rows()


async def test_a_clock_set_back_loses_nothing_and_repeats_nothing(stand: Any, make: Any, frozen_now: Any) -> None:
    told: list[Any] = []
    worker = stand.worker(make.tell(told))
    await stand.add("probe.tell", [{"n": 1}])
    await worker.step()
    await stand.add("probe.tell", [{"n": 2}])
    await stand.add("probe.tell", [{"n": 3}], due_at=clock.now() + timedelta(minutes=30))
    frozen_now.advance(hours=-1)
    await stand.add("probe.tell", [{"n": 4}])  # at once, by the clock as it is now
    while await worker.step():
        pass
    assert [each["n"] for each in told] == [1, 4]
    for minutes in (59, 1, 29, 1):
        frozen_now.advance(minutes=minutes)
        while await worker.step():
            pass
    assert [each["n"] for each in told] == [1, 4, 2, 3]
    assert not await stand.rows()


async def test_what_is_enqueued_for_the_past_is_found(stand: Any, make: Any) -> None:
    """A worker that runs does not look at what lies long ago each time, but again and again."""
    told: list[Any] = []
    worker = stand.worker(make.tell(told), lease=timedelta(seconds=0.6), tick=0.02)
    await stand.add("probe.tell", [{"n": 1}])
    stand.run(worker)
    await stand.until(lambda: {"n": 1} in told)
    await stand.add("probe.tell", [{"n": 2}], due_at=clock.now() - timedelta(days=3))
    await stand.until(lambda: {"n": 2} in told)


async def test_an_instant_shared_by_many_is_worked_off_at_full_rate(stand: Any, make: Any) -> None:
    """T16: as fast as jobs that are due one after the other, in order, none lost and none twice."""
    count = max(2000, round(100_000 * SCALE))
    told: list[Any] = []
    best: dict[str, float] = {"instant": 0, "steady": 0}
    for turn in range(8):  # more than two where something else has slowed the machine down meanwhile
        for kind, step in (("steady", timedelta(microseconds=10)), ("instant", timedelta())):
            start = clock.now() - timedelta(hours=1)
            told.clear()
            await stand.execute(
                "INSERT INTO job (name, payload, due_at)"
                " SELECT 'probe.tell', jsonb_build_object('n', g), $1::timestamptz + g * $2::interval"
                " FROM generate_series(1, $3::int) AS g",
                start,
                step,
                count,
            )
            worker = stand.worker(make.tell(told, batch=100))
            began = time.perf_counter()
            while await worker.step():
                pass
            best[kind] = max(best[kind], count / (time.perf_counter() - began))
            assert sorted(each["n"] for each in told) == list(range(1, count + 1))
        if turn and best["instant"] >= 0.6 * best["steady"]:
            break
    print(f"one instant {best['instant']:.0f}/s, one after the other {best['steady']:.0f}/s")
    assert best["instant"] >= 0.6 * best["steady"]


async def test_a_worker_that_sleeps_is_woken(stand: Any, make: Any) -> None:
    """Q5: the tick is an hour, so only the wake-up can have been it."""
    told: list[Any] = []
    worker = stand.worker(make.tell(told), tick=3600)
    stand.run(worker)
    took = []
    for n in range(20):
        await stand.add("probe.tell", [{"n": n}], due_at=clock.now())
        began = time.perf_counter()
        worker.wake()
        await stand.until(lambda n=n: len(told) > n)
        took.append(time.perf_counter() - began)
    print(f"woken and done in {statistics.median(took) * 1000:.1f} ms, at most {max(took) * 1000:.1f} ms")


async def test_a_timer_needs_no_tick(stand: Any, make: Any) -> None:
    told: list[Any] = []
    due_at = clock.now() + timedelta(seconds=1.5)
    await stand.add("probe.tell", [{}], due_at=due_at)
    worker = stand.worker(make.tell(told), tick=3600)
    stand.run(worker)
    await stand.until(lambda: bool(told))
    late = (clock.now() - due_at).total_seconds()
    print(f"{late * 1000:.1f} ms late")
    assert late >= 0


async def test_what_only_waits_slows_nothing_down(stand: Any, database_url: str) -> None:
    """Q3, Q6: with a million parked timers of all names and priorities no statement reads the table as a whole."""
    parked = round(1_000_000 * SCALE)
    late: list[float] = []

    async def run(items: Sequence[JobItem], work: Any) -> None:
        late.extend((clock.now() - item.due_at).total_seconds() for item in items)

    jobs = [Job(name=f"probe.j{n}", run=run, batch=100) for n in range(20)]
    rates: dict[str, float] = {}
    for kind in ("none", "parked"):
        worker = stand.worker(*jobs)
        if kind == "parked":
            # The worker's plans were made while the table was small.
            await stand.execute(
                "INSERT INTO job (name, priority, due_at) SELECT 'probe.j' || g % 20, g % 3,"
                " now() + interval '400 days' + g * interval '1 second' FROM generate_series(1, $1::int) AS g",
                parked,
            )
        for turn in range(12):  # more than three where something else has slowed the machine down meanwhile
            if turn >= 3 and rates[kind] >= 0.5 * rates["none"]:
                break
            late.clear()
            await stand.add("probe.j1", [{}] * 3000)
            began = time.perf_counter()
            while await worker.step():
                pass
            rates[kind] = max(rates.get(kind, 0), 3000 / (time.perf_counter() - began))
            assert len(late) == 3000
    due_at = clock.now() + timedelta(seconds=0.5)
    for n in range(50):
        await stand.add(f"probe.j{n % 20}", due_at=due_at + timedelta(milliseconds=10 * n), priority=n % 3)
    late.clear()
    stand.run(worker)
    await stand.until(lambda: len(late) == 50)
    print(
        f"{rates['none']:.0f}/s with none and {rates['parked']:.0f}/s with {parked} parked; "
        f"timers at most {max(late) * 1000:.0f} ms late"
    )
    assert rates["parked"] >= 0.5 * rates["none"]  # 0.7 where nothing else runs; reading the table once costs more
    for task in stand.loops:
        task.cancel()
    await asyncio.wait(stand.loops)
    stand.loops.clear()
    await stand.db.close()  # so that all figures are sent to the collector
    connection = await asyncpg.connect(database_url)
    try:
        for _ in range(200):
            read, claims = await connection.fetchrow(_SCANS) or (0, 0)
            if claims:
                break
            await asyncio.sleep(0.05)
    finally:
        await connection.close()
    assert claims > 100
    assert read < parked / 10


_SCANS = """
SELECT t.seq_tup_read, i.idx_scan AS claims
FROM pg_stat_user_tables AS t JOIN pg_stat_user_indexes AS i USING (relid)
WHERE t.relname = 'job' AND i.indexrelname = 'job_waiting'
"""


@pytest.mark.faults
async def test_an_old_snapshot_does_not_bring_the_worker_to_a_halt(stand: Any, make: Any, database_url: str) -> None:
    """While a backup runs, nothing that is done can be cleared away."""
    count = round(40_000 * SCALE)
    told: list[Any] = []
    backup = await asyncpg.connect(database_url)
    try:
        holding = backup.transaction(isolation="repeatable_read")
        await holding.start()
        await backup.execute("SELECT txid_current()")
        worker = stand.worker(make.tell(told, batch=100))
        long_ago = clock.now() - timedelta(hours=1)
        await stand.add("probe.tell", [{}] * count, due_at=long_ago)
        while await worker.step():
            pass
        stand.run(worker)
        took = []
        for n in range(1, 11):
            began = time.perf_counter()
            await stand.add("probe.tell", due_at=clock.now())
            worker.wake()
            await stand.until(lambda n=n: len(told) == count + n)
            took.append(time.perf_counter() - began)
    finally:
        await backup.close()
    print(f"{count} dead jobs in front: the next ones take {statistics.median(took) * 1000:.1f} ms")
    assert len(told) == count + 10
