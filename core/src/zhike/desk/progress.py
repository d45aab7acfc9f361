"""How far something is that runs in the background, for whoever started it to see, and to stop.

Whatever goes through many rows in pieces begins a progress and advances it with each piece, in the transaction that
does the piece, so that what is shown is what is true. A job would do it so:

    async def start(work, actor):
        label = text("Import of {file}", file="customers.csv")
        progress_id = await progress.begin(work, actor, label, kind="imports.run", total=12_000)
        work.enqueue("imports.run", {"progress": progress_id, "row": 0})

    async def run(items, work):
        [item] = items
        progress_id, row = item.payload["progress"], item.payload["row"]
        stop = await progress.cancel_requested(work.connection, progress_id)
        if not stop:
            ...  # the next rows
            await progress.advance(work, progress_id, done=480, failed=20)
        if stop:
            await progress.finish(work, progress_id, "cancelled")
        elif there_is_more:
            work.enqueue("imports.run", {"progress": progress_id, "row": row + 500}, cause=item)
        else:
            await progress.finish(work, progress_id, result="/imports/7")

`finish` tells the user who started it. A job with `failed=progress.give_up`, and the progress's id in its payload, ends
its progress also when it is given up; if somebody has it tried again, the first `advance` has the progress run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from zhike.access import audit
from zhike.access.roles import JOBS_MANAGE, JOBS_READ
from zhike.api import MAX_ID, Page, PageQuery
from zhike.contracts import Job, JobItem, Schedule
from zhike.desk import notices
from zhike.desk.texts import encode_text, rendered
from zhike.errors import Conflict, NotFound
from zhike.i18n import Text, text
from zhike.ids import decode_cursor, encode_cursor
from zhike.plugins.service import decode_text

if TYPE_CHECKING:
    from asyncpg import Record

    from zhike.access.actor import Actor
    from zhike.orm import Connection, Database
    from zhike.work import Work

State = Literal["running", "done", "failed", "cancelled"]
KEPT = timedelta(days=90)
"""How long what has ended is shown."""
# After how long without an advance something counts as failed; if it advances after all, it runs again.
_STILL = timedelta(days=7)
_SHOWN = """
id, kind, label::text, started_by, state, total, done, failed, message::text, result, cancel_requested, created_at,
updated_at, finished_at
"""
_BEGIN = """
INSERT INTO progress (kind, label, started_by, total, rest, created_at, updated_at)
VALUES ($1, $2::jsonb, $3, $4, $5::jsonb, $6, $6) RETURNING id
"""
_ADVANCE = """
UPDATE progress SET done = done + $2, failed = failed + $3, message = coalesce($4::jsonb, message),
  total = CASE WHEN total < done + $2 + failed + $3 THEN done + $2 + failed + $3 ELSE total END, updated_at = $5,
  state = CASE state WHEN 'failed' THEN 'running' ELSE state END,
  finished_at = CASE state WHEN 'failed' THEN NULL ELSE finished_at END
WHERE id = $1
"""
_FINISH = """
UPDATE progress SET state = $2, message = coalesce($3::jsonb, message), result = $4, updated_at = $5,
  rest = CASE WHEN $6 THEN rest END, finished_at = $5,
  total = CASE WHEN $2 = 'done' THEN done + failed ELSE total END
WHERE id = $1 AND (state = 'running' OR state = 'failed' AND rest IS NOT NULL AND $2 <> 'failed')
RETURNING label::text, started_by, done, failed
"""
_OLD = "DELETE FROM progress WHERE finished_at < $1"
_STANDING = "SELECT id FROM progress WHERE state = 'running' AND updated_at < $1 ORDER BY id LIMIT 1000"


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far something is.

    Args:
        id: Its id.
        kind: What it is, such as `customers.set_owner` or `imports.run`.
        label: Name for people, in the reader's language.
        started_by: Who started it, such as `user:7`.
        state: Whether it is running, done, failed or cancelled.
        total: How much there is to do; null while nobody knows.
        done: How much is done.
        failed: How much could not be done.
        message: The last thing worth knowing, such as why something could not be done.
        result: Path of the page or file that came of it; empty without one.
        cancel_requested: Whether somebody wants it to stop.
        created_at: When it was started.
        updated_at: When it advanced last.
        finished_at: When it ended; null while it runs.
    """

    id: int
    kind: str
    label: str
    started_by: str
    state: State
    total: int | None
    done: int
    failed: int
    message: str | None
    result: str
    cancel_requested: bool
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None


