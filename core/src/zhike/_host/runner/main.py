"""One runner process: works until it is told to stop, its supervisor is gone, or the plugins have changed.

The supervisor starts it as it does a web process (`zhike._host.web.worker`): an order comes through standard input,
and when that closes the process drains and ends. Where a file descriptor is given as argument, a byte written to
it tells that all loops run.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable

import uvloop

from zhike._host import logs
from zhike._host.opening import Opened, open_platform
from zhike._host.order import RESTART, receive, when_orphaned
from zhike._host.runner.runner import make_runner
from zhike._host.runner.watchdog import Watchdog
from zhike.errors import Unavailable, ZhikeError
from zhike.settings import Settings

RETRY_SECONDS = 0.5
BUDGETS_BLOCKED = 3
"""After how many times a hook's budget a blocked event loop ends the process."""
_log = logging.getLogger("zhike.runner")


class Stop:
    """Why a runner is to end."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.status = 0

    def set(self, status: int = 0) -> None:
        """Let it finish what it has begun and end with an exit status."""
        self.status = self.status or status
        self.event.set()


async def work(settings: Settings, url: str, stop: Stop, ready: Callable[[], None]) -> int:
    """Open the platform and run until stopped.

    Args:
        settings: The deployment's settings.
        url: The database's URL; one that cannot be reached is tried until it can.
        stop: Ends it; set here when the plugins have changed.
        ready: Called when all loops run.

    Returns:
        The process's exit status: 0, or `RESTART`.

    Raises:
        Refused: If Redis cannot be used from here, or a plugin cannot be loaded and settings are strict.
    """
    told = False
    while not stop.event.is_set():
        async with contextlib.AsyncExitStack() as stack:
            opening = open_platform(settings, url, kind="runner", outdated=lambda: stop.set(RESTART))
            try:
                opened = await stack.enter_async_context(opening)
            except Unavailable:
                if not told:
                    _log.warning("the database cannot be reached yet; trying on")
                told = True
                await asyncio.sleep(RETRY_SECONDS)
                continue
            await run(opened, stop.event, ready)
    return stop.status


async def run(opened: Opened, stop: asyncio.Event, ready: Callable[[], None] = lambda: None) -> None:
    """Do what a runner does until `stop` is set, and end the process should its event loop be blocked."""
    platform = opened.platform
    runner = make_runner(opened)
    platform.announce = runner.announce
    owners = {plugin.module.__package__ or plugin.module.__name__: name for name, plugin in platform.plugins.items()}
    watchdog = Watchdog(BUDGETS_BLOCKED * platform.settings.hook_seconds, owners)
    watching = asyncio.create_task(watchdog.run())
    _log.info("working")
    ready()
    try:
        await runner.run(stop)
    finally:
        watching.cancel()
        await asyncio.wait([watching])


def main() -> None:
    """Run one runner process for the supervisor."""
    logs.configure()
    order = receive()
    if order is None:
        return

    async def working() -> int:
        stop = Stop()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        when_orphaned(stop.set)
        return await work(order.settings, order.url, stop, _tell_ready)

    try:
        sys.exit(uvloop.run(working()))
    except ZhikeError as error:
        _log.critical("the runner cannot start: %s", error.message.render("en"))
        sys.exit(1)


def _tell_ready() -> None:
    with contextlib.suppress(BlockingIOError):  # nobody has read the many that came before
        os.write(int(sys.argv[1]), b".")


if __name__ == "__main__":
    main()
