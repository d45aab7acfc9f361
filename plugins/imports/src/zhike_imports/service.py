"""Runs an import: batch after batch, each in one transaction with the count of rows done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from zhike import clock
from zhike.errors import Refused, Unavailable
from zhike.events import ingest
from zhike.events.amend import amend
from zhike.events.checks import KnownTypes
from zhike.i18n import text
from zhike.orm import Database
from zhike_imports.run import batches, runs
from zhike_imports.run.rejects import RejectFile
from zhike_imports.schemas import Batch, Plan, Run

if TYPE_CHECKING:
    from zhike.platform import Platform

RETRY_SECONDS = 60.0


async def run(
    platform: Platform,
    plan: Plan,
    rejects: RejectFile,
    *,
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
        on_progress: Called with the bytes read so far after each batch.
        stop: When set, the import ends after the running batch.

    Returns:
        The run with its counts since its first start, and whether the whole file is done.

    Raises:
        Refused: If the file changes meanwhile.
        Unavailable: If the database stays away.
    """
    db = platform.db
    types = KnownTypes(platform.registry.event_types)
    current = await runs.begin(db, plan)
    rejects.go_on_after(current.rows_done)
    reader = batches.read(plan, platform.settings, after=current.rows_done, types=types)
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, "import-reader") as thread:
        coming = loop.run_in_executor(thread, _next, reader)
        try:
            while (batch := await coming) is not None:
                coming = loop.run_in_executor(thread, _next, reader)
                if not plan.found.unchanged():
                    raise Refused(text("{path} was changed while it was read; start again", path=plan.found.path))
                batch.events, dropped = await amend(platform, batch.events, now=clock.now(), types=types)
                batch.rejected += map(batches.placed, dropped)
                current = await _decide(platform, current, batch, rejects)
                on_progress(batch.position)
                if stop is not None and stop.is_set():
                    return current, False
        finally:
            await asyncio.wait([coming])
            reader.close()
    await _finish(db, current)
    return current, True


async def _finish(db: Database, current: Run) -> None:
    """Note the end, whatever happens to the connection."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + RETRY_SECONDS
    while True:
        try:
            return await runs.finish(db, current)
        except Unavailable:
            if loop.time() > deadline:
                raise
            await asyncio.sleep(0.1)


def _next(reader: Generator[Batch, None, None]) -> Batch | None:
    return next(reader, None)


async def _decide(platform: Platform, current: Run, batch: Batch, rejects: RejectFile) -> Run:
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


async def _store(platform: Platform, current: Run, batch: Batch, rejects: RejectFile) -> Run:
    async with platform.db.transaction() as connection:
        stored = ingest.Ingested(0, 0, [])
        if batch.events:
            stored = await ingest.store(
                connection,
                batch.events,
                origin=current.origin,
                live=False,
                now=clock.now(),
                import_id=current.id,
                platform=platform,
            )
        rejected = [*batch.rejected, *stored.rejected]
        advanced = await runs.advance(
            connection,
            current,
            batch.last,
            accepted=stored.accepted,
            duplicate=stored.duplicate,
            rejected=len(rejected),
        )
        # Before the commit: rows that count as rejected are in the file, whenever the process ends.
        rejects.write(batch.rows, rejected)
    platform.announce("log")
    return advanced


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
