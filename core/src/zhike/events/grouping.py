"""Group commit: requests that arrive while others are being stored share one transaction."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Sequence

import asyncpg

from zhike import clock
from zhike.customers.traits import Cause
from zhike.errors import TooMany, Unavailable
from zhike.events.amend import amend
from zhike.events.checks import KnownTypes
from zhike.events.ingest import Ingested, Part, store_parts
from zhike.events.merging import TooSlow
from zhike.events.schemas import CheckedEvent
from zhike.i18n import text
from zhike.platform import Platform

GROUP = 1_000
"""Events of one transaction: more gain nothing, and all other requests wait for its locks."""

FLUSHERS = 4
"""Transactions of one process at a time."""

WORTH = 32
"""Events that must wait for a further transaction to begin beside others; fewer wait for the next one."""

_ATTEMPTS = 3


class _Request:
    """Events that wait to be stored."""

    __slots__ = ("answer", "part")

    def __init__(self, part: Part) -> None:
        self.part = part
        self.answer: asyncio.Future[Ingested] = asyncio.get_running_loop().create_future()


class Collector:
    """Stores the events of concurrent requests, many requests to a transaction.

    A request that finds nobody at work is stored at once; those that arrive meanwhile form the next transaction.
    So groups grow with the load, and nobody waits for company.

    Args:
        platform: Where to; `queue_limit` of its settings bounds what may wait.

    Attributes:
        types: The registered event types, as events are to be checked before they come here.
    """

    def __init__(self, platform: Platform) -> None:
        self.types = KnownTypes(platform.registry.event_types, platform.customer_fields)
        self._platform = platform
        settings = platform.settings
        self._limit = settings.queue_limit
        # One connection is left for everything else.
        self._most = max(1, min(FLUSHERS, settings.pool_size - 1))
        self._queue: deque[_Request] = deque()
        self._waiting = 0
        self._queued = 0
        self._flushing = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def waiting(self) -> int:
        """Events that were submitted and have no answer yet."""
        return self._waiting

    async def submit(self, events: Sequence[CheckedEvent], *, origin: str, live: bool = True) -> Ingested:
        """Store the events of one request and return what became of them, after the commit.

        More than `GROUP` events take several transactions, one after the other: after an error some may be
        stored all the same, and the same request again counts them as duplicates.

        Args:
            events: Checked events.
            origin: Who brought them, as in `Actor.origin`.
            live: Whether they may start something.

        Raises:
            TooMany: If more than `queue_limit` events would wait.
            Unavailable: If the database cannot be reached, or the process ends.
        """
        if self._closed:
            raise _stopping()
        if self._waiting and self._waiting + len(events) > self._limit:
            raise TooMany(
                text("more than {limit} events wait to be stored; try again", limit=self._limit), retry_after=1
            )
        waiting = len(events)
        self._waiting += waiting
        try:
            cause = Cause(origin, live=live)
            total = Ingested(0, 0, [])
            events, total.rejected = await amend(self._platform, events, now=clock.now(), types=self.types)
            if self._closed:
                raise _stopping()
            for start in range(0, len(events), GROUP):
                got = await self._enqueue(Part(events[start : start + GROUP], cause))
                total.accepted += got.accepted
                total.duplicate += got.duplicate
                total.rejected += got.rejected
            return total
        finally:
            self._waiting -= waiting  # plugins may have dropped some

    async def close(self) -> None:
        """Take nothing more, and return when everything that was taken has its answer."""
        self._closed = True
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _enqueue(self, part: Part) -> asyncio.Future[Ingested]:
        request = _Request(part)
        self._queue.append(request)
        self._queued += len(part.events)
        if not self._flushing or (self._queued >= WORTH and self._flushing < self._most):
            self._flushing += 1
            # In a context of its own, for it must not inherit a transaction of whoever comes first.
            task = asyncio.create_task(self._flush(), context=contextvars.Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return request.answer

    async def _flush(self) -> None:
        """Store groups until the queue is empty."""
        try:
            # Requests that the loop has read but not yet handled come along.
            await asyncio.sleep(0)
            while group := self._next():
                await self._settle(group)
        finally:
            # At once after the queue was seen empty, so that the next request starts another flusher.
            self._flushing -= 1

    def _next(self) -> list[_Request]:
        """Take whole requests off the queue, up to `GROUP` events, leaving out those nobody waits for."""
        group: list[_Request] = []
        size = 0
        while self._queue and (not group or size + len(self._queue[0].part.events) <= GROUP):
            request = self._queue.popleft()
            self._queued -= len(request.part.events)
            if not request.answer.done():
                size += len(request.part.events)
                group.append(request)
        return group

    async def _settle(self, group: list[_Request]) -> None:
        """Store a group and answer it; a request that fails does so alone."""
        try:
            answers = await self._store([request.part for request in group])
        except Unavailable as error:
            for request in group:
                if not request.answer.done():
                    request.answer.set_exception(Unavailable(error.message, retry_after=error.retry_after))
            return
        except Exception as error:
            if len(group) > 1:
                for request in group:
                    await self._settle([request])
            elif not group[0].answer.done():
                group[0].answer.set_exception(error)
            return
        for request, answer in zip(group, answers, strict=True):
            # Whoever gave up waiting is not told; the events are stored.
            if not request.answer.done():
                request.answer.set_result(answer)

    async def _store(self, parts: list[Part]) -> list[Ingested]:
        for _ in range(_ATTEMPTS):
            try:
                async with self._platform.db.transaction() as connection:
                    answers = await store_parts(connection, parts, now=clock.now(), platform=self._platform)
            except (asyncpg.TransactionRollbackError, TooSlow):  # a deadlock, a serialization failure, or plugins
                continue
            if any(answer.accepted for answer in answers):
                self._platform.announce("log")
            return answers
        raise Unavailable(text("other requests keep changing the same customers; try again"), retry_after=1)


def _stopping() -> Unavailable:
    return Unavailable(text("the server is stopping; try again"), retry_after=1)
