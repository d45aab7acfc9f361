"""Purposes: what personal data is processed for, what people agree to, and how long events are kept for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from zhike.access import audit
from zhike.access.paging import paged
from zhike.api import Call, Page, PageQuery
from zhike.errors import Conflict, NotFound
from zhike.i18n import text
from zhike.serving import changed
from zhike_privacy.register.purpose import NewPurpose, Purpose, PurposeChange, Version

if TYPE_CHECKING:
    from asyncpg import Record

    from zhike.access.actor import Actor
    from zhike.orm import Connection
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


async def list_purposes(call: Call, query: PageQuery) -> Page[Purpose]:
    """List purposes, by key."""
    return await paged(call, query, "purposes", _LIST, _purpose, first="", by="key")


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


async def change(work: Work, actor: Actor, change: PurposeChange, *, purpose_key: str) -> Purpose:
    """Change a purpose; a new text becomes its newest version.

    Raises:
        NotFound: If there is none.
    """
    old = await get(work.connection, purpose_key, lock=True)
    said = None if change.text is UNSET else change.text
    new, given = changed(old, msgspec.structs.replace(change, text=UNSET), work.now)
    if said is not None:
        given["text"] = said
        new = msgspec.structs.replace(new, texts=[*old.texts, Version(len(old.texts) + 1, said, work.now)])
    await work.connection.execute(_UPDATE, *_values(new), new.archived_at)
    await audit.record(work.connection, actor, "purpose.change", f"purpose:{purpose_key}", given)
    return new


def _values(purpose: Purpose) -> tuple[Any, ...]:
    texts = msgspec.json.encode(purpose.texts).decode()
    basis, events = purpose.legal_basis, purpose.events
    return purpose.key, purpose.name, basis, purpose.separate, events, purpose.retention_days, texts


def _purpose(row: Record) -> Purpose:
    return Purpose(**{**dict(row), "texts": msgspec.json.decode(row["texts"], type=list[Version])})
