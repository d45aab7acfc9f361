"""Wake-ups by LISTEN and NOTIFY, over one connection of the process that nothing else uses."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import asyncpg

from zhike.transport import TOPICS
from zhike.transport.announcer import Announcer

if TYPE_CHECKING:
    from zhike.orm import Connection

BACK_OFF = (0.05, 2.0)
"""Seconds between attempts to reach the server again: the first, and the most."""
TIMEOUT = 5.0
_PREFIX = "zhike_"
_log = logging.getLogger("zhike.transport")


class PostgresTransport(Announcer):
    """Wakes by NOTIFY; sent outside every transaction, so nobody's COMMIT waits for it.

    Args:
        url: The database's URL. A pooler in transaction mode in between passes no wake-ups on.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Connection | None = None
        self._wake: Callable[[str], None] | None = None
        self._listening = False
        super().__init__()

    async def listen(self, wake: Callable[[str], None]) -> None:
        """Call `wake` with the topic of each wake-up, until cancelled; with every topic after each connect."""
        self._wake = wake
        self._look()
        try:
            await asyncio.Event().wait()
        finally:
            self._wake = None

    async def close(self) -> None:
        """Send what was announced, for at most a second, and disconnect."""
        await super().close()
        self._drop()

    async def _send(self, topics: set[str]) -> None:
        statement = "; ".join(f"NOTIFY {_PREFIX}{topic}" for topic in sorted(topics)) or "SELECT 1"
        delay = BACK_OFF[0]
        while True:
            try:
                async with asyncio.timeout(TIMEOUT):
                    await (await self._connected()).execute(statement)
                return
            except Exception as error:  # whatever it is, a new connection is what helps
                self._drop()
                if delay == BACK_OFF[0]:
                    _log.warning("wake-ups stop until the database is back (%s)", type(error).__name__)
                await asyncio.sleep(delay * random.uniform(0.5, 1))  # noqa: S311  # so that not all come at once
                delay = min(delay * 2, BACK_OFF[1])

    async def _connected(self) -> Connection:
        if self._connection is None:
            settings = {"application_name": "zhike wake-ups"}
            self._connection = await asyncpg.connect(self._url, server_settings=settings)
            self._connection.add_termination_listener(self._lost)
        if self._wake is not None and not self._listening:
            for topic in TOPICS:
                await self._connection.add_listener(_PREFIX + topic, self._hear)
            self._listening = True
            for topic in TOPICS:  # their wake-ups may have gone by
                self._wake(topic)
        return self._connection

    def _hear(self, _connection: Any, _pid: int, channel: str, _payload: object) -> None:
        if self._wake is not None:
            self._wake(channel.removeprefix(_PREFIX))

    def _lost(self, connection: Any) -> None:
        if connection is self._connection:
            self._drop()
            self._look()

    def _drop(self) -> None:
        connection, self._connection, self._listening = self._connection, None, False
        if connection is not None and not connection.is_closed():
            connection.terminate()