class _Payload(msgspec.Struct):
    progress: int


async def begin(work: Work, actor: Actor, label: Text, *, kind: str, total: int | None = None, rest: Any = None) -> int:
    """Begin something, and return its id.

    Args:
        work: The unit of work that enqueues it.
        actor: Who starts it, and sees it from now on.
        label: Name for people.
        kind: What it is; the name of the job, action or the like.
        total: How much there is to do, if that is known.
        rest: What is left to do, as JSON knows it, for work that keeps that here.
    """
    stored = None if rest is None else msgspec.json.encode(rest).decode()
    args = (kind, encode_text(label), _starter(actor), total, stored, work.now)
    progress_id: int = await work.connection.fetchval(_BEGIN, *args)
    return progress_id


async def advance(work: Work, progress_id: int, *, done: int = 0, failed: int = 0, message: Text | None = None) -> None:
    """Note that so much more is done, in the transaction that did it.

    Args:
        work: The unit of work.
        progress_id: Of what.
        done: How many more are done.
        failed: How many more could not be done.
        message: Why, or what else is worth knowing; in place of the last one.
    """
    stored = None if message is None else encode_text(message)
    await work.connection.execute(_ADVANCE, progress_id, done, failed, stored, work.now)


async def finish(
    work: Work,
    progress_id: int,
    state: State = "done",
    *,
    message: Text | None = None,
    result: str = "",
    again: bool = False,
) -> None:
    """Note that it has ended, and tell the user who started it; what has ended already stays as it is.

    Args:
        work: The unit of work.
        progress_id: Of what.
        state: How.
        message: What is worth knowing.
        result: Path of what came of it.
        again: Whether somebody may have it go on, so that what is left to do stays.
    """
    stored = None if message is None else encode_text(message)
    row = await work.connection.fetchrow(_FINISH, progress_id, state, stored, result, work.now, again)
    if row is None or not row["started_by"].startswith("user:"):
        return
    places: dict[str, Any] = {"what": decode_text(row["label"])} | {key: f"{row[key]:,}" for key in ("done", "failed")}
    told = {
        "failed": text("{what} has failed after {done}", **places),
        "cancelled": text("{what} was cancelled after {done}", **places),
    }.get(state, text("{what}: {done} done, {failed} not", **places))
    path = result or f"/progress/{progress_id}"
    who = [int(row["started_by"].removeprefix("user:"))]
    await notices.notify(work, who, told, kind=f"progress.{state}", path=path, key=f"progress:{progress_id}")


async def give_up(items: Sequence[JobItem], reason: Text, work: Work) -> None:
    """Note that what jobs did has failed: their `failed`, for payloads with an attribute `progress`."""
    for item in items:
        raw = isinstance(item.payload, msgspec.Raw)  # of another version of the job
        payload = msgspec.json.decode(item.payload, type=_Payload) if raw else item.payload
        await finish(work, payload.progress, "failed", message=reason, again=True)


async def cancel_requested(connection: Connection, progress_id: int) -> bool:
    """Tell whether somebody wants it to stop; also if it is not there any more."""
    found = await connection.fetchval("SELECT cancel_requested FROM progress WHERE id = $1", progress_id)
    return found is not False


