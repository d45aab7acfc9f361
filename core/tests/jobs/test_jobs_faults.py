"""Processes that die, jobs that kill them, and connections that are cut (T4, T7)."""

from __future__ import annotations

import asyncio
import os
import random
import time
from typing import Any

import pytest

SCALE = float(os.environ.get("ZHIKE_FAULT_SCALE", "0.1"))
pytestmark = pytest.mark.faults


async def test_killed_workers_neither_lose_nor_repeat_an_effect(stand: Any, workers: Any) -> None:
    """T4: of three worker processes one is killed every 200 to 400 ms."""
    count = round(60_000 * SCALE)
    await stand.add("probe.effect", [{"n": n} for n in range(count)])
    order = ("1.0", "60")
    for _ in range(3):
        workers.start(*order)
    killed, began = 0, time.monotonic()
    chance = random.Random(4)
    while not await stand.empty():
        assert time.monotonic() - began < 150, await _told(stand)
        await asyncio.sleep(chance.uniform(0.2, 0.4))
        # One that has not begun any work yet teaches nothing; starting takes longer than this pause.
        victim = next((process for process in workers.processes if _has_worked(process)), None)
        if victim is not None and killed < count / 1000:
            workers.drop(victim)
            workers.start(*order)
            killed += 1
    took = time.monotonic() - began
    print(f"{count} jobs, {killed} of 3 workers killed in {took:.1f} s: {count / took:.0f} jobs/s")
    assert killed >= 3
    assert await _effects(stand) == list(range(count))
    assert not await stand.rows()


@pytest.mark.parametrize(
    ("poison", "statuses", "watchdog"), [("exit", {9}, "60"), ("spin", {70}, "1.0")], ids=["exit", "spin"]
)
async def test_a_job_that_kills_its_process_ends_as_failed_and_no_other_does(
    stand: Any, workers: Any, poison: str, statuses: set[int], watchdog: str
) -> None:
    """T7: what ran beside it loses no attempt, however often the process dies."""
    count = round(10_000 * SCALE)
    await stand.add("probe.effect", [{"n": n} for n in range(count // 2)])
    await stand.add("probe.effect", [{"n": -1, "poison": poison}])
    await stand.add("probe.effect", [{"n": n} for n in range(count // 2, count)])
    order = ("1.0", watchdog)
    workers.start(*order)
    began = time.monotonic()
    while not await stand.empty():
        assert time.monotonic() - began < 150, await _told(stand)
        await asyncio.sleep(0.05)
        workers.replace_ended(*order)
    took = time.monotonic() - began
    print(f"{poison}: {len(workers.ended)} processes ended, all done after {took:.1f} s")
    assert set(workers.ended) <= statuses
    assert 3 <= len(workers.ended) <= 6
    assert await _effects(stand) == list(range(count))
    [row] = await stand.rows("state, attempts, last_error")
    assert tuple(row) == ("failed", 2, "the process ended or stood still while it ran alone, 2 times")


async def test_a_job_that_raises_costs_the_others_little(stand: Any, make: Any) -> None:
    """T7: one in ten thousand raises each time it is tried."""
    count = round(10_000 * SCALE)
    took: dict[bool, list[float]] = {True: [], False: []}
    rate = 0.0
    while len(took[True]) < 3 or (rate < 0.3 and len(took[True]) < 12):  # whatever else the machine does meanwhile
        for poisoned in (False, True):
            await stand.add("probe.effect", [{"n": n, "poison": poisoned and n == 0} for n in range(count)])
            worker = stand.worker(make.effect(batch=100, attempts=1))
            began = time.perf_counter()
            while await worker.step():
                pass
            took[poisoned].append(time.perf_counter() - began)
            assert await stand.rows("state") == ["failed"] * poisoned
            await stand.execute("DELETE FROM job")
        rate = min(took[False]) / min(took[True])
    print(f"with one that raises: {rate:.2f} of the rate")
    assert rate >= 0.3  # 0.8 at full size; halving its batch takes 14 calls, here of 10


async def test_connections_that_are_cut_neither_lose_nor_repeat_an_effect(stand: Any, make: Any) -> None:
    count = round(10_000 * SCALE)
    await stand.add("probe.effect", [{"n": n} for n in range(count)])
    stand.run(stand.worker(make.effect(batch=10, attempts=1), tick=0.02))
    cuts, began = 0, time.monotonic()
    while not await stand.empty():
        assert time.monotonic() - began < 150, await _told(stand)
        async with stand.db.connection() as connection:
            cut = await connection.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT 2"
            )
        cuts += len(cut)
        await asyncio.sleep(0.05)
    print(f"{cuts} connections cut under {count} jobs")
    assert cuts > 5
    assert await stand.rows() == []
    assert await _effects(stand) == list(range(count))


async def _effects(stand: Any) -> list[int]:
    async with stand.db.connection() as connection:
        return [row[0] for row in await connection.fetch("SELECT n FROM effect ORDER BY n")]


async def _told(stand: Any) -> str:
    return (
        f"{len(await stand.rows('id'))} jobs are left, {len(await stand.rows('id', 'lease_token IS NOT NULL'))} leased"
    )


def _has_worked(process: Any) -> bool:
    os.set_blocking(process.stdout.fileno(), False)
    return bool(process.stdout.read(10_000))
