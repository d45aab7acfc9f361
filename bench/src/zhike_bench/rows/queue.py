"""Rows Q2, Q3, Q5 and Q6: jobs done, timers that wait, and how soon a job begins."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from zhike import clock
from zhike.contracts import JobItem
from zhike.jobs.worker import TICK, JobWorker
from zhike.orm import Database
from zhike_bench.bars import Row, Skipped, judge, middle
from zhike_bench.engines import JOB, PLUGIN, Jobs, make_platform, running
from zhike_bench.pairs import interleave
from zhike_bench.stage import Stage
from zhike_bench.wakeups import wakeups
from zhike_limits import notify
from zhike_limits.tickets import RedisServer, noop_rate

JOBS = 20_000  # of a leg of our worker, about a second
ARQ_JOBS = 4_000
WAKEUPS = 100
PAUSE = 0.015
TIMERS = 200
TIMERS_APART = 0.01
QUANTILES = {"p50": 0.5, "p99": 0.99}
_ENQUEUE = f"""
INSERT INTO job (name, plugin, payload, due_at)
SELECT '{JOB}', '{PLUGIN}', jsonb_build_object('n', n), $2::timestamptz + n * $3::interval
FROM generate_series(1, $1::int) AS n
"""
_DUE = f"SELECT count(*) FROM job WHERE name = '{JOB}' AND due_at <= now()"


async def q2(stage: Stage) -> list[tuple[str, Row]]:
    """The worker with all its duties, in batches of 100, against arq's with jobs that do nothing."""
    if RedisServer.program() is None:
        raise Skipped("redis-server is not installed")
    db = await stage.db()
    server = RedisServer(stage.folder())
    redis = await server.start()
    try:

        async def limit(_: int) -> float:
            return await noop_rate(redis, stage.leg(ARQ_JOBS))

        return [("", await interleave("Q2", stage.scale, stage.pairs, lambda _: _rate(stage, db), limit))]
    finally:
        await redis.aclose(close_connection_pool=True)
        await server.stop()


async def q3(stage: Stage) -> list[tuple[str, Row]]:
    """The worker while timers of the same name wait for days to come, against the worker without any."""
    db, parked = await stage.db(), await _parked(stage)

    async def product(_: int) -> float:
        return await _rate(stage, parked)

    async def limit(_: int) -> float:
        return await _rate(stage, db)

    return [("", await interleave("Q3", stage.scale, stage.pairs, product, limit))]


async def q5(stage: Stage) -> list[tuple[str, Row]]:
    """From the announcement of a job in one process to its beginning in another, against NOTIFY alone."""
    url = await stage.url()
    seen: dict[tuple[str, int], list[float]] = {}

    async def product(number: int) -> float:
        seen["product", number] = await wakeups(stage.settings, url, stage.leg(WAKEUPS), PAUSE)
        return 1.0

    async def limit(number: int) -> float:
        seen["limit", number] = await notify.wakeups(url, stage.leg(WAKEUPS), PAUSE)
        return 1.0

    await interleave("Q5", stage.scale, stage.pairs, product, limit)
    rows = []
    for name, share in QUANTILES.items():
        ours, raw = (
            [quantile(seen[side, n], share) * 1000 for n in range(1, stage.pairs + 1)] for side in ("product", "limit")
        )
        ratios = [one / other for one, other in zip(ours, raw, strict=True)]
        rows.append((name, judge("Q5", stage.scale, ratios, middle(ours), middle(raw))))
    return rows


async def q6(stage: Stage) -> list[tuple[str, Row]]:
    """How late timers ring among those that wait for days to come, in ticks; nobody wakes the worker."""
    parked = await _parked(stage)
    late = [quantile(await _lateness(stage, parked), 0.99) * 1000 for _ in range(stage.pairs)]
    tick = TICK * 1000
    return [("p99", judge("Q6", stage.scale, [each / tick for each in late], middle(late), tick))]


def quantile(values: Sequence[float], share: float) -> float:
    """Return the least value that `share` of the values do not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


async def _rate(stage: Stage, db: Database) -> float:
    """Let a worker do jobs that are in the queue already, and return jobs per second."""
    count = left = stage.leg(JOBS)
    await _enqueue(db, count, clock.now(), 0.0)
    done = asyncio.Event()

    def run(items: Sequence[JobItem]) -> None:
        nonlocal left
        left -= len(items)
        if left <= 0:
            done.set()

    worker = JobWorker(make_platform(stage.settings, db, **{PLUGIN: Jobs(run)}))
    begun = time.perf_counter()
    async with running(worker.run):
        await done.wait()
        await worker.drain()
        seconds = time.perf_counter() - begun
    async with db.connection() as connection:
        if left or await connection.fetchval(_DUE):
            raise RuntimeError(f"of {count} jobs {left} were left, or one was done twice")
    return count / seconds


async def _lateness(stage: Stage, db: Database) -> list[float]:
    late: list[float] = []
    count = stage.leg(TIMERS)
    done = asyncio.Event()

    def run(items: Sequence[JobItem]) -> None:
        now = datetime.now(UTC)
        late.extend((now - item.due_at).total_seconds() for item in items)
        if len(late) == count:
            done.set()

    await _enqueue(db, count, clock.now(), TIMERS_APART)
    worker = JobWorker(make_platform(stage.settings, db, **{PLUGIN: Jobs(run)}))
    async with running(worker.run):
        await done.wait()
        await worker.drain()
    return late


async def _parked(stage: Stage) -> Database:
    """Return a database in which 1 M timers x scale wait for the next 400 days."""
    db, new = await stage.another("zhike_parked")
    if new:
        count = round(1_000_000 * stage.scale)
        await _enqueue(db, count, clock.now(), 400 * 86_400 / count)
        async with db.connection() as connection:
            await connection.execute("VACUUM (ANALYZE) job")
    return db


async def _enqueue(db: Database, count: int, start: datetime, apart: float) -> None:
    """Store jobs that are due one after the other, `apart` seconds apart."""
    async with db.connection() as connection:
        await connection.execute(_ENQUEUE, count, start, timedelta(seconds=apart))
