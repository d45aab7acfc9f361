"""Which rows of files of customers have been taken already; those of events are known by their message ids."""

from __future__ import annotations

from collections.abc import Collection

from zhike.orm import Connection

# In the order of the key, so that two imports of the same rows wait for each other and do not deadlock.
_CLAIM = """
INSERT INTO imports_row (message_id, import_id)
SELECT message_id, $1 FROM unnest($2::text[]) AS n (message_id) ORDER BY message_id COLLATE "C"
ON CONFLICT DO NOTHING RETURNING message_id
"""
_STORED = "SELECT message_id FROM imports_row WHERE message_id = ANY($1::text[])"
_RELEASE = "DELETE FROM imports_row WHERE message_id = ANY($1::text[])"
_FORGET = """
DELETE FROM imports_row WHERE message_id IN (SELECT message_id FROM imports_row WHERE import_id = $1 LIMIT $2)
"""


async def claim(connection: Connection, import_id: int, ids: Collection[str]) -> set[str]:
    """Note that rows are being taken, and return those that were not before."""
    return {row[0] for row in await connection.fetch(_CLAIM, import_id, list(ids))}


async def stored(connection: Connection, ids: Collection[str]) -> set[str]:
    """Return those rows that have been taken."""
    return {row[0] for row in await connection.fetch(_STORED, list(ids))}


async def release(connection: Connection, ids: Collection[str]) -> None:
    """Forget rows that could not be taken after all."""
    await connection.execute(_RELEASE, list(ids))


async def forget(connection: Connection, import_id: int, limit: int) -> int:
    """Forget at most `limit` rows of an import that is undone; return how many they were."""
    return int((await connection.execute(_FORGET, import_id, limit)).rpartition(" ")[2])
