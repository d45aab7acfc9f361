"""What is shown of imports."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

import msgspec
from asyncpg import Record

from zhike.api import MAX_ID, Page
from zhike.desk.texts import rendered
from zhike.errors import NotFound
from zhike.events.undo import Undone
from zhike.i18n import text
from zhike.ids import decode_cursor, encode_cursor
from zhike_imports.schemas import Found, Options

if TYPE_CHECKING:
    from zhike.orm import Database

_SHOWN = """
SELECT id, kind, file_name, rows_done, accepted, duplicate, rejected, started_at, finished_at, undo_started_at,
  undone_at, undone::text, started_by, file_id, dry_run, bytes_done, bytes_total, cancelled_at, failure, preview::text,
  header, given::text
FROM imports_run
"""
_LIST = f"{_SHOWN} WHERE id < $1 AND NOT dry_run ORDER BY id DESC LIMIT $2"
_ONE = f"{_SHOWN} WHERE id = $1"


State = Literal["unfinished", "done", "cancelled", "failed", "undoing", "undone"]


class Import(msgspec.Struct, frozen=True, kw_only=True):
    """An import of a file.

    Args:
        id: Its number; what it has brought has the origin `import:<id>`.
        kind: What the file is of.
        file_name: Its name.
        state: `unfinished` while it runs or was interrupted, `done`, `cancelled`, `failed`, `undoing` or `undone`.
        rows_done: Rows that are decided.
        accepted: Rows that were stored.
        duplicate: Rows that were known before.
        rejected: Rows that were set aside.
        started_at: When it began.
        finished_at: When all rows were decided.
        undone_at: When all was taken back.
        undone: What was taken back so far.
        started_by: Who began it: `user:3`, or `command:import`.
        file_id: The file, if it was uploaded.
        dry_run: Whether it writes nothing.
        bytes_done: Bytes of the file up to the last row that is decided; of a workbook about as many.
        bytes_total: Bytes of the file.
        failure: Why it failed, if it has.
        found: What a dry run has found so far.
        header: The columns of a file that was uploaded.
        options: What was asked for, of such a file.
    """

    id: int
    kind: Literal["events", "customers"]
    file_name: str
    state: State
    rows_done: int
    accepted: int
    duplicate: int
    rejected: int
    started_at: datetime
    finished_at: datetime | None
    undone_at: datetime | None
    undone: Undone
    started_by: str
    file_id: int | None
    dry_run: bool
    bytes_done: int
    bytes_total: int
    failure: str | None
    found: Found | None
    header: list[str]
    options: Options | None

    @property
    def running(self) -> bool:
        """Whether it runs in the background, or waits for that; what the command does is not known."""
        return self.state == "undoing" or (self.state == "unfinished" and self.file_id is not None)


async def list_(
    db: Database, locale: str, *, limit: int = 50, cursor: str | None = None, key: bytes = b""
) -> Page[Import]:
    """Return a page of imports, the newest first.

    Args:
        db: Where they are.
        locale: Language of reasons and failures.
        limit: Imports on the page.
        cursor: `next` of the page before.
        key: The deployment's secret that signs cursors.
    """
    before = MAX_ID if cursor is None else decode_cursor(cursor, key, int, scope="imports")
    async with db.connection() as connection:
        rows = await connection.fetch(_LIST, before, limit + 1)
    items = [_import(row, locale) for row in rows[:limit]]
    return Page(items, encode_cursor(items[-1].id, key, scope="imports") if len(rows) > limit else None)


async def get(db: Database, import_id: int, locale: str) -> Import:
    """Return one import, with its texts in a language.

    Raises:
        NotFound: If there is none.
    """
    async with db.connection() as connection:
        row = await connection.fetchrow(_ONE, import_id)
    if row is None:
        raise NotFound(text("there is no import {id}", id=import_id))
    return _import(row, locale)


def told_in(stored: str, locale: str) -> str:
    """Return a reason in a language; one from before they were kept in all of them is as it was stored."""
    return (rendered(stored, locale) or "") if stored.startswith('{"msgid"') else stored


def found_in(found: Found, locale: str) -> Found:
    """Return what a dry run has found, as it is stored, with its reasons in a language."""
    return msgspec.structs.replace(
        found,
        reasons=[msgspec.structs.replace(each, message=told_in(each.message, locale)) for each in found.reasons],
        groups=[msgspec.structs.replace(each, message=told_in(each.message, locale)) for each in found.groups],
    )


def _import(row: Record, locale: str) -> Import:
    values = dict(row)
    undoing, values["undone"] = values.pop("undo_started_at"), msgspec.json.decode(values["undone"], type=Undone)
    cancelled, seen = values.pop("cancelled_at"), values.pop("preview")
    given = values.pop("given")
    values["options"] = given and msgspec.json.decode(given, type=Options)
    values["found"] = seen and found_in(msgspec.json.decode(seen, type=Found), locale)
    values["failure"] = row["failure"] and told_in(row["failure"], locale)
    states: tuple[tuple[object, State], ...] = (
        (row["undone_at"], "undone"),
        (undoing, "undoing"),
        (cancelled, "cancelled"),
        (row["failure"], "failed"),
        (row["finished_at"], "done"),
        (True, "unfinished"),
    )
    return Import(**values, state=next(state for holds, state in states if holds))
