"""Runs an import: batch after batch, each in one transaction with the count of rows done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from zhike import clock
from zhike.errors import Refused, Unavailable
from zhike.events import ingest
from zhike.events.amend import amend
from zhike.events.checks import KnownTypes
from zhike.i18n import text
from zhike.orm import Connection, Database
from zhike_imports.run import batches, known, people, runs
from zhike_imports.run.rejects import Rejects
from zhike_imports.schemas import Batch, Plan, Run

if TYPE_CHECKING:
    from zhike.platform import Platform

RETRY_SECONDS = 60.0


async def run(
    platform: Platform,
    plan: Plan,
    rejects: Rejects,
    *,
    current: Run | None = None,
    on_progress: Callable[[int], None] = lambda position: None,
    stop: asyncio.Event | None = None,
) -> tuple[Run, bool]:
    """Import a file, or go on with an import that was interrupted.

    Each batch commits together with the number of rows done, so that after a crash at any instant the same
    call goes on with the first row that is not decided, and the counts are those of one uninterrupted run.
    While one batch is stored the next is read and checked in a thread. A database that goes away is waited
    for up to a minute.

    Args:
        platform: The process's platform.
        plan: The import.
        rejects: Where rejected rows go.
        current: The run, of a file that was uploaded; without it the one that was interrupted, or a new one.
        on_progress: Called with the bytes read so far after each batch.
        stop: When set, the import ends after the running batch.

    Returns:
        The run with its counts since its first start, and whether the whole file is done.

    Raises:
        Refused: If the file changes meanwhile, or the run is cancelled or undone.
        Unavailable: If the database stays away.
    """
    db = platform.db
    types = await checked_types(platform, plan)
    whom = await people.load(platform)
    current = current or await runs.begin(db, plan)
    rejects.go_on_after(current.rows_done)
    reader = batches.read(plan, platform.settings, after=current.rows_done, types=types, people=whom)
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, "import-reader") as thread:
        coming = loop.run_in_executor(thread, _next, reader)
        try:
            while (batch := await coming) is not None:
                coming = loop.run_in_executor(thread, _next, reader)
                if not plan.found.unchanged():
                    raise Refused(text("{path} was changed while it was read; start again", path=plan.found.path))
                await _patiently(platform.customer_fields.renew)
                if plan.options.kind == "events":
                    batch.events, dropped = await amend(platform, batch.events, now=clock.now(), types=types)
                    batch.rejected += map(batches.placed, dropped)
                current = await _decide(platform, current, batch, rejects)
                on_progress(batch.position)
                if stop is not None and stop.is_set():
                    return current, False
        finally:
            await asyncio.wait([coming])
            reader.close()
    await _patiently(lambda: runs.finish(db, current))
    return current, True


async def checked_types(platform: Platform, plan: Plan) -> KnownTypes:
    """Return what a file's rows are checked against."""
    types = KnownTypes(platform.registry.event_types, await platform.customer_fields.renew(now=True))
    if plan.options.kind == "customers":
        types.good_names.add("")  # what is said of a customer is no event
    return types


async def _patiently(ask: Callable[[], Awaitable[object]]) -> None:
    """Ask the database for something, whatever happens to the connection."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + RETRY_SECONDS
    while True:
        try:
            await ask()
            return
        except Unavailable:
            if loop.time() > deadline:
                raise
            await asyncio.sleep(0.1)


def _next(reader: Generator[Batch, None, None]) -> Batch | None:
    return next(reader, None)


async def _decide(platform: Platform, current: Run, batch: Batch, rejects: Rejects) -> Run:
    """Store what of a batch is not decided yet, whatever happens to the connection."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + RETRY_SECONDS
    while current.rows_done < batch.last:
        place = rejects.place()
        try:
            current = await _store(platform, current, _beyond(batch, current.rows_done), rejects)
        except (Unavailable, runs.Overtaken) as error:
            rejects.rewind(place)
            if isinstance(error, Unavailable) and loop.time() > deadline:
                raise
            current = await _reloaded(platform.db, current, deadline)
    return current


async def _reloaded(db: Database, current: Run, deadline: float) -> Run:
    """Ask how far the run is: a COMMIT whose answer was lost may have come to be."""
    while True:
        try:
            return await runs.reload(db, current)
        except Unavailable:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.5)


async def _store(platform: Platform, current: Run, batch: Batch, rejects: Rejects) -> Run:
    async with platform.db.transaction() as connection:
        stored = await store(platform, connection, current, batch)
        rejected = [*batch.rejected, *stored.rejected]
        advanced = await runs.advance(
            connection,
            current,
            batch.last,
            position=batch.position,
            accepted=stored.accepted,
            duplicate=stored.duplicate,
            rejected=len(rejected),
        )
        # Before the commit: rows that count as rejected are in the file, whenever the process ends.
        await rejects.put(connection, current.id, batch.rows, rejected)
    platform.announce("log")
    return advanced


async def store(platform: Platform, connection: Connection, current: Run, batch: Batch) -> ingest.Ingested:
    """Store what of a batch can be, in the caller's transaction.

    Args:
        platform: The process's platform.
        connection: In a transaction.
        current: The run.
        batch: Checked.
    """
    events, duplicate = batch.events, 0
    rows = bool(events) and not events[0].name
    if rows:
        fresh = await known.claim(connection, current.id, [event.message_id for event in events])
        # Of rows with the same key in one batch the first is taken.
        first = {event.message_id: event for event in reversed(events)}
        events = [event for event in events if event.message_id in fresh and first[event.message_id] is event]
        duplicate = len(batch.events) - len(events)
    if not events:
        return ingest.Ingested(0, duplicate, [])
    stored = await ingest.store(
        connection,
        events,
        origin=current.origin,
        live=False,
        now=clock.now(),
        import_id=current.id,
        platform=platform,
    )
    stored.duplicate += duplicate
    if rows:
        refused = {rejection.index for rejection in stored.rejected}
        if refused:
            await known.release(connection, [event.message_id for event in events if event.index in refused])
    return stored


def _beyond(batch: Batch, rows_done: int) -> Batch:
    """Return the part of a batch after row `rows_done`."""
    if batch.rows[0].number > rows_done:
        return batch
    decided = rows_done - batch.rows[0].number + 1
    return Batch(
        batch.rows,
        [event for event in batch.events if event.index >= decided],
        [rejection for rejection in batch.rejected if rejection.index >= decided],
        batch.position,
    )
