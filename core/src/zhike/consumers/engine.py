"""Offers the log to plugins: each gets every batch once, and none can hurt another or stop for good."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from zhike.consumers import replays, restart
from zhike.consumers.cursors import REGISTER, REGISTER_CURSOR, VIEW, Cursor
from zhike.consumers.log import LogReader
from zhike.consumers.offering import HOOK, LONGEST_OUTAGE, Offering
from zhike.consumers.ticker import Ticker
from zhike.contracts import Consumer, Mode
from zhike.errors import Unavailable, where

if TYPE_CHECKING:
    from zhike.platform import Platform

VIEW_SECONDS = 0.5
"""Seconds after which the state of consumers is read again."""
PERSIST_SECONDS = 1.0
"""Seconds after which it is stored how far a consumer is that nothing concerns."""
DRAIN_SECONDS = 6.5
"""Seconds that what has begun may take when the process is to end."""
logger = logging.getLogger("zhike.consumers")


class Consumers(Ticker, Offering):
    """All consumers of one process.

    One task works for each cursor. It reads the next events that concern the consumer, and then, in one
    transaction, claims the cursor, hands the events to the plugin, makes sure that their customers are still whose
    they were, and moves the cursor. Effects and cursor therefore stand or fall together, whatever happens.

    Args:
        platform: The process's platform.
    """

    def __init__(self, platform: Platform) -> None:
        contracts = platform.registry.consumers
        self._contracts = {name: contracts.get(name, Consumer()) for name in platform.hooks.implementers(HOOK)}
        wanted = {name for contract in self._contracts.values() for name in contract.events}
        log = LogReader(platform.db, None if "*" in wanted else frozenset(wanted))
        Ticker.__init__(self)
        Offering.__init__(self, platform, log, self._contracts)
        self._db = platform.db
        self._cursors: dict[tuple[str, int], Cursor] = {}
        self._tasks: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._viewed = float("-inf")
        self._registered = self._draining = False

    async def run(self) -> None:
        """Offer the log until cancelled."""
        try:
            await self._go_on()
        finally:
            await self._stop()

    async def step(self) -> bool:
        """Offer what is in the log now, one stretch to each cursor; return whether there was anything."""
        self._viewed = float("-inf")
        await self._look()
        done = await asyncio.gather(
            *(asyncio.create_task(self._step(each), context=contextvars.Context()) for each in self._cursors.values())
        )
        return any(done)

    async def drain(self) -> None:
        """Begin nothing new, and return when what has begun is done, at the latest after `DRAIN_SECONDS`."""
        self._draining = True
        for cursor in self._cursors.values():
            cursor.kick.set()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=DRAIN_SECONDS)
        for cursor in list(self._cursors.values()):
            if not cursor.busy:
                with suppress(Unavailable):
                    await self._persist(cursor)
        await self._stop()

    async def _stop(self) -> None:
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._attempts.close()

    async def _tick(self) -> bool:
        if self._draining:
            return False
        news = await self._look()
        for key, cursor in self._cursors.items():
            cursor.kick.set()
            if key not in self._tasks or self._tasks[key].done():
                self._tasks[key] = asyncio.create_task(self._live(cursor), context=contextvars.Context())
        return news

    async def _live(self, cursor: Cursor) -> None:
        """Work on one cursor whenever there is something to do."""
        while not self._draining:
            cursor.kick.clear()
            if await self._step(cursor):
                await asyncio.sleep(0)
            else:
                await cursor.kick.wait()

    async def _look(self) -> bool:
        """Read what is new in the log and, now and then, the state of the consumers."""
        if not self._registered:
            await self._register()
        if time.monotonic() - self._viewed > VIEW_SECONDS:
            stored = {key: cursor.stored for key, cursor in self._cursors.items()}
            async with self._db.connection() as connection:
                rows = {(row["consumer"], row["shard_from"]): row for row in await connection.fetch(VIEW)}
            for key in self._cursors.keys() - rows.keys():
                del self._cursors[key]
                if key in self._tasks:
                    self._tasks.pop(key).cancel()
            for key, row in rows.items():
                if key in stored:
                    self._cursors[key].look_at(row, stored[key])
                elif key[0] in self._contracts:
                    self._cursors[key] = Cursor(key[0], self._contracts[key[0]], row)
            self._viewed = time.monotonic()
        return await self.log.look()

    async def _register(self) -> None:
        for name, contract in self._contracts.items():
            beginning = contract.start == "beginning"
            async with self._db.transaction() as connection:
                await connection.execute(REGISTER, name, list(contract.events), contract.rebuildable, beginning)
                await connection.execute(REGISTER_CURSOR, name, beginning)
        self._registered = True

    async def _step(self, cursor: Cursor) -> bool:
        """Go one step with a cursor; return whether there may be more to do."""
        if cursor.busy or cursor.not_before > time.monotonic():
            return False
        cursor.busy = True
        try:
            if cursor.restart:
                return await restart.perform(self._db, cursor)
            if (cursor.replays or cursor.letter) and await replays.perform(self, cursor):
                return True
            return cursor.running and await self._advance(cursor)
        except Exception as error:
            if not cursor.outages:
                logger.warning("consumer %s has to wait: %s", cursor.name, where(error))
            cursor.outages += 1
            cursor.wait(LONGEST_OUTAGE)
            return False
        finally:
            cursor.busy = False

    async def _advance(self, cursor: Cursor) -> bool:
        """Offer the next events of a cursor, or note that there are none up to here."""
        start = cursor.place
        until = cursor.live_from if start[0] < cursor.live_from else None
        mode: Mode = "live" if until is None else cursor.mode
        cursor.erasures = self.log.erasures
        events, end = await self.log.stretch(start, cursor.want, cursor.size, until)
        if events:
            await self._offer(cursor, events, end, mode)
            return True
        cursor.place, cursor.outages = end, 0
        if time.monotonic() - cursor.persisted > PERSIST_SECONDS:
            await self._persist(cursor)
        return end != start

    async def _persist(self, cursor: Cursor) -> None:
        if cursor.place == cursor.stored:
            return
        async with self._db.transaction() as connection:
            if not await cursor.claim(connection):
                return
            end = cursor.place
            await cursor.move(connection, end, 0)
        cursor.moved(end, 0)
