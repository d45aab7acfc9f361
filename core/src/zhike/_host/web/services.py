"""What one web process holds while it runs: the platform, tokens it has looked up, events on their way."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from zhike._host.opening import Opened, open_platform
from zhike._ring import cursor_key
from zhike.access.collect import Gate
from zhike.access.directory import Directory
from zhike.access.sessions import Sessions
from zhike.config.groups import Security
from zhike.errors import Unavailable
from zhike.events.grouping import Collector
from zhike.i18n import text
from zhike.orm import Database
from zhike.platform import CORE, Platform
from zhike.settings import Settings
from zhike.ui.rendering import Ui

RETRY_SECONDS = 0.5
logger = logging.getLogger("zhike.web")


class Services:
    """What requests are answered with.

    Args:
        settings: The deployment's settings.
        url: The database's URL; opened and closed with the application.

    Attributes:
        on_loaded: Called when the plugins are there.
        on_outdated: Called when they have changed and the process is to be started again.
        beside: Runs beside the requests from then on, and has ended before the database is closed.

    Raises:
        Refused: If the deployment's keys cannot be used.
    """

    def __init__(self, settings: Settings, url: str) -> None:
        self.settings = settings
        self.cursor_key = cursor_key(settings)
        self.on_loaded: Callable[[Platform], None] = lambda _: None
        self.on_outdated: Callable[[], None] = lambda: None
        self.beside: Callable[[Opened], Awaitable[None]] | None = None
        self._url = url
        self._parts: tuple[Platform, Collector, Sessions, Gate] | None = None
        self._ui: Ui | None = None

    @property
    def loaded(self) -> bool:
        """Whether the database was reached and the plugins are there."""
        return self._parts is not None

    @property
    def platform(self) -> Platform:
        """The plugins and all they work with; `Unavailable` is raised while they are not loaded yet."""
        return self._open()[0]

    @property
    def db(self) -> Database:
        """The process's connections; `Unavailable` is raised while there are none yet."""
        return self._open()[0].db

    @property
    def directory(self) -> Directory:
        """The actors this process has looked up lately."""
        return self._open()[0].directory

    @property
    def collector(self) -> Collector:
        """Where events go to be stored."""
        return self._open()[1]

    @property
    def sessions(self) -> Sessions:
        """The sessions this process has looked up lately."""
        return self._open()[2]

    @property
    def gate(self) -> Gate:
        """What lets tokens of kind `collect` in."""
        return self._open()[3]

    @property
    def ui(self) -> Ui:
        """What pages are drawn with; made for the first page, since a process that only serves the API needs none."""
        if self._ui is None or self._ui.platform is not self.platform:
            from zhike.ui.rendering import Ui

            self._ui = Ui(self.platform, CORE)
        return self._ui

    def _open(self) -> tuple[Platform, Collector, Sessions, Gate]:
        if self._parts is None:
            raise Unavailable(text("The database cannot be reached yet; try again"), retry_after=1)
        return self._parts

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Connect, load the plugins, serve, then store what is on its way and disconnect.

        A database that cannot be reached is asked again until it answers; meanwhile requests get 503.
        """
        retrying: asyncio.Task[None] | None = None
        async with contextlib.AsyncExitStack() as stack:
            try:
                await self._connect(stack)
            except Unavailable:
                logger.warning("the database cannot be reached yet; trying on")
                retrying = asyncio.create_task(self._keep_trying(stack))
            try:
                yield
            finally:
                if retrying is not None:
                    retrying.cancel()
                    await asyncio.wait([retrying])

    async def _connect(self, stack: contextlib.AsyncExitStack) -> None:
        opening = open_platform(self.settings, self._url, kind="web", outdated=self.on_outdated)
        opened = await stack.enter_async_context(opening)
        if self.beside is not None:
            stack.push_async_callback(asyncio.wait, [asyncio.ensure_future(self.beside(opened))])
        else:  # where a runner is, it listens
            listening = asyncio.create_task(_listen(opened), context=contextvars.Context())
            stack.push_async_callback(asyncio.wait, [listening])
            stack.callback(listening.cancel)
        await stack.enter_async_context(self.serving(opened.platform))
        logger.info("serving")

    @contextlib.asynccontextmanager
    async def serving(self, platform: Platform) -> AsyncIterator[None]:
        """Serve on a platform that is open, and in the end store what is on its way."""
        collector = Collector(platform)
        sessions = Sessions(platform)
        self._parts = (
            platform,
            collector,
            sessions,
            Gate(platform.db, lambda: platform.config.get(Security).collect_limit),
        )
        self.on_loaded(platform)
        try:
            yield
        finally:
            await collector.close()

    async def _keep_trying(self, stack: contextlib.AsyncExitStack) -> None:
        while self._parts is None:
            await asyncio.sleep(RETRY_SECONDS)
            with contextlib.suppress(Unavailable):
                await self._connect(stack)


async def _listen(opened: Opened) -> None:
    """Look at once for what other processes have changed, when they say so."""

    def wake(topic: str) -> None:
        if topic == "plugins":
            opened.watch.wake()

    if opened.platform.settings.redis_url is None:  # a ticket on Redis wakes one process, and that must be a runner
        await opened.transport.listen(wake)
