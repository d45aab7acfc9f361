"""Purposes: what personal data is processed for, what people agree to, and how long events are kept for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from zhike.access import audit
from zhike.api import Page, PageQuery
from zhike.errors import Conflict, NotFound
from zhike.i18n import text
from zhike.ids import decode_cursor, encode_cursor
from zhike_privacy.register.purpose import NewPurpose, Purpose, PurposeChange, Version

if TYPE_CHECKING:
    from asyncpg import Record

    from zhike.access.actor import Actor
    from zhike.orm import Connection, Database
    from zhike.work import Work

_COLUMNS = "key, name, legal_basis, separate, events, retention_days, texts::text, created_at, archived_at"
_LIST = f"SELECT {_COLUMNS} FROM privacy_purpose WHERE key > $1 ORDER BY key LIMIT $2"
_ONE = f"SELECT {_COLUMNS} FROM privacy_purpose WHERE key = $1"
_INSERT = """
INSERT INTO privacy_purpose (key, name, legal_basis, separate, events, retention_days, texts, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING key
"""
_UPDATE = """
UPDATE privacy_purpose SET
  name = $2, legal_basis = $3, separate = $4, events = $5, retention_days = $6, texts = $7, archived_at = $8
WHERE key = $1
"""


async def list_(db: Database, query: PageQuery, key: bytes) -> Page[Purpose]:
    """Return a page of purposes, by key."""
    after = "" if query.cursor is None else decode_cursor(query.cursor, key, str, scope="purposes")
    async with db.connection() as connection:
        rows = await connection.fetch(_LIST, after, query.size + 1)
    items = [_purpose(row) for row in rows[: query.size]]
    return Page(items, encode_cursor(items[-1].key, key, scope="purposes") if len(rows) > query.size else None)


async def get(connection: Connection, purpose: str, *, lock: bool = False) -> Purpose:
    """Return a purpose, which nobody else changes until the transaction ends if it is locked.

    Raises:
        NotFound: If there is none.
    """
    row = await connection.fetchrow(f"{_ONE} FOR UPDATE" if lock else _ONE, purpose)
    if row is None:
        raise NotFound(text("There is no purpose {key}", key=purpose))
    return _purpose(row)


async def create(work: Work, actor: Actor, new: NewPurpose) -> Purpose:
    """Make a purpose with the first version of its text.

    Raises:
        Conflict: If there is one with the key.
    """
    given: dict[str, Any] = msgspec.structs.asdict(new)
    texts = [Version(1, given.pop("text"), work.now)]
    purpose = Purpose(**given, texts=texts, created_at=work.now, archived_at=None)
    if await work.connection.fetchval(_INSERT, *_values(purpose), work.now) is None:
        raise Conflict(text("There is a purpose {key} already", key=new.key))
    await audit.record(work.connection, actor, "purpose.create", f"purpose:{new.key}", given)
    return purpose


async def change(work: Work, actor: Actor, key: str, changed: PurposeChange) -> Purpose:
    """Change a purpose; a new text becomes its newest version.

    Raises:
        NotFound: If there is none.
    """
    old = await get(work.connection, key, lock=True)
    given = {name: value for name, value in msgspec.structs.asdict(changed).items() if value is not UNSET}
    fields = dict(given)
    if (words := fields.pop("text", None)) is not None:
        fields["texts"] = [*old.texts, Version(len(old.texts) + 1, words, work.now)]
    if "archived" in fields:
        fields["archived_at"] = (old.archived_at or work.now) if fields.pop("archived") else None
    new = msgspec.structs.replace(old, **fields)
    await work.connection.execute(_UPDATE, *_values(new), new.archived_at)
    await audit.record(work.connection, actor, "purpose.change", f"purpose:{key}", given)
    return new


def _values(purpose: Purpose) -> tuple[Any, ...]:
    texts = msgspec.json.encode(purpose.texts).decode()
    basis, events = purpose.legal_basis, purpose.events
    return purpose.key, purpose.name, basis, purpose.separate, events, purpose.retention_days, texts


def _purpose(row: Record) -> Purpose:
    return Purpose(**{**dict(row), "texts": msgspec.json.decode(row["texts"], type=list[Version])})
