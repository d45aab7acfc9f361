"""Keeps a runner's loops going: each is woken by the transport, started again when it fails, and drained at the end."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from zhike._host.opening import Opened
from zhike.transport import Transport

DRAIN_SECONDS = 7.0
BACK_OFF = (0.2, 10.0)
"""Seconds before a loop that failed starts again: the first time, and the most."""
_log = logging.getLogger("zhike.runner")


class Loop(Protocol):
    """Work that a runner does until it is stopped."""

    async def run(self) -> None:
        """Work until cancelled, also through outages of the database."""

    async def drain(self) -> None:
        """Begin nothing more, and return when what was begun is finished."""


class Runner:
    """Runs loops side by side.

    Args:
        loops: What to run, by name.
        wakes: What to wake when there is news, by topic.
        transport: Tells of news, and is told.
    """

    def __init__(
        self, loops: Mapping[str, Loop], wakes: Mapping[str, Callable[[], None]], transport: Transport
    ) -> None:
        self._loops = loops
        self._wakes = wakes
        self._transport = transport

    def wake(self, topic: str) -> None:
        """Wake whoever is concerned."""
        if wake := self._wakes.get(topic):
            wake()

    def announce(self, topic: str) -> None:
        """Wake who is concerned here at once, and in the other processes."""
        self.wake(topic)
        self._transport.announce(topic)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then finish what has begun, for at most `DRAIN_SECONDS`."""
        # Each in a context of its own, for a transaction or a unit of work must not leak from one into another.
        tasks = [
            asyncio.create_task(_keep_going(name, run), name=name, context=contextvars.Context())
            for name, run in (
                *((name, loop.run) for name, loop in self._loops.items()),
                ("wake-ups", lambda: self._transport.listen(self.wake)),
            )
        ]
        await stop.wait()
        drains = [asyncio.create_task(loop.drain(), context=contextvars.Context()) for loop in self._loops.values()]
        done, late = await asyncio.wait(drains, timeout=DRAIN_SECONDS)
        for task in done:
            if not task.cancelled() and task.exception() is not None:
                _log.error("a loop could not be drained", exc_info=task.exception())
        if late:
            _log.error("%d loops did not finish in time; what they had begun is undone and done again", len(late))
        for task in (*late, *tasks):
            task.cancel()
        await asyncio.wait((*late, *tasks), timeout=1)


def make_runner(opened: Opened) -> Runner:
    """Return the runner of a process."""
    from zhike.access.sealer import Sealer
    from zhike.consumers.engine import Consumers
    from zhike.consumers.sequencer import Sequencer
    from zhike.jobs.schedules import Schedules
    from zhike.jobs.worker import JobWorker

    platform = opened.platform
    consumers, jobs = Consumers(platform), JobWorker(platform)
    sequencer = Sequencer(platform.db, placed=consumers.wake)
    return Runner(
        {
            "sequencer": sequencer,
            "consumers": consumers,
            "jobs": jobs,
            "schedules": Schedules(platform),
            "sealer": Sealer(platform.db, platform.vault),
        },
        {"log": sequencer.wake, "jobs": jobs.wake, "plugins": opened.watch.wake},
        opened.transport,
    )


async def _keep_going(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run a loop, and again whenever it ends."""
    task = asyncio.current_task()
    delay = BACK_OFF[0]
    while True:
        began = time.monotonic()
        try:
            await run()
            _log.error("the %s loop ended; it starts again", name)
        except BaseException as error:  # SystemExit too, and a CancelledError that was not meant for us
            if task is not None and task.cancelling():
                raise
            _log.error("the %s loop failed; it starts again", name, exc_info=error)
        delay = BACK_OFF[0] if time.monotonic() - began > BACK_OFF[1] else min(delay * 2, BACK_OFF[1])
        await asyncio.sleep(delay * random.uniform(0.5, 1))  # noqa: S311  # so that not all come at once
