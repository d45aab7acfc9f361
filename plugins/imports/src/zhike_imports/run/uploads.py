"""Imports of files that were uploaded: begun by somebody, run in the background, cancelled, cleared away."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from zhike import clock
from zhike.access import audit
from zhike.access.masking import sees_all
from zhike.api import MAX_ID
from zhike.desk.texts import encode_text
from zhike.errors import BadRequest, Conflict, Forbidden, NotFound, Refused, Unavailable
from zhike.files import service as files
from zhike.i18n import Text, text
from zhike.settings import Settings
from zhike.work import Work, begin
from zhike_imports import service
from zhike_imports.run.plan import Look, look, look_at_any, prepare
from zhike_imports.run.preview import preview
from zhike_imports.run.reject_rows import RejectRows
from zhike_imports.schemas import MANAGE, Found, Group, Options, Plan, Preview, Reason, Run

if TYPE_CHECKING:
    from zhike.access.actor import Actor
    from zhike.orm import Database
    from zhike.platform import Platform

OWNER = "imports"
JOB = "imports.run"
KEPT = timedelta(days=30)
"""How long files that were uploaded and rows that were set aside are kept."""
PREVIEW_BATCHES = 1
_FOLDER = "zhike-import-"
_LONGEST = 2 * 86400
"""Seconds after which nobody reads a file in such a folder any more: the job takes a day at most."""
_CLEARED = 10_000
"""Rows that are cleared away by one statement."""

T = TypeVar("T")

_BEGIN = """
INSERT INTO imports_run
  (kind, file_name, sha256, options, started_at, started_by, file_id, given, header, dry_run, bytes_total)
VALUES ($1, $2, $3, $4::jsonb, $5, $6, $7, $8::jsonb, $9, $10, $11)
RETURNING id
"""
# Imports of one file are begun, and taken up again, one after the other, so that what is found here is found also when
# it ends meanwhile.
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended('imports.start', $1))"
_ITS_FILE = "SELECT file_id FROM imports_run WHERE id = $1"
_BEGUN = """
SELECT id FROM imports_run
WHERE file_id = $1 AND kind = $2 AND dry_run = $3 AND given = $4::jsonb AND undo_started_at IS NULL
  AND (finished_at IS NULL OR id > $5 AND cancelled_at IS NULL AND failure IS NULL)
ORDER BY id DESC LIMIT 1
"""
# One whose job was given up goes on when somebody has that tried again, unless the same was begun anew meanwhile.
_RUN = """
UPDATE imports_run AS r SET finished_at = NULL, failure = NULL
WHERE id = $1 AND undo_started_at IS NULL AND cancelled_at IS NULL AND (finished_at IS NULL OR failure IS NOT NULL)
  AND NOT EXISTS (
    SELECT FROM imports_run AS later
    WHERE later.file_id = r.file_id AND later.kind = r.kind AND later.dry_run = r.dry_run AND later.given = r.given
      AND later.id > r.id
  )
RETURNING id, rows_done, accepted, duplicate, rejected, file_id, given::text, dry_run
"""
_LOOKED = """
UPDATE imports_run SET rows_done = $2, rejected = $3, bytes_done = $4, preview = $5::jsonb
WHERE id = $1 AND cancelled_at IS NULL AND failure IS NULL RETURNING id
"""
_FINISH = "UPDATE imports_run SET finished_at = $2 WHERE id = $1 AND finished_at IS NULL"
# Whoever has cancelled or undone it knows why it ended.
_FAIL = "UPDATE imports_run SET finished_at = $2, failure = $3 WHERE id = $1 AND finished_at IS NULL"
_CANCEL = """
UPDATE imports_run SET finished_at = $2, cancelled_at = $2
WHERE id = $1 AND file_id IS NOT NULL AND finished_at IS NULL RETURNING id
"""
_AFTER = """
SELECT r.id FROM imports_run AS r JOIN imports_run AS tried USING (file_id, kind, given)
WHERE tried.id = $1 AND NOT r.dry_run AND r.id > tried.id AND r.undo_started_at IS NULL
  AND r.cancelled_at IS NULL AND r.failure IS NULL
