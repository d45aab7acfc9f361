"""The product's engines in the bench's process: a platform with a plugin of the bench, and loops that run on it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from zhike.contracts import Consumer, Job, JobItem, RecordedEvent
from zhike.hooks import hookimpl
from zhike.orm import Database
from zhike.platform import Platform, assemble, core_plugins
from zhike.settings import Settings
from zhike.work import Work

PLUGIN = "benching"
JOB = "benching.job"
BATCH = 100


class Jobs:
    """A plugin with one job.

    Args:
        run: What it does.
        batch: Most items of one call.
    """

    def __init__(self, run: Callable[[Sequence[JobItem]], None], batch: int = BATCH) -> None:
        self._run = run
        self._batch = batch

    @hookimpl
    def register_jobs(self) -> list[Job]:
        """Register it."""
        return [Job(name=JOB, run=self.job, batch=self._batch)]

    async def job(self, items: Sequence[JobItem], _work: Work) -> None:
        """Be the job."""
        self._run(items)


class Listener:
    """A plugin with a consumer.

    Args:
        contract: What it registers.
        hear: Given the events of each call.
    """

    def __init__(self, contract: Consumer, hear: Callable[[Sequence[RecordedEvent]], None]) -> None:
        self._contract = contract
        self._hear = hear

    @hookimpl
    def register_consumers(self) -> list[Consumer]:
        """Register it."""
        return [self._contract]

    @hookimpl
    async def on_events_recorded(self, events: Sequence[RecordedEvent]) -> None:
        """Pass the events on."""
        self._hear(events)


def make_platform(settings: Settings, db: Database, **plugins: object) -> Platform:
    """Return what a runner works with when these plugins are installed."""
    assembled = assemble({**core_plugins(), **plugins}, threads=False)
    if assembled.problems:
        raise RuntimeError(str(assembled.problems[0].told))
    return Platform(settings=settings, db=db, hooks=assembled.hooks, registry=assembled.registry)


@contextlib.asynccontextmanager
async def running(*loops: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run loops until the block ends; each in a context of its own, as a runner has them."""
    tasks = [asyncio.create_task(_run(loop), context=contextvars.Context()) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _run(loop: Callable[[], Awaitable[None]]) -> None:
    await loop()
