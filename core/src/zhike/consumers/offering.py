"""Hands events to plugins in one transaction with the cursor, and decides what becomes of those that fail."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

from zhike import work as work_unit
from zhike._engine import as_unavailable, is_dead
from zhike._isolate import describe
from zhike.consumers.attempts import Attempts
from zhike.consumers.faults import ENDED, MergedError, is_outage, is_slow
from zhike.errors import NotFound, Unavailable, where
from zhike.events.emit import hold
from zhike.hooks import HookTimeout

if TYPE_CHECKING:
    from asyncpg import Record

    from zhike.consumers.cursors import Cursor
    from zhike.consumers.log import LogReader, Place
    from zhike.contracts import Mode, RecordedEvent
    from zhike.orm import Connection
    from zhike.platform import Platform
    from zhike.work import Work

HOOK = "on_events_recorded"
PATIENCE = 5
"""How often a call may take too long before its events are tried in smaller parts."""
DEATHS = 3
"""How many processes may end at a single event."""
LONGEST_WAIT = 30.0
"""Most seconds between two attempts when calls take too long."""
LONGEST_OUTAGE = 1.0
"""Most seconds between two attempts when the database is to blame."""
MERGE_SECONDS = 0.1
"""Seconds to wait for a merge that may itself be waiting for what the handler has written; then it goes first."""
logger = logging.getLogger("zhike.consumers")


class Offering:
    """Calls the handlers of one process.

    Args:
        platform: The process's platform.
        log: Where the events come from.
        names: The consumers.
    """

    def __init__(self, platform: Platform, log: LogReader, names: Iterable[str]) -> None:
        self.platform = platform
        self.log = log
        self._process = uuid.uuid4().hex
        self._attempts = Attempts(platform.db, self._process)
        # Two connections are left for everybody else, and a consumer of many ranges leaves some to the others.
        slots = max(1, platform.settings.pool_size - 2)
        self._slots = asyncio.Semaphore(slots)
        self._shares = {name: asyncio.Semaphore(max(1, slots // 2)) for name in names}
        self._alone = asyncio.Lock()

    @asynccontextmanager
    async def place(self, cursor: Cursor) -> AsyncIterator[None]:
        """Wait until a handler may be called for a cursor: never more at once than the pool can spare."""
        async with self._alone if cursor.killed else nullcontext(), self._shares[cursor.name], self._slots:
            yield

    def begin(self, plugin: str, mode: Mode) -> AbstractAsyncContextManager[Work]:
        """Begin the unit of work of a plugin, which may take as long as its handler."""
        seconds = self.platform.settings.hook_seconds
        return work_unit.begin(self.platform, origin=f"plugin:{plugin}", plugin=plugin, mode=mode, seconds=seconds)

    async def _offer(self, cursor: Cursor, events: list[RecordedEvent], end: Place, mode: Mode) -> None:
        async with self.place(cursor):
            try:
                await self._attempt(cursor, events, end, mode)
            except MergedError:
                self.log.forget({event.batch_id for event in events})
            except asyncio.CancelledError:
                with suppress(Unavailable):
                    await asyncio.shield(self._attempts.settle(cursor))
                raise
            except Exception as error:
                await self._failed(cursor, events, end, error)

    async def call(self, work: Work, plugin: str, events: list[RecordedEvent], mode: Mode) -> None:
        """Hand events to a plugin inside a unit of work.

        Args:
            work: Rolled back by the caller if this raises.
            plugin: Whose handler.
            events: At least one.
            mode: Why it gets them.

        Raises:
            MergedError: If one of the events is, or is about to be, another customer's by now, or an erased one's.
            Unavailable: If the database was lost.
            Exception: What the handler raised.
        """
        work.depth = 1 + max(event.depth for event in events)
        try:
            await self.platform.hooks.notify(plugin, HOOK, events=tuple(events), mode=mode, work=work)
        except HookTimeout:
            raise
        except Exception as error:
            if is_dead(work.connection):  # whatever the handler made of it
                raise as_unavailable(error) from error
            raise
        customers = {event.customer_id for event in events}
        try:
            winners = await hold(work.connection, customers, patience=MERGE_SECONDS)
        except (NotFound, Unavailable) as error:  # who was there has been deleted by an undo
            raise MergedError from error
        if any(winners.get(customer) != customer for customer in customers):
            raise MergedError

    async def _attempt(self, cursor: Cursor, events: list[RecordedEvent], end: Place, mode: Mode) -> None:
        name = cursor.name
        async with self.begin(name, mode) as work:
            row = await cursor.claim(work.connection)
            if row is not None and row["erasures"] > cursor.erasures:
                self.log.renew(row["erasures"])
                raise MergedError
            if row is None or (deaths := await self._deaths(cursor, row, events, work.connection, end)) is None:
                return
            await self._attempts.note(cursor, events[0].id, len(events), deaths)
            await self.call(work, name, events, mode)
            await cursor.move(work.connection, end, len(events))
        cursor.moved(end, len(events))

    async def _deaths(
        self, cursor: Cursor, row: Record, events: list[RecordedEvent], connection: Connection, end: Place
    ) -> int | None:
        """Return how many processes ended at these events, or None if they are not to be tried as they are.

        After a death the events are tried in halves, after a pause in which the other consumers get on, and beside
        no other events that may be to blame.
        """
        if row["tried"] != events[0].id or row["process"] in {"", self._process}:
            return 0
        deaths: int = row["tries"] + 1
        size: int = row["size"]
        if not cursor.killed or len(events) > max(1, size // 2):
            logger.warning("a process ended while consumer %s was given %d events", cursor.name, size)
            cursor.killed, cursor.suspects = True, size
            cursor.wait(min(5.0, 0.05 * 2**deaths) - row["age"])
            return None
        if size > 1 or deaths < DEATHS:
            return deaths
        if await cursor.bury(connection, row, events[0], end, ENDED):
            cursor.moved(end, 1)
        return None

    async def _failed(self, cursor: Cursor, events: list[RecordedEvent], end: Place, error: Exception) -> None:
        """Decide what becomes of events that failed: they are tried again, in halves, or set aside."""
        told = describe(error)
        if not cursor.outages and (not cursor.suspects or len(events) == 1):  # what comes between says nothing new
            logger.warning("consumer %s failed at %d events: %s", cursor.name, len(events), where(error))
        slow, outage = is_slow(error), is_outage(error)
        failures = cursor.failures + slow
        again = outage or (slow and failures < PATIENCE and not cursor.suspects)
        wait = 0.0
        if again:
            cursor.outages += outage
            longest, tries = (LONGEST_OUTAGE, cursor.outages) if outage else (LONGEST_WAIT, failures)
            wait = cursor.wait(min(longest, 0.1 * 2 ** min(tries, 20)))
        await self._attempts.settle(cursor)
        async with self.platform.db.transaction() as connection:
            row = await cursor.claim(connection)
            if row is None:
                return
            if again:
                await cursor.fail(connection, cursor.suspects, failures, wait, told)
            elif len(events) > 1:
                await cursor.fail(connection, len(events), 0, 0.0, told)
            elif not await cursor.bury(connection, row, events[0], end, told):
                return
        if not again and len(events) == 1:
            cursor.moved(end, 1)
