"""What is shown of imports."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

import msgspec
from asyncpg import Record

from zhike.api import MAX_ID, Page
from zhike.errors import NotFound
from zhike.events.undo import Undone
from zhike.i18n import text
from zhike.ids import decode_cursor, encode_cursor

if TYPE_CHECKING:
    from zhike.orm import Database

_SHOWN = """
SELECT id, kind, file_name, rows_done, accepted, duplicate, rejected, started_at, finished_at, undo_started_at,
  undone_at, undone::text FROM imports_run
"""
_LIST = f"{_SHOWN} WHERE id < $1 ORDER BY id DESC LIMIT $2"
_ONE = f"{_SHOWN} WHERE id = $1"


class Import(msgspec.Struct, frozen=True, kw_only=True):
    """An import of a file.

    Args:
        id: Its number; what it has brought has the origin `import:<id>`.
        kind: What the file is of.
        file_name: Its name.
        state: `unfinished` while it runs or was interrupted, `done`, `undoing` or `undone`.
        rows_done: Rows that are decided.
        accepted: Rows that were stored.
        duplicate: Rows that were known before.
        rejected: Rows that were set aside.
        started_at: When it began.
        finished_at: When all rows were decided.
        undone_at: When all was taken back.
        undone: What was taken back so far.
    """

    id: int
    kind: Literal["events", "customers"]
    file_name: str
    state: Literal["unfinished", "done", "undoing", "undone"]
    rows_done: int
    accepted: int
    duplicate: int
    rejected: int
    started_at: datetime
    finished_at: datetime | None
    undone_at: datetime | None
    undone: Undone


async def list_(db: Database, *, limit: int = 50, cursor: str | None = None, key: bytes = b"") -> Page[Import]:
    """Return a page of imports, the newest first.

    Args:
        db: Where they are.
        limit: Imports on the page.
        cursor: `next` of the page before.
        key: The deployment's secret that signs cursors.
    """
    before = MAX_ID if cursor is None else decode_cursor(cursor, key, int, scope="imports")
    async with db.connection() as connection:
        rows = await connection.fetch(_LIST, before, limit + 1)
    items = [_import(row) for row in rows[:limit]]
    return Page(items, encode_cursor(items[-1].id, key, scope="imports") if len(rows) > limit else None)


async def get(db: Database, import_id: int) -> Import:
    """Return one import.

    Raises:
        NotFound: If there is none.
    """
    async with db.connection() as connection:
        row = await connection.fetchrow(_ONE, import_id)
    if row is None:
        raise NotFound(text("there is no import {id}", id=import_id))
    return _import(row)


def _import(row: Record) -> Import:
    values = dict(row)
    undoing, values["undone"] = values.pop("undo_started_at"), msgspec.json.decode(values["undone"], type=Undone)
    state = "undone" if row["undone_at"] else "undoing" if undoing else "done" if row["finished_at"] else "unfinished"
    return Import(**values, state=state)  # type: ignore[arg-type]  # one of the four words