ORDER BY r.id DESC LIMIT 1
"""
_KNOWN = "SELECT file_id IS NOT NULL FROM imports_run WHERE id = $1"
_CLEAR_REJECTS = """
DELETE FROM imports_reject WHERE (import_id, number) IN (
  SELECT import_id, number FROM imports_reject
  WHERE import_id IN (SELECT id FROM imports_run WHERE finished_at < $1) LIMIT $2
)
"""
_CLEAR_DRY_RUNS = "DELETE FROM imports_run WHERE dry_run AND finished_at < $1"


class ToRun(msgspec.Struct, frozen=True):
    """Payload of the job.

    Args:
        import_id: The import.
    """

    import_id: int


def require(actor: Actor) -> None:
    """Refuse whoever may not import for all customers: a file says by itself whom it changes.

    Raises:
        Forbidden: If the actor does not hold the permission, or for some customers only.
    """
    actor.require(MANAGE)
    if actor.scope(MANAGE) != "all":
        raise Forbidden(
            text("A file may change any customer; your role grants {permission} for some", permission=MANAGE)
        )


def sees_rows(actor: Actor, origin: str) -> bool:
    """Tell whether `actor` may see rows of a file: those who brought it, and those who see all of everybody."""
    return actor.origin == origin or sees_all(actor)


async def store(
    platform: Platform, actor: Actor, *, name: str, media_type: str, pieces: AsyncIterable[bytes]
) -> files.File:
    """Store a file that is uploaded to be imported; see `zhike.files.service.store`."""
    require(actor)
    return await files.store(
        platform,
        actor,
        name=name,
        media_type=media_type,
        pieces=pieces,
        owner=OWNER,
        permission=MANAGE,
        expires_at=clock.now() + KEPT,
    )


async def examine(platform: Platform, file_id: int, options: Options) -> tuple[Look, Preview | None]:
    """Look at an uploaded file, and try its first 2,000 rows.

    Args:
        platform: The process's platform.
        file_id: The file.
        options: What was said so far.

    Returns:
        What the file is, and what would come of its first rows; None while nothing can be made of its columns.

    Raises:
        NotFound: If there is no such file.
        BadRequest: If it cannot be read; the message says why.
    """
    async with _local(platform, file_id) as path:
        seen = await _read(look, path, options, platform.settings)
        tried = None if seen.problem is not None else await _trial(platform, seen.plan)
    return seen, tried


async def look_through(platform: Platform, file_id: int, options: Options, *, any_kind: bool) -> Look:
    """Look at an uploaded file as `examine` does, without trying its rows.

    Args:
        platform: The process's platform.
        file_id: The file.
        options: What was said so far.
        any_kind: Whether nobody has said yet what it is of.
    """
    async with _local(platform, file_id) as path:
        return await _read(look_at_any if any_kind else look, path, options, platform.settings)


async def start(
    platform: Platform, actor: Actor, file_id: int, options: Options, *, dry_run: bool, after: int = MAX_ID
) -> int:
    """Begin an import in the background; asked for twice while it runs, it is begun once.

    Args:
        platform: The process's platform.
        actor: Who wants it.
        file_id: The file, uploaded before.
        options: What its columns mean, and so on.
        dry_run: Whether nothing is to be written.
        after: A dry run; what was begun after it is not begun again when it has ended, unless it came to nothing.

    Returns:
        Its id.

    Raises:
        NotFound: If there is no such file.
        BadRequest: If no import can be made of it; the message says why.
    """
    async with _local(platform, file_id) as path:
        plan = await _read(prepare, path, options, platform.settings)
    given = msgspec.json.encode(options).decode()
    signature = msgspec.json.encode(plan.signature()).decode()
    name, header, size = plan.found.path.name, list(plan.header), plan.found.size
    async with begin(platform, origin=actor.origin, plugin="imports") as work:
        await work.connection.execute(_ONE_AT_A_TIME, file_id)
        begun: int | None = await work.connection.fetchval(_BEGUN, file_id, options.kind, dry_run, given, after)
        if begun is not None:
            return begun
        import_id: int = await work.connection.fetchval(
            _BEGIN,
            *(options.kind, name, plan.found.sha256, signature, work.now, actor.origin),
            *(file_id, given, header, dry_run, size),
        )
        details = {"file": name, "sha256": plan.found.sha256, "dry_run": dry_run}
        await audit.record(work.connection, actor, "import.start", f"import:{import_id}", details)
        work.enqueue(JOB, ToRun(import_id), key=str(import_id))
    return import_id


async def begun_after(db: Database, import_id: int) -> int | None:
    """Return the import that was begun after a dry run of the same, unless it came to nothing or is undone."""
    async with db.connection() as connection:
        found: int | None = await connection.fetchval(_AFTER, import_id)
    return found


async def cancel(platform: Platform, actor: Actor, import_id: int) -> None:
    """End an import after the batch that is being stored; what it has brought stays until it is undone.

    Raises:
        NotFound: If there is no such import.
        Conflict: If it has ended, or runs by the command.
    """
    async with platform.db.transaction() as connection:
        if await connection.fetchval(_CANCEL, import_id, clock.now()):
            await audit.record(connection, actor, "import.cancel", f"import:{import_id}", {})
        elif await connection.fetchval(_KNOWN, import_id) is None:
            raise NotFound(text("there is no import {id}", id=import_id))
        else:
            raise Conflict(text("the import {id} is not running", id=import_id))


async def carry_out(platform: Platform, import_id: int) -> None:
    """Run an import that was begun, or go on with it where the process that ran it has died."""
    async with platform.db.transaction() as connection:
        await connection.execute(_ONE_AT_A_TIME, await connection.fetchval(_ITS_FILE, import_id))
        row = await connection.fetchrow(_RUN, import_id)
    if row is None:
        return  # ended meanwhile
    options = msgspec.json.decode(row["given"], type=Options)
    try:
        async with _local(platform, row["file_id"]) as path:
            plan = await _read(prepare, path, options, platform.settings)
            if row["dry_run"]:
                await _dry_run(platform, plan, import_id)
            else:
                current = Run(row["id"], row["rows_done"], row["accepted"], row["duplicate"], row["rejected"])
                await service.run(platform, plan, RejectRows(), current=current)
    except (BadRequest, NotFound, Refused) as error:
        async with platform.db.transaction() as connection:
            await connection.execute(_FAIL, import_id, clock.now(), encode_text(error.message))


async def give_up(work: Work, import_id: int, reason: Text) -> None:
    """Note that an import has failed since its job is given up."""
    await work.connection.execute(_FAIL, import_id, work.now, encode_text(reason))


async def clear(platform: Platform) -> None:
    """Delete rows that were set aside, and dry runs, when they are kept no longer; and what a killed process left."""
    await asyncio.to_thread(_clear_folders)
    before = clock.now() - KEPT
    async with platform.db.connection() as connection:
        while int((await connection.execute(_CLEAR_REJECTS, before, _CLEARED)).rpartition(" ")[2]):
            pass
        await connection.execute(_CLEAR_DRY_RUNS, before)


def found(seen: Preview) -> Found:
    """Return what a dry run has found as it is stored; see `zhike_imports.run.listing.found_in`."""
    reasons = [Reason(row.line, why.code, encode_text(why.message)) for row, why in seen.reasons]
    groups = [Group(code, rows, row.line, encode_text(why.message)) for code, (rows, row, why) in seen.groups.items()]
    groups.sort(key=lambda group: -group.rows)
    made = {"reasons", "groups", "looks_known"}
    counts = {name: getattr(seen, name) for name in Found.__struct_fields__ if name not in made}
    return Found(**counts, reasons=reasons, groups=groups, looks_known=seen.looks_known)


def _clear_folders() -> None:
    oldest = time.time() - _LONGEST
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        with suppress(OSError):
            if folder.lstat().st_mtime < oldest:
                shutil.rmtree(folder)


async def _trial(platform: Platform, plan: Plan) -> Preview:
    try:
        return await preview(platform, plan, batches=PREVIEW_BATCHES)
    except Refused as error:
        raise BadRequest(error.message) from error


async def _dry_run(platform: Platform, plan: Plan, import_id: int) -> None:
    async def tell(position: int, seen: Preview) -> None:
        shown = msgspec.json.encode(found(seen)).decode()
        async with platform.db.connection() as connection:
            if not await connection.fetchval(_LOOKED, import_id, seen.rows, seen.rejected, position, shown):
                raise Refused(text("the import {id} was cancelled, or is being undone", id=import_id))

    await preview(platform, plan, on_progress=tell)
    async with platform.db.connection() as connection:
        await connection.execute(_FINISH, import_id, clock.now())


@asynccontextmanager
async def _local(platform: Platform, file_id: int) -> AsyncIterator[Path]:
    """Put an uploaded file where it can be read more than once, for as long as the block runs."""
    file = await files.find(platform.db, file_id, owner=OWNER)
    with tempfile.TemporaryDirectory(prefix=_FOLDER) as folder:
        path = Path(folder) / file.name[-60:]  # of 4 bytes each, at most what a file system takes
        try:
            with await asyncio.to_thread(path.open, "wb") as out:
                async with aclosing(files.open_(platform.db, file)) as pieces:
                    async for piece in pieces:
                        await asyncio.to_thread(out.write, piece)
        except OSError as error:
            raise Unavailable(text("The server has no room to read the file; tell whoever runs Zhike")) from error
        yield path


async def _read(
    function: Callable[[Path, Options, Settings], T], path: Path, options: Options, settings: Settings
) -> T:
    """Look at a file in a thread; what a command would refuse is the sender's mistake here."""
    try:
        return await asyncio.to_thread(function, path, options, settings)
    except Refused as error:
        raise BadRequest(error.message, code="file") from error
