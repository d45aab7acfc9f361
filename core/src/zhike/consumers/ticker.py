"""Does something again and again, across outages of the database."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from contextlib import suppress

import asyncpg

from zhike.errors import ZhikeError, where

BUSY = 0.05
"""Seconds until it is done again after there was something to do."""
IDLE = 0.5
"""Seconds until it is done again when there has been nothing for long."""
logger = logging.getLogger("zhike.consumers")


class Ticker(ABC):
    """Does the same again and again: at once when woken, soon after there was something to do, else seldom."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Have it look now."""
        self._woken.set()

    @abstractmethod
    async def _tick(self) -> bool:
        """Do what there is to be done; return whether there was anything."""

    async def _go_on(self) -> None:
        """Tick until cancelled, also across outages of the database."""
        delay, well = BUSY, True
        while True:
            self._woken.clear()
            try:
                delay = BUSY if await self._tick() else min(delay * 1.5, IDLE)
                well = True
            except (ZhikeError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                if well:
                    logger.warning("%s has to wait: %s", type(self).__name__, where(error))
                delay, well = IDLE, False
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._woken.wait()
