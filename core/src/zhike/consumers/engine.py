"""Offers the log to plugins: each gets every batch once, and none can hurt another or stop for good."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
import time
import uuid
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

import asyncpg

from zhike import work as work_unit
from zhike._engine import is_dead
from zhike.consumers import replays, restart
from zhike.consumers.cursors import REGISTER, REGISTER_CURSOR, VIEW, Attempts, Cursor, MergedError
from zhike.consumers.log import LogReader, Place
from zhike.consumers.sequencer import Ticker
from zhike.contracts import Consumer, Mode, RecordedEvent
from zhike.errors import Unavailable, where
from zhike.events.emit import hold
from zhike.hooks import HookTimeout
from zhike.i18n import text

if TYPE_CHECKING:
    from asyncpg import Record

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
VIEW_SECONDS = 0.5
"""Seconds after which the state of consumers is read again."""
PERSIST_SECONDS = 1.0
"""Seconds after which it is stored how far a consumer is that nothing concerns."""
DRAIN_SECONDS = 6.5
"""Seconds that what has begun may take when the process is to end."""

# A handler's own statement took too long; it has no part in any other reason why the database is unavailable.
_TOO_LONG = (
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
logger = logging.getLogger("zhike.consumers")


class Consumers(Ticker):
    """All consumers of one process.

    One task works for each cursor. It reads the next events that concern the consumer, and then, in one
    transaction, claims the cursor, hands the events to the plugin, makes sure that their customers are still whose
    they were, and moves the cursor. Effects and cursor therefore stand or fall together, whatever happens.

    Args:
        platform: The process's platform.
    """

    def __init__(self, platform: Platform) -> None:
        super().__init__()
        self.platform = platform
        self._db = platform.db
        self._process = uuid.uuid4().hex
        self._attempts = Attempts(platform.db, self._process)
        contracts = platform.registry.consumers
        self._contracts = {name: contracts.get(name, Consumer()) for name in platform.hooks.implementers(HOOK)}
        # Two connections are left for everybody else, and a consumer of many ranges leaves some to the others.
        slots = max(1, platform.settings.pool_size - 2)
        self._slots = asyncio.Semaphore(slots)
        self._shares = {name: asyncio.Semaphore(max(1, slots // 2)) for name in self._contracts}
        self._alone = asyncio.Lock()
        wanted = {name for contract in self._contracts.values() for name in contract.events}
        self.log = LogReader(platform.db, None if "*" in wanted else frozenset(wanted))
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
            if cursor.replays and await replays.perform(self, cursor):
                return True
            return cursor.running and await self._advance(cursor)
        except Exception as error:
            if not cursor.outages:
                logger.warning("consumer %s has to wait: %s", cursor.name, where(error))
            cursor.outages += 1
            _wait(cursor, LONGEST_OUTAGE)
            return False
        finally:
            cursor.busy = False

    async def _advance(self, cursor: Cursor) -> bool:
        """Offer the next events of a cursor, or note that there are none up to here."""
        start = cursor.place
        until = cursor.live_from if start[0] < cursor.live_from else None
        mode: Mode = "live" if until is None else cursor.mode
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

    async def _offer(self, cursor: Cursor, events: list[RecordedEvent], end: Place, mode: Mode) -> None:
        async with AsyncExitStack() as stack:
            if cursor.killed:
                await stack.enter_async_context(self._alone)
            await stack.enter_async_context(self._shares[cursor.name])
            await stack.enter_async_context(self._slots)
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

    async def _attempt(self, cursor: Cursor, events: list[RecordedEvent], end: Place, mode: Mode) -> None:
        name = cursor.name
        async with work_unit.begin(self.platform, origin=f"plugin:{name}", plugin=name, mode=mode) as work:
            row = await cursor.claim(work.connection)
            if row is None or (deaths := await self._deaths(cursor, row, events, work.connection, end)) is None:
                return
            await self._attempts.note(cursor, events[0].id, len(events), deaths)
            await self.call(work, name, events, mode)
            await cursor.move(work.connection, end, len(events))
        cursor.moved(end, len(events))

    async def call(self, work: Work, plugin: str, events: list[RecordedEvent], mode: Mode) -> None:
        """Hand events to a plugin inside a unit of work.

        Args:
            work: Rolled back by the caller if this raises.
            plugin: Whose handler.
            events: At least one.
            mode: Why it gets them.

        Raises:
            MergedError: If one of the events is, or is about to be, another customer's by now.
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
                raise _unavailable(error) from error
            raise
        try:
            winners = await hold(work.connection, {event.customer_id for event in events}, patience=MERGE_SECONDS)
        except Unavailable as error:
            raise MergedError from error
        if any(winner != customer for customer, winner in winners.items()):
            raise MergedError

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
            _wait(cursor, min(5.0, 0.05 * 2**deaths) - row["age"])
            return None
        if size > 1 or deaths < DEATHS:
            return deaths
        if await cursor.bury(connection, row, events[0], end, replays.ENDED):
            cursor.moved(end, 1)
        return None

    async def _failed(self, cursor: Cursor, events: list[RecordedEvent], end: Place, error: Exception) -> None:
        """Decide what becomes of events that failed: they are tried again, in halves, or set aside."""
        told = where(error)
        if not cursor.outages and (not cursor.suspects or len(events) == 1):  # what comes between says nothing new
            logger.warning("consumer %s failed at %d events: %s", cursor.name, len(events), told)
        cause = error.__cause__ if isinstance(error, Unavailable) else error
        slow = isinstance(cause, _TOO_LONG) or isinstance(error, HookTimeout | TimeoutError)
        outage = not slow and (isinstance(error, Unavailable) or _rolled_back(error))
        failures = cursor.failures + slow
        again = outage or (slow and failures < PATIENCE and not cursor.suspects)
        wait = 0.0
        if again:
            cursor.outages += outage
            longest, tries = (LONGEST_OUTAGE, cursor.outages) if outage else (LONGEST_WAIT, failures)
            wait = _wait(cursor, min(longest, 0.1 * 2 ** min(tries, 20)))
        await self._attempts.settle(cursor)
        async with self._db.transaction() as connection:
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


def _wait(cursor: Cursor, seconds: float) -> float:
    """Let a cursor wait about so long; never all for the same time, so that they do not come back together."""
    seconds *= random.uniform(0.5, 1.0)  # noqa: S311  # no secret
    cursor.not_before = time.monotonic() + seconds
    return seconds


def _rolled_back(error: BaseException | None) -> bool:
    """Tell whether the server ended the transaction for another's sake, whatever a handler made of the error."""
    while error is not None and not isinstance(error, asyncpg.TransactionRollbackError):
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return error is not None


def _unavailable(error: Exception) -> Unavailable:
    kind = type(error).__name__
    return Unavailable(text("The database cannot be used at the moment ({kind})", kind=kind), retry_after=1)
