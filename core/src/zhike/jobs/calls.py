"""One call of a job's function: its transaction, what a failure does to its jobs, and to none besides the guilty."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple

import asyncpg
import msgspec
from asyncpg import Record

from zhike import clock
from zhike._hookspec import HookMeta, Implementation
from zhike._isolate import MOST_CHARACTERS, HookFailed, Isolation, describe
from zhike.contracts import Job, JobItem
from zhike.errors import Unavailable
from zhike.jobs import claims
from zhike.jobs.claims import Verdict
from zhike.platform import CORE, Platform
from zhike.wire import decoder, fault, refuse
from zhike.work import begin

MOST_BACK_OFF = 3600.0
"""Seconds a failed job waits at most before it is tried again; the first time it is one or two."""
_PAUSES = (0.05, 0.2, 0.8, 2.0, 4.0)
"""Seconds between attempts at one transaction while others are in its way or the database restarts."""
_CUT = "its connection was ended each time it ran, as that of a transaction that waits for too long"
_OWN_FAULT = (asyncpg.QueryCanceledError, asyncpg.IdleInTransactionSessionTimeoutError)
_AS_DUTY = HookMeta(family="duty", since="0.1")
_log = logging.getLogger("zhike.jobs")


class Claim(NamedTuple):
    """Stored jobs of one name that are to be run together.

    Args:
        job: What they are.
        rows: As `zhike.jobs.claims` returns them, at most `job.batch`.
        token: The lease they were claimed with.
    """

    job: Job
    rows: Sequence[Record]
    token: int


class Call(NamedTuple):
    """Jobs of one name that are run together.

    Args:
        job: What they are.
        items: The jobs, at most `job.batch`.
        token: The lease they were claimed with.
    """

    job: Job
    items: list[JobItem]
    token: int


class LeaseLost(Exception):
    """Another worker may have done what this one was about to commit."""


class Calls:
    """Runs calls and settles each of their jobs: deleted with its effects, put off, or failed.

    Args:
        platform: The process's platform.
        places: How many transactions may run at one time.
        lease: How long a lease lasts.
    """

    def __init__(self, platform: Platform, places: int, lease: timedelta) -> None:
        self._platform = platform
        self._places = asyncio.Semaphore(places)
        self._lease = lease
        self._isolation = Isolation(threads=False)

    async def run(self, claim: Claim) -> None:
        """Run claimed jobs until each of them is settled; raises only when cancelled."""
        items: list[JobItem] = []
        for row in claim.rows:
            try:
                items.append(_item(row, claim.job))
            except (msgspec.DecodeError, RecursionError) as error:
                refused = refuse(fault(error, row["payload"].encode(), claim.job.payload))
                await self._fail(claim, row, f"payload: {refused}")
        if items:
            await self._run(Call(claim.job, items, claim.token))

    async def run_suspects(self, claim: Claim) -> None:
        """Run jobs whose process has died, with nothing beside them; a single one may have used up its attempts."""
        if len(claim.rows) == 1:
            [row] = claim.rows
            if row["attempts"] > (most := claim.job.attempts):
                await self._fail(claim, row, f"the process ended or stood still while it ran alone, {most} times")
                return
            async with self._platform.db.transaction() as connection:
                await claims.alone(connection, row["id"], claim.token)
        await self.run(claim)

    async def _run(self, call: Call) -> None:
        """Run a call; a batch that fails is halved until those that fail are alone."""
        try:
            await self._attempt(call)
        except asyncio.CancelledError:
            await self._put_off(call, None)
            raise
        except Exception as error:
            outage = _is_outage(error)
            if len(call.items) > 1 and not outage:
                middle = len(call.items) // 2
                await self._run(call._replace(items=call.items[:middle]))
                await self._run(call._replace(items=call.items[middle:]))
            elif isinstance(error, LeaseLost):
                _log.warning("%s %d took longer than its lease; another worker has it", call.job.name, call.items[0].id)
            else:
                await self._put_off(call, None if outage else error)

    async def _attempt(self, call: Call) -> None:
        external, cut = call.job.external, True
        result = await self._isolated(call, call.job.run, self._platform) if external else None
        for pause in (*_PAUSES, None):
            try:
                await self._transaction(call, result)
                return
            except (Unavailable, asyncpg.DeadlockDetectedError, asyncpg.SerializationError) as error:
                # The server does not tell whom it cut for waiting too long; in an outage it would let nobody in.
                cut = cut and isinstance(error.__cause__, asyncpg.InterfaceError | asyncpg.InternalClientError)
                if pause is None and cut:
                    raise HookFailed(self._plugin(call), call.job.name, _CUT) from error
                # Whose own statement took too long will not be quicker the next time.
                if pause is None or isinstance(error.__cause__, _OWN_FAULT):
                    raise
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  # so that rivals part

    async def _transaction(self, call: Call, result: Any) -> None:
        job, items, plugin = call.job, call.items, self._plugin(call)
        origin = "system" if plugin in CORE else f"plugin:{plugin}"
        async with self._places, begin(self._platform, origin=origin, plugin=plugin, seconds=job.timeout) as work:
            work.depth = max(item.depth for item in items)
            if not job.external:
                await self._isolated(call, job.run, work)
            elif job.done is not None:
                await self._isolated(call, job.done, result, work)
            # Before the new jobs are written, which may have the keys of these.
            if not await claims.finish(work.connection, [item.id for item in items], call.token):
                raise LeaseLost

    async def _isolated(self, call: Call, function: Callable[..., Any], *arguments: Any) -> Any:
        plugin = self._plugin(call)
        one = Implementation(plugin, call.job.name, _AS_DUTY, partial(function, call.items, *arguments), ())
        result, error = await self._isolation.call(one, {}, call.job.timeout)
        if error is None:
            return result
        if isinstance(error, Exception):
            raise error
        raise HookFailed(plugin, call.job.name, type(error).__name__) from error

    def _plugin(self, call: Call) -> str:
        return self._platform.registry.owner("jobs", call.job.name) or ""

    async def _put_off(self, call: Call, error: Exception | None) -> None:
        """Try jobs again later, or no more; without an error it was not their fault and does not count."""
        now, verdicts = clock.now(), []
        for item in call.items:
            if error is None:
                verdicts.append(Verdict(item.id, "ready", item.due_at, item.attempt - 1, None))
                continue
            wait = min(MOST_BACK_OFF, 2.0 ** min(item.attempt, 30)) * random.uniform(0.5, 1)  # noqa: S311  # jitter
            state = "failed" if item.attempt >= call.job.attempts else "ready"
            verdicts.append(Verdict(item.id, state, now + timedelta(seconds=wait), item.attempt, describe(error)))
            _log.warning("%s %d failed, attempt %d", call.job.name, item.id, item.attempt, exc_info=error)
        await self._settle(verdicts, call.token)

    async def _fail(self, claim: Claim, row: Record, reason: str) -> None:
        _log.warning("%s %d cannot be run: %s", claim.job.name, row["id"], reason)
        attempts = min(row["attempts"], claim.job.attempts)
        await self._settle([Verdict(row["id"], "failed", clock.now(), attempts, reason[:MOST_CHARACTERS])], claim.token)

    async def _settle(self, verdicts: Sequence[Verdict], token: int) -> None:
        """Write verdicts; while the database is away, try until the lease has run out anyway."""
        ends = time.monotonic() + self._lease.total_seconds()
        while True:
            try:
                async with self._platform.db.transaction() as connection:
                    await claims.give_back(connection, verdicts, token)
                return
            except Unavailable:
                if time.monotonic() > ends:
                    raise
                await asyncio.sleep(0.5)


def _item(row: Record, job: Job) -> JobItem:
    # Ids begin anew in another database; the instant does not.
    key = f"{job.name}:{row['id']}:{row['created_at']:%Y%m%d%H%M%S%f}"
    return JobItem(
        id=row["id"],
        key=row["key"],
        payload=decoder("json", job.payload).decode(row["payload"]),
        customer_id=row["customer_id"],
        due_at=row["due_at"],
        attempt=row["attempts"],
        origin=row["origin"],
        causation_id=row["causation_id"],
        depth=row["depth"],
        live=row["live"],
        idempotency_key=key,
    )


def _is_outage(error: Exception) -> bool:
    """Say whether the database was away, which is no fault of what was run."""
    cause = error.__cause__
    return isinstance(error, Unavailable) and cause is not None and not isinstance(cause, _OWN_FAULT)
