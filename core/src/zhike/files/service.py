"""Stores files piece by piece, reads them the same way, and deletes what is kept no longer."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import suppress
from datetime import datetime

import msgspec

from zhike import clock
from zhike.access import audit
from zhike.access.actor import Actor
from zhike.access.masking import sees_all
from zhike.access.scope import visible_customers
from zhike.errors import BadRequest, NotFound, TooLarge, Unavailable
from zhike.i18n import text
from zhike.orm import Connection, Database
from zhike.platform import Platform

CHUNK = 1 << 20
MAX_SIZE = 50 * CHUNK
"""Bytes of the largest file."""
MAX_NAME = 200
# What no file name has on one system or the other, and what turns the direction of what is shown.
_UNFIT = re.compile(r'[\x00-\x1f\x7f-\x9f"<>|?*:\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]')
_MEDIA_TYPE = re.compile(r"[\w.+-]{1,100}/[\w.+-]{1,100}", re.ASCII)
_ANY_TYPE = "application/octet-stream"

_SHOWN = "id, name, media_type, size, sha256, owner, permission, customer_id, created_by, created_at, expires_at"
_INSERT = """
INSERT INTO file (name, media_type, owner, permission, customer_id, created_by, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id
"""
_INSERT_CHUNK = """
INSERT INTO file_chunk (file_id, number, content) SELECT id, $2, $3 FROM file WHERE id = $1 FOR KEY SHARE
"""
_FINISH = f"""
UPDATE file SET size = $2, sha256 = $3 WHERE id = $1 AND (
  customer_id IS NULL OR EXISTS (SELECT FROM customer AS c WHERE c.id = customer_id AND c.erased_at IS NULL)
) RETURNING {_SHOWN}
"""
_FIND = f"""
SELECT {_SHOWN} FROM file WHERE id = $1 AND sha256 IS NOT NULL AND (expires_at IS NULL OR expires_at > $2)
"""
_VISIBLE = "SELECT EXISTS (SELECT FROM customer WHERE id = $1 AND {visible})"
_READ = "SELECT content FROM file_chunk WHERE file_id = $1 AND number = $2"
_KEEP = "UPDATE file SET expires_at = $2 WHERE id = $1"
_DELETE = "DELETE FROM file WHERE id = $1"


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is stored whole.

    Args:
        id: Its id.
        name: Its name, without folders.
        media_type: What whoever stored it said it is; nobody has looked.
        size: Bytes.
        sha256: Hex digest of its bytes.
        owner: The plugin or noun it belongs to.
        permission: What one needs to read it.
        customer_id: The customer it is about, or None.
        created_by: Who stored it, as in `Actor.origin`.
        created_at: When it was stored.
        expires_at: When it is deleted, or None.
    """

    id: int
    name: str
    media_type: str
    size: int
    sha256: str
    owner: str
    permission: str
    customer_id: int | None
    created_by: str
    created_at: datetime
    expires_at: datetime | None


async def store(
    platform: Platform,
    actor: Actor,
    *,
    name: str,
    pieces: AsyncIterable[bytes],
    owner: str,
    permission: str,
    media_type: str = _ANY_TYPE,
    customer_id: int | None = None,
    expires_at: datetime | None = None,
) -> File:
    """Store a file as its bytes come, in the memory of one chunk and in short transactions.

    What is cut off leaves nothing behind; what a process that was killed has left is deleted within a day.

    Args:
        platform: The process's platform.
        actor: Who stores it.
        name: As the sender calls it; folders and what no file name may have are taken out.
        pieces: Its bytes. An error of theirs is passed on.
        owner: The plugin or noun it belongs to.
        permission: What one needs to read it; for a file of a customer, for this customer.
        media_type: What the sender says it is.
        customer_id: The customer it is about, with whom it is erased.
        expires_at: When it is deleted. An upload that nothing refers to yet best has one; `keep` takes it away.

    Raises:
        TooLarge: If it has more than 50 MiB.
        BadRequest: If it is empty.
    """
    kind = media_type if _MEDIA_TYPE.fullmatch(media_type) else _ANY_TYPE
    values = (file_name(name), kind, owner, permission, customer_id, actor.origin, clock.now(), expires_at)
    async with platform.db.connection() as connection:
        file_id: int = await connection.fetchval(_INSERT, *values)
    try:
        size, sha256 = await _store_pieces(platform.db, file_id, pieces)
        async with platform.db.transaction() as connection:
            row = await connection.fetchrow(_FINISH, file_id, size, sha256)
            if row is None:  # its customer is erased, or was so meanwhile
                raise NotFound(text("There is nothing with the id {id}", id=file_id))
            details = {"owner": owner, "size": size, "sha256": sha256}
            await audit.record(connection, actor, "file.store", f"file:{file_id}", details)
    except BaseException:
        with suppress(Unavailable):
            await asyncio.shield(_discard(platform.db, file_id))
        raise
    return File(**row)


async def _store_pieces(db: Database, file_id: int, pieces: AsyncIterable[bytes]) -> tuple[int, str]:
    digest, buffer, number, size = hashlib.sha256(), bytearray(), 0, 0

    async def write(content: bytes) -> None:
        nonlocal number
        digest.update(content)
        async with db.connection() as connection:
            await connection.execute(_INSERT_CHUNK, file_id, number, content)
        number += 1

    async for piece in pieces:
        if (size := size + len(piece)) > MAX_SIZE:
            raise TooLarge(text("A file may have at most {limit} MB", limit=MAX_SIZE // CHUNK))
        buffer += piece
        while len(buffer) >= CHUNK:
            await write(bytes(buffer[:CHUNK]))
            del buffer[:CHUNK]
    if buffer:
        await write(bytes(buffer))
    if not size:
        raise BadRequest(text("The file is empty"), code="empty")
    return size, digest.hexdigest()


async def _discard(db: Database, file_id: int) -> None:
    async with db.connection() as connection:
        await connection.execute(_DELETE, file_id)


def file_name(given: str) -> str:
    """Return a name as it is stored: without folders, and one that every system can have."""
    base = _UNFIT.sub("", re.split(r"[/\\]", given)[-1]).strip().lstrip(".")
    if len(base) <= MAX_NAME:
        return base or "file"
    stem, dot, suffix = base.rpartition(".")
    return f"{stem[: MAX_NAME - 21]}.{suffix}" if dot and len(suffix) <= 20 else base[:MAX_NAME]


async def find(db: Database, file_id: int, *, owner: str | None = None) -> File:
    """Return a file, whoever asks; `readable` is for what a person asks for.

    Args:
        db: Where it is.
        file_id: Its id.
        owner: Only one of this plugin or noun.

    Raises:
        NotFound: If there is none, or no more.
    """
    async with db.connection() as connection:
        row = await connection.fetchrow(_FIND, file_id, clock.now())
    if row is None or owner not in {None, row["owner"]}:
        raise NotFound(text("There is nothing with the id {id}", id=file_id))
    return File(**row)


async def readable(db: Database, actor: Actor, file_id: int) -> File:
    """Return a file that the actor may read.

    Raises:
        NotFound: If there is none, the actor does not hold its permission, it is about a customer who is out of their
            sight, or about no one customer, so that it may quote anybody, somebody else's, and they do not see all.
    """
    found = await find(db, file_id)
    if found.customer_id is None:
        seen = actor.scope(found.permission) is not None and (found.created_by == actor.origin or sees_all(actor))
    else:
        visible = visible_customers(actor, permission=found.permission)
        async with db.connection() as connection:
            seen = await connection.fetchval(_VISIBLE.format(visible=visible), found.customer_id)
    if not seen:
        raise NotFound(text("There is nothing with the id {id}", id=file_id))
    return found


async def open_(db: Database, file: File) -> AsyncGenerator[bytes, None]:
    """Read a file chunk by chunk, without holding a connection between two.

    Yields:
        Its bytes, at most 1 MiB at a time.

    Raises:
        NotFound: If it was deleted meanwhile.
    """
    for number in range(-(-file.size // CHUNK)):
        async with db.connection() as connection:
            content = await connection.fetchval(_READ, file.id, number)
        if content is None:
            raise NotFound(text("There is nothing with the id {id}", id=file.id))
        yield content


async def keep(connection: Connection, file_id: int, expires_at: datetime | None = None) -> None:
    """Say until when a file is kept, in the transaction that begins to refer to it; None is for good."""
    await connection.execute(_KEEP, file_id, expires_at)


async def delete(connection: Connection, actor: Actor, file: File) -> None:
    """Delete a file, in the caller's transaction."""
    await connection.execute(_DELETE, file.id)
    await audit.record(connection, actor, "file.delete", f"file:{file.id}", {"owner": file.owner})
