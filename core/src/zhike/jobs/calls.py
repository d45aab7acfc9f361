"""One call of a job's function: its transaction, what a failure does to its jobs, and to none besides the guilty."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
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
from zhike.i18n import Text, text
from zhike.jobs import claims
from zhike.jobs.claims import Verdict
from zhike.orm import Connection
from zhike.platform import CORE, Platform
from zhike.wire import decoder, fault, refuse
from zhike.work import begin

MOST_BACK_OFF = 3600.0
"""Seconds a failed job waits at most before it is tried again; the first time it is one or two."""
_PAUSES = (0.05, 0.2, 0.8, 2.0, 4.0)
"""Seconds between attempts at one transaction while others are in its way or the database restarts."""
_CUT = "its connection was ended each time it ran, as that of a transaction that waits for too long"
_OWN_FAULT = (asyncpg.QueryCanceledError, asyncpg.IdleInTransactionSessionTimeoutError)
TELLING = 10.0
"""Seconds that a job's `failed` may take, less than the server lets a transaction wait."""
_AS_DUTY = HookMeta(family="duty", since="0.1")
_ISOLATION = Isolation(threads=False)
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

    async def run(self, claim: Claim) -> None:
        """Run claimed jobs until each of them is settled; raises only when cancelled."""
        items: list[JobItem] = []
        for row in claim.rows:
            try:
                items.append(_item(row, claim.job))
            except (msgspec.DecodeError, RecursionError) as error:
                refused = refuse(fault(error, row["payload"].encode(), claim.job.payload))
                told = text("Its job cannot be run; the page of the job says why")
                await self._fail(claim, row, f"payload: {refused}", told)
        if items:
            await self._run(Call(claim.job, items, claim.token))

    async def run_suspects(self, claim: Claim) -> None:
        """Run jobs whose process has died, with nothing beside them; a single one may have used up its attempts."""
        if len(claim.rows) == 1:
            [row] = claim.rows
            if row["attempts"] > (most := claim.job.attempts):
                reason = f"the process ended or stood still while it ran alone, {most} times"
                await self._fail(claim, row, reason, _times(claim.job))
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
        seconds = call.job.timeout
        result = await _isolated(self._platform, call, seconds, call.job.run, self._platform) if external else None
        for pause in (*_PAUSES, None):
            try:
                await self._transaction(call, result)
                return
            except (Unavailable, asyncpg.DeadlockDetectedError, asyncpg.SerializationError) as error:
                # The server does not tell whom it cut for waiting too long; in an outage it would let nobody in.
                cut = cut and isinstance(error.__cause__, asyncpg.InterfaceError | asyncpg.InternalClientError)
                if pause is None and cut:
                    raise HookFailed(_owner(self._platform, call.job)[0], call.job.name, _CUT) from error
                # Whose own statement took too long will not be quicker the next time.
                if pause is None or isinstance(error.__cause__, _OWN_FAULT):
                    raise
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  # so that rivals part

    async def _transaction(self, call: Call, result: Any) -> None:
        job, items, (plugin, origin) = call.job, call.items, _owner(self._platform, call.job)
        async with self._places, begin(self._platform, origin=origin, plugin=plugin, seconds=job.timeout) as work:
            work.depth = max(item.depth for item in items)
            if not job.external:
                await _isolated(self._platform, call, job.timeout, job.run, work)
            elif job.done is not None:
                await _isolated(self._platform, call, job.timeout, job.done, result, work)
            # Before the new jobs are written, which may have the keys of these.
            if not await claims.finish(work.connection, [item.id for item in items], call.token):
                raise LeaseLost

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
        await self._settle(call, verdicts, _times(call.job))

    async def _fail(self, claim: Claim, row: Record, reason: str, told: Text) -> None:
        _log.warning("%s %d cannot be run: %s", claim.job.name, row["id"], reason)
        attempts = min(row["attempts"], claim.job.attempts)
        verdict = Verdict(row["id"], "failed", clock.now(), attempts, reason[:MOST_CHARACTERS])
        await self._settle(call_of(row, claim.job, claim.token), [verdict], told)

    async def _settle(self, call: Call, verdicts: Sequence[Verdict], reason: Text) -> None:
        """Write verdicts; while the database is away, try until the lease has run out anyway."""
        ends = time.monotonic() + self._lease.total_seconds()
        failed = {each.id for each in verdicts if each.state == "failed"}
        gone = call._replace(items=[item for item in call.items if item.id in failed])
        write = partial(claims.give_back, verdicts=verdicts, token=call.token)
        while True:
            try:
                await give_up(self._platform, gone, reason, write)
                return
            except Unavailable:
                if time.monotonic() > ends:
                    raise
                await asyncio.sleep(0.5)


async def give_up(platform: Platform, call: Call, reason: Text, write: Callable[[Connection], Awaitable[bool]]) -> bool:
    """Give jobs up, and tell whoever registered them; what goes wrong with telling is no reason to keep them.

    Args:
        platform: The process's platform.
        call: The jobs; none of them if nobody is to be told.
        reason: Why, for people.
        write: Gives them up; returns whether they were there to be given up, which is returned.

    Raises:
        Unavailable: If the database cannot be used.
    """
    plugin, origin = _owner(platform, call.job)
    telling = bool(call.items) and call.job.failed is not None
    while True:
        try:
            async with begin(platform, origin=origin, plugin=plugin) as work:
                work.depth = max((item.depth for item in call.items), default=0)
                there = await write(work.connection)
                if there and telling and call.job.failed is not None:
                    await _isolated(platform, call, TELLING, call.job.failed, reason, work)
            return there
        except Exception as error:
            if not telling or _is_outage(error):
                raise
            _log.warning("%s could not be told that it is given up", call.job.name, exc_info=True)
            telling = False


async def _isolated(
    platform: Platform, call: Call, seconds: float, function: Callable[..., Any], *arguments: Any
) -> Any:
    plugin, _ = _owner(platform, call.job)
    one = Implementation(plugin, call.job.name, _AS_DUTY, partial(function, call.items, *arguments), ())
    result, error = await _ISOLATION.call(one, {}, seconds)
    if error is None:
        return result
    if isinstance(error, Exception):
        raise error
    raise HookFailed(plugin, call.job.name, type(error).__name__) from error


def _times(job: Job) -> Text:
    return text("It failed {n} {n:time|times}", n=job.attempts)


def _owner(platform: Platform, job: Job) -> tuple[str, str]:
    """Return the plugin that has registered a job, and the origin of what it does."""
    plugin = platform.registry.owner("jobs", job.name) or ""
    return plugin, "system" if plugin in CORE else f"plugin:{plugin}"


def call_of(row: Record, job: Job, token: int = 0) -> Call:
    """Return the call of a stored job; with its payload as it is stored if that cannot be decoded.

    Args:
        row: With the columns of `zhike.jobs.claims.COLUMNS`.
        job: Its kind.
        token: The lease it was claimed with.
    """
    try:
        return Call(job, [_item(row, job)], token)
    except (msgspec.DecodeError, RecursionError):
        return Call(job, [_item(row, msgspec.structs.replace(job, payload=msgspec.Raw))], token)


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
