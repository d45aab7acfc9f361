"""How long an immediate job waits: from its announcement after the commit until a runner has begun it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from zhike import work as units
from zhike.jobs.worker import JobWorker
from zhike.orm import Database
from zhike.platform import Platform
from zhike.settings import Settings
from zhike.transport import open_transport
from zhike_bench.engines import JOB, PLUGIN, Jobs, make_platform, running


async def wakeups(settings: Settings, url: str, count: int, pause: float) -> list[float]:
    """Enqueue jobs that are due at once, one after the other, as a web process does; a runner does them.

    Args:
        settings: The deployment's settings; `redis_url` chooses the transport.
        url: The database, migrated.
        count: How many jobs.
        pause: Seconds between two, in which the runner falls asleep again.

    Returns:
        Seconds from each announcement after a commit to the job's function being called.
    """
    begun = asyncio.Event()
    plugin = Jobs(lambda _: begun.set())
    async with _process(settings, url, plugin) as web, _process(settings, url, plugin) as runner:
        worker = JobWorker(runner)
        listener = await open_transport(settings, url)
        wakes = {"jobs": worker.wake}
        seconds = []
        announce = web.announce
        announced = 0.0

        def timed(topic: str) -> None:
            nonlocal announced
            announced = time.perf_counter()
            announce(topic)

        web.announce = timed
        async with running(worker.run, lambda: listener.listen(lambda topic: wakes.get(topic, lambda: None)())):
            for _ in range(count):
                await asyncio.sleep(pause)
                begun.clear()
                async with units.begin(web, origin="system", plugin=PLUGIN) as work:
                    work.enqueue(JOB)
                await begun.wait()
                seconds.append(time.perf_counter() - announced)
            await worker.drain()
        await listener.close()
        return seconds


@contextlib.asynccontextmanager
async def _process(settings: Settings, url: str, plugin: Jobs) -> AsyncIterator[Platform]:
    """Yield what a process works with."""
    db = await Database.open(url, max_size=settings.pool_size)
    transport = await open_transport(settings, url)
    platform = make_platform(settings, db, **{PLUGIN: plugin})
    platform.announce = transport.announce
    yield platform
    await transport.close()
    await db.close()