async def get(db: Database, actor: Actor, progress_id: int, locale: str) -> Progress:
    """Return how far something is.

    Raises:
        NotFound: If there is no such thing, or `actor` neither started it nor may see all jobs.
    """
    async with db.connection() as connection:
        return _progress(await _visible(connection, actor, progress_id, JOBS_READ), locale)


async def list_(
    db: Database, actor: Actor, query: PageQuery, locale: str, *, everybody: bool = False, key: bytes = b""
) -> Page[Progress]:
    """Return a page of what `actor` has started, the latest first.

    Args:
        db: Where it is.
        actor: Who asks.
        query: Which page.
        locale: The reader's.
        everybody: Also what others have started.
        key: The deployment's secret that signs cursors.

    Raises:
        BadRequest: If the cursor was not made for this list.
        Forbidden: If `actor` asks for what others have started and may not see jobs.
    """
    if everybody:
        actor.require(JOBS_READ)
    starter = None if everybody else _starter(actor)
    scope = f"progress:{starter}"
    before = MAX_ID if query.cursor is None else decode_cursor(query.cursor, key, int, scope=scope)
    mine = "$1::text IS NULL" if everybody else "started_by = $1"
    statement = f"SELECT {_SHOWN} FROM progress WHERE {mine} AND id < $2 ORDER BY id DESC LIMIT $3"
    async with db.connection() as connection:
        rows = await connection.fetch(statement, starter, before, query.size + 1)
    items = [_progress(row, locale) for row in rows[: query.size]]
    return Page(items, encode_cursor(items[-1].id, key, scope=scope) if len(rows) > query.size else None)


async def latest(db: Database, kind: str, locale: str) -> Progress | None:
    """Return the latest of a kind, whoever started it, or None; whoever shows it asks for what it needs."""
    statement = f"SELECT {_SHOWN} FROM progress WHERE kind = $1 ORDER BY id DESC LIMIT 1"
    async with db.connection() as connection:
        row = await connection.fetchrow(statement, kind)
    return None if row is None else _progress(row, locale)


async def cancel(db: Database, actor: Actor, progress_id: int) -> None:
    """Have something stop before its next piece; what is done stays done.

    Raises:
        NotFound: If there is no such thing, or `actor` neither started it nor may manage jobs.
        Conflict: If it has ended.
    """
    async with db.transaction() as connection:
        await _visible(connection, actor, progress_id, JOBS_MANAGE)
        sql = "UPDATE progress SET cancel_requested = true WHERE id = $1 AND state = 'running'"
        if await connection.execute(sql, progress_id) == "UPDATE 0":
            raise Conflict(text("This has ended already"))
        await audit.record(connection, actor, "progress.cancel", f"progress:{progress_id}", {})


async def clean(items: Sequence[JobItem], work: Work) -> None:
    """Forget what has ended long ago, and note what stands still: nobody else tells that a job's plugin has gone."""
    await work.connection.execute(_OLD, work.now - KEPT)
    for row in await work.connection.fetch(_STANDING, work.now - _STILL):
        await finish(work, row["id"], "failed", message=text("It stood still for too long"), again=True)


async def _visible(connection: Connection, actor: Actor, progress_id: int, permission: str) -> Record:
    row = await connection.fetchrow(f"SELECT {_SHOWN} FROM progress WHERE id = $1", progress_id)
    if row is None or not (row["started_by"] == _starter(actor) or actor.scope(permission)):
        raise NotFound(text("There is nothing with the id {id}", id=progress_id))
    return row


def _starter(actor: Actor) -> str:
    """Return who starts something: a user also by a token of theirs."""
    return actor.origin if actor.user_id is None else f"user:{actor.user_id}"


def _progress(row: Record, locale: str) -> Progress:
    shown = {name: rendered(row[name], locale) for name in ("label", "message")}
    return Progress(**{**row, **shown})


JOBS = (Job(name="desk.clean_progress", run=clean, label=text("Forget background work that has ended long ago")),)
SCHEDULES = (Schedule(name="desk.clean_progress", job="desk.clean_progress", cron="29 3 * * *"),)
