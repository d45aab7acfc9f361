"""Undoing imports: begun by somebody, carried out chunk by chunk, gone on with after any interruption."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from zhike import clock
from zhike.access import audit
from zhike.errors import Conflict, NotFound, Unavailable
from zhike.events.sql import REWRITTEN
from zhike.events.undo import Undone, count, step
from zhike.i18n import text
from zhike.work import begin
from zhike_imports.run import known

if TYPE_CHECKING:
    from zhike.access.actor import Actor
    from zhike.orm import Connection
    from zhike.platform import Platform

JOB = "imports.undo"
ROWS = 10_000
RETRY_SECONDS = 60.0

_RUN = "SELECT id, undo_started_at, undone_at FROM imports_run WHERE id = $1 AND NOT dry_run FOR UPDATE"
_BEGIN = "UPDATE imports_run SET undo_started_at = $2, finished_at = coalesce(finished_at, $2) WHERE id = $1"
# Counted with each chunk, so that a run of several processes counts nothing twice.
_COUNT = "UPDATE imports_run SET undone = $2::jsonb WHERE id = $1"
_COUNTED = "SELECT undone::text FROM imports_run WHERE id = $1 FOR UPDATE"
_DONE = "UPDATE imports_run SET undone_at = $2 WHERE id = $1 AND undone_at IS NULL"


class ToUndo(msgspec.Struct, frozen=True):
    """Payload of the job.

    Args:
        import_id: The import.
    """

    import_id: int


async def plan(platform: Platform, import_id: int) -> Undone:
    """Return what undoing an import would take back.

    Raises:
        NotFound: If there is no such import.
        Conflict: If it is undone already.
    """
    async with platform.db.transaction() as connection:
        await _undoable(connection, import_id)
        return await count(connection, import_id)


async def start(platform: Platform, actor: Actor, import_id: int, *, queue: bool) -> None:
    """Note that an import is being undone: nothing of it is stored any more; one begun before is gone on with.

    Args:
        platform: The process's platform.
        actor: Who wants it.
        import_id: The import.
        queue: Whether a job is to carry it out.

    Raises:
        NotFound: If there is no such import.
        Conflict: If it is undone already.
    """
    async with begin(platform, origin=actor.origin, plugin="imports") as work:
        if not await _undoable(work.connection, import_id):
            await work.connection.execute(_BEGIN, import_id, work.now)
            await audit.record(work.connection, actor, "import.undo", f"import:{import_id}", {})
        if queue:
            work.enqueue(JOB, ToUndo(import_id), key=str(import_id))


async def carry_out(
    platform: Platform, import_id: int, *, origin: str, on_progress: Callable[[int], None] = lambda events: None
) -> Undone:
    """Take back what is left of an import; a database that goes away is waited for up to a minute.

    Args:
        platform: The process's platform.
        import_id: The import, whose undo has been started.
        origin: Who wants it.
        on_progress: Called with the number of events taken back so far after each chunk.

    Returns:
        What was taken back since the undo was started.

    Raises:
        Unavailable: If the database stays away.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + RETRY_SECONDS
    while True:
        try:
            total = await _chunk(platform, import_id, origin)
        except Unavailable:
            if loop.time() > deadline:
                raise
            await asyncio.sleep(0.2)
            continue
        deadline = loop.time() + RETRY_SECONDS
        if total is None:
            break
        on_progress(total.events)
    async with platform.db.transaction() as connection:
        await connection.execute(_DONE, import_id, clock.now())
        return await _counted(connection, import_id)


async def _chunk(platform: Platform, import_id: int, origin: str) -> Undone | None:
    """Take back a chunk; return what that makes up with those before, or None if nothing was left."""
    async with begin(platform, origin=origin) as work:
        total = await _counted(work.connection, import_id)
        done = await step(work, import_id)
        if done is None:
            if not await known.forget(work.connection, import_id, ROWS):
                return None
            done = Undone()
        fields = zip(msgspec.structs.astuple(total), msgspec.structs.astuple(done), strict=True)
        total = Undone(*map(sum, fields))
        await work.connection.execute(_COUNT, import_id, msgspec.json.encode(total).decode())
    # Not before: who reads the log anew must find it changed. Whoever is killed here comes again before it counts as
    # undone.
    async with platform.db.connection() as connection:
        await connection.execute(REWRITTEN)
    return total


async def _counted(connection: Connection, import_id: int) -> Undone:
    return msgspec.json.decode(await connection.fetchval(_COUNTED, import_id), type=Undone)


async def _undoable(connection: Connection, import_id: int) -> bool:
    """Return whether the undo of an import has begun; raises as `plan`."""
    row = await connection.fetchrow(_RUN, import_id)
    if row is None:
        raise NotFound(text("there is no import {id}", id=import_id))
    if row["undone_at"] is not None:
        raise Conflict(text("the import {id} is undone already", id=import_id))
    return row["undo_started_at"] is not None
