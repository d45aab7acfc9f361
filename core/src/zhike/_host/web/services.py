"""What one web process holds while it runs: connections, tokens it has looked up, events on their way."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from zhike._host.keys import cursor_key
from zhike.access.tokens import TokenCache
from zhike.errors import Unavailable
from zhike.events.grouping import Collector
from zhike.i18n import text
from zhike.orm import Database
from zhike.settings import Settings

RETRY_SECONDS = 0.5
logger = logging.getLogger("zhike.web")


class Services:
    """What requests are answered with.

    Args:
        settings: The deployment's settings.
        url: The database's URL; opened and closed with the application.

    Raises:
        Refused: If the deployment's keys cannot be used.
    """

    def __init__(self, settings: Settings, url: str) -> None:
        self.settings = settings
        self.cursor_key = cursor_key(settings)
        self._url = url
        self._parts: tuple[Database, TokenCache, Collector] | None = None

    @property
    def db(self) -> Database:
        """The process's connections; `Unavailable` is raised while there are none yet."""
        return self._open()[0]

    @property
    def tokens(self) -> TokenCache:
        """The tokens this process has looked up lately."""
        return self._open()[1]

    @property
    def collector(self) -> Collector:
        """Where events go to be stored."""
        return self._open()[2]

    def _open(self) -> tuple[Database, TokenCache, Collector]:
        if self._parts is None:
            raise Unavailable(text("The database cannot be reached yet; try again"), retry_after=1)
        return self._parts

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Connect, serve, then store what is on its way and disconnect.

        A database that cannot be reached is asked again until it answers; meanwhile requests get 503.
        """
        retrying: asyncio.Task[None] | None = None
        try:
            await self._connect()
        except Unavailable:
            logger.warning("the database cannot be reached yet; trying on")
            retrying = asyncio.create_task(self._keep_trying())
        try:
            yield
        finally:
            if retrying is not None:
                retrying.cancel()
                await asyncio.wait([retrying])
            if self._parts is not None:
                db, _, collector = self._parts
                await collector.close()
                await db.close()

    async def _connect(self) -> None:
        db = await Database.open(self._url, max_size=self.settings.pool_size)
        self._parts = db, TokenCache(db), Collector(db, self.settings)
        logger.info("serving")

    async def _keep_trying(self) -> None:
        while self._parts is None:
            await asyncio.sleep(RETRY_SECONDS)
            with contextlib.suppress(Unavailable):
                await self._connect()
