"""How long an immediate job waits: from its announcement after the commit until a runner has begun it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from zhike import work as units
from zhike.contracts import Job, JobItem
from zhike.hooks import hookimpl
from zhike.jobs.worker import JobWorker
from zhike.orm import Database
from zhike.platform import Platform, assemble, core_plugins
from zhike.settings import Settings
from zhike.transport import open_transport

JOB = "benching.now"


class Benching:
    """A plugin whose one job tells when it began."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    @hookimpl
    def register_jobs(self) -> list[Job]:
        """Register it."""
        return [Job(name=JOB, run=self.now)]

    async def now(self, _items: Sequence[JobItem], _work: Any) -> None:
        """Be the job."""
        self.begun.set()


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
    plugin = Benching()
    async with _process(settings, url, plugin) as web, _process(settings, url, plugin) as runner:
        worker = JobWorker(runner)
        listener = await open_transport(settings, url)
        wakes = {"jobs": worker.wake}
        tasks = [
            asyncio.create_task(worker.run(), context=contextvars.Context()),
            asyncio.create_task(listener.listen(lambda topic: wakes.get(topic, lambda: None)())),
        ]
        seconds = []
        announce = web.announce
        announced = 0.0

        def timed(topic: str) -> None:
            nonlocal announced
            announced = time.perf_counter()
            announce(topic)

        web.announce = timed
        for _ in range(count):
            await asyncio.sleep(pause)
            plugin.begun.clear()
            async with units.begin(web, origin="system", plugin="benching") as work:
                work.enqueue(JOB)
            await plugin.begun.wait()
            seconds.append(time.perf_counter() - announced)
        await worker.drain()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await listener.close()
        return seconds


@contextlib.asynccontextmanager
async def _process(settings: Settings, url: str, plugin: Benching) -> AsyncIterator[Platform]:
    """Yield what a process works with."""
    db = await Database.open(url, max_size=settings.pool_size)
    transport = await open_transport(settings, url)
    assembled = assemble({**core_plugins(), "benching": plugin}, threads=False)
    yield Platform(
        settings=settings, db=db, hooks=assembled.hooks, registry=assembled.registry, announce=transport.announce
    )
    await transport.close()
    await db.close()
