"""The worker: claims jobs that are due, runs them in batches side by side, and keeps their leases alive.

Two clocks: whether a job is due is a matter of `zhike.clock`, as are the instants it is enqueued for; leases are
compared by the database's clock alone, which is one for all processes. When a clock is set back, what was due then
becomes due again when it gets there; no job runs early, twice, or not at all.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import secrets
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from asyncpg import Record

from zhike import clock
from zhike.contracts import Job
from zhike.errors import Unavailable
from zhike.jobs import claims
from zhike.jobs.calls import Calls, Claim
from zhike.orm import Connection
from zhike.platform import Platform

SLOTS = 10
"""Calls of one queue that run side by side in one process."""
LEASE = timedelta(seconds=30)
"""How long jobs of a process that has died are left to it; a living one extends its leases three times as often."""
TICK = 0.25
"""Seconds after which the worker looks for work when nobody wakes it."""
DRAIN_SECONDS = 6.0
LATE = timedelta(seconds=60)
"""How long after its instant a job that is due at once may still be committed."""
MOST_CLAIMED = 1000
"""Jobs of one claim, whatever batch and slots allow."""
_EVER = datetime(1970, 1, 1, tzinfo=UTC)
_log = logging.getLogger("zhike.jobs")


class Slots:
    """How many calls may begin: each queue has its own slots, and all share the database's connections.

    Args:
        slots: Calls of one queue.
        places: Calls of internal jobs altogether. The last one is kept for a queue that has none, so that a
            queue whose jobs take long holds up no other.
        queues: How many queues there are.
    """

    def __init__(self, slots: int, places: int, queues: int) -> None:
        self._slots = slots
        self._places = places
        self._kept = int(queues > 1 and places > 1)
        self._calls: Counter[str] = Counter()
        self._internal: Counter[str] = Counter()

    def room(self, job: Job) -> int:
        """Return how many more calls of a job may begin."""
        free = self._slots - self._calls[job.queue]
        if job.external:
            return free
        places = self._places - self._internal.total()
        return min(free, max(places - self._kept, int(places > 0 and not self._internal[job.queue])))

    def count(self, job: Job, calls: int) -> None:
        """Note that calls of a job begin, or with a negative number that they have ended."""
        self._calls[job.queue] += calls
        if not job.external:
            self._internal[job.queue] += calls


class JobWorker:
    """Runs jobs that are due, of all names that the process's plugins have registered.

    Jobs of other names stay where they are. A job whose process has died is a suspect: it runs with nothing beside
    it in its process, so that one that kills processes is found out and takes no other job's attempts.

    Args:
        platform: The process's platform.
        slots: Calls of one queue that run side by side.
        lease: How long a claim lasts unless it is extended.
        tick: Seconds between two looks when nobody wakes it.
    """

    def __init__(self, platform: Platform, *, slots: int = SLOTS, lease: timedelta = LEASE, tick: float = TICK) -> None:
        self._platform = platform
        self._jobs = platform.registry.jobs
        self._lease = lease
        self._tick = tick
        # Two connections are left to others; one more is for claims, and one for heartbeats.
        places = max(1, platform.db.pool.get_max_size() - 4)
        self._slots = Slots(slots, places, len({job.queue for job in self._jobs.values()}))
        self._calls = Calls(platform, places, lease)
        self._leases: dict[int, int] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._suspects: list[Claim] = []
        self._alone = False
        # Where the jobs of a name begin. What is done lies before it, and while somebody holds an old snapshot, such as
        # a backup, it cannot be cleared away there and would be passed over again at each look. What is enqueued
        # for an earlier instant is found when all is looked through again.
        self._since: dict[str, datetime] = {}
        self._look_through = 0.0
        self._news = asyncio.Event()
        self._draining = False

    def wake(self) -> None:
        """Look for work at once instead of at the next tick."""
        self._news.set()

    async def run(self) -> None:
        """Work until cancelled, also through outages of the database."""
        beat = asyncio.create_task(self._beat(), context=contextvars.Context())
        try:
            while True:
                self._news.clear()
                try:
                    delay = await self._begin()
                except Unavailable:
                    delay = 1.0
                with suppress(TimeoutError):
                    async with asyncio.timeout(delay):
                        await self._news.wait()
        finally:
            beat.cancel()
            await self._stop(0)

    async def step(self) -> bool:
        """Run what is due now and fits into the slots, to its end; return whether there was anything."""
        self._look_through = 0.0
        await self._begin()
        had = bool(self._running)
        while self._running:
            await asyncio.wait(self._running)
        return had

    async def drain(self) -> None:
        """Begin nothing more, and finish what has begun; what takes longer than some seconds is given back."""
        self._draining = True
        await self._stop(DRAIN_SECONDS)

    async def _stop(self, seconds: float) -> None:
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=1)

    async def _begin(self) -> float:
        """Claim what is due and fits, begin it, and return the seconds until there may be more."""
        self._begin_alone()
        names = [name for name, job in self._jobs.items() if self._slots.room(job) > 0]
        if self._draining or self._alone or self._suspects or not names:
            return self._tick
        now = clock.now()
        claimed: list[Claim] = []
        try:
            async with self._platform.db.transaction() as connection:
                waiting, suspected = await self._look(connection, names, now)
                if suspected:
                    self._suspects = await self._claim_suspects(connection)
                if not self._suspects:
                    await self._claim(connection, [name for _, due_at, name in waiting if due_at <= now], now, claimed)
        except BaseException:
            # If it was committed nevertheless, they are suspects once their lease is over.
            for claim in claimed:
                self._slots.count(claim.job, -1)
            self._suspects = []
            raise
        for claim in claimed:
            self._start(self._run(claim), claim)
        self._begin_alone()
        return min([self._tick, *((due_at - now).total_seconds() for _, due_at, _ in waiting if due_at > now)])

    async def _look(self, connection: Connection, names: Sequence[str], now: datetime) -> claims.Heads:
        everything = time.monotonic() >= self._look_through
        if everything:
            self._look_through = time.monotonic() + self._lease.total_seconds() / 6
            self._since.clear()
        since = {name: self._since.get(name, _EVER) for name in names}
        heads = await claims.look(connection, since, suspects=everything)
        self._since.update(dict.fromkeys(names, now - LATE))
        for _, due_at, name in heads.waiting:
            self._since[name] = min(due_at, self._since[name])
        return heads

    async def _claim(self, connection: Connection, names: Sequence[str], now: datetime, claimed: list[Claim]) -> None:
        """Claim jobs of these names, in this order, as far as there is room, and add them to `claimed`."""
        for name in dict.fromkeys(names):
            job = self._jobs[name]
            limit = min(self._slots.room(job) * job.batch, MOST_CLAIMED)
            if limit > 0:
                token = secrets.randbits(62)
                since = self._since[name]
                rows = await claims.claim(connection, name, since, now, limit=limit, token=token, lease=self._lease)
                calls = _cut(job, rows, token)
                self._slots.count(job, len(calls))
                claimed += calls

    async def _claim_suspects(self, connection: Connection) -> list[Claim]:
        token = secrets.randbits(62)
        rows = await claims.claim_suspects(connection, list(self._jobs), token=token, lease=self._lease)
        return _cut(self._jobs[rows[0]["name"]], rows, token) if rows else []

    def _begin_alone(self) -> None:
        """Run suspects if nothing else is running; nothing else begins until they are done."""
        if self._suspects and not self._running:
            suspects, self._suspects = self._suspects, []
            self._alone = True
            self._start(self._run_alone(suspects), *suspects)

    def _start(self, running: Coroutine[Any, Any, None], *claimed: Claim) -> None:
        for claim in claimed:
            self._leases.update(dict.fromkeys((row["id"] for row in claim.rows), claim.token))
        # A context of its own, so that no transaction or unit of work leaks into it.
        task = asyncio.create_task(running, context=contextvars.Context())
        self._running.add(task)
        task.add_done_callback(partial(self._ended, claimed))

    def _ended(self, claimed: Sequence[Claim], task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        for claim in claimed:  # what could not be settled is left to others
            for row in claim.rows:
                self._leases.pop(row["id"], None)
        self._news.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a call of a job could not be settled; its lease will run out", exc_info=error)

    async def _run(self, claim: Claim) -> None:
        try:
            await self._calls.run(claim)
        finally:
            self._slots.count(claim.job, -1)

    async def _run_alone(self, suspects: Sequence[Claim]) -> None:
        try:
            for claim in suspects:
                await self._calls.run_suspects(claim)
        finally:
            self._alone = False
            self._look_through = 0.0

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._lease.total_seconds() / 3)
            try:
                async with self._platform.db.transaction() as connection:
                    await claims.extend(connection, self._leases, self._lease)
            except Exception:
                _log.warning("leases of jobs could not be extended", exc_info=True)


def _cut(job: Job, rows: Sequence[Record], token: int) -> list[Claim]:
    return [Claim(job, rows[start : start + job.batch], token) for start in range(0, len(rows), job.batch)]
