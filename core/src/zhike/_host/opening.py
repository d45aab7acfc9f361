"""Opens what a process works with: the database, the plugins, and the transport that wakes others."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from zhike._host.plugins.load import load
from zhike._host.plugins.processes import GenerationWatch
from zhike.orm import Database
from zhike.platform import Platform
from zhike.settings import Settings
from zhike.transport import Transport, open_transport


class Opened(NamedTuple):
    """What a process works with.

    Args:
        platform: Its `announce` wakes other processes.
        transport: Wakes them.
        watch: Looks for changes of the plugins.
    """

    platform: Platform
    transport: Transport
    watch: GenerationWatch


@asynccontextmanager
async def open_platform(
    settings: Settings, url: str, *, kind: str, outdated: Callable[[], None]
) -> AsyncIterator[Opened]:
    """Open the platform of a process that lives on.

    Args:
        settings: The deployment's settings.
        url: The database's URL.
        kind: `web` or `runner`.
        outdated: Called when the plugins have changed, for the process to end and be started again.

    Raises:
        Unavailable: If the database cannot be reached.
        Refused: If Redis cannot be used from here, or a plugin cannot be loaded and settings are strict.
    """
    async with AsyncExitStack() as stack:
        db = await Database.open(url, max_size=settings.pool_size)
        stack.push_async_callback(db.close)
        # In a runner synchronous code of plugins may block the event loop; the watchdog ends what hangs.
        platform = await load(settings, db, threads=kind == "web", strict=settings.strict)
        transport = await open_transport(settings, url)
        stack.push_async_callback(transport.close)
        platform.announce = transport.announce
        watch = GenerationWatch(platform, kind, outdated)
        watching = asyncio.create_task(watch.run(), context=contextvars.Context())
        stack.push_async_callback(_end, watching)
        yield Opened(platform, transport, watch)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
