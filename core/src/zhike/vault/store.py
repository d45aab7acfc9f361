"""Where the data keys lie: in the database, wrapped by the deployment's ring."""

from __future__ import annotations

import asyncio
import contextvars
import os

from zhike._ring import RingKey
from zhike.i18n import Text
from zhike.orm import Connection, Database
from zhike.vault.keys import Keys
from zhike.vault.wrapping import unwrap, wrap

FRESH = 5.0
"""Seconds after which a process looks for data keys that another one has made."""
RIPE = 15.0
"""Seconds of age from which a further data key seals, so that by then every process knows it."""
_LOCK = "SELECT pg_advisory_xact_lock(8460391658)"
_KEYS = """
SELECT id, purpose, wrapped, wrapped_by, retired_at IS NULL AS current,
  created_at <= now() - make_interval(secs => $1) AS ripe
FROM data_key ORDER BY id
"""
_MAKE = "INSERT INTO data_key (purpose, wrapped, wrapped_by) VALUES ($1, $2, $3)"


async def load(connection: Connection, ring: tuple[RingKey, ...], known: Keys) -> Keys:
    """Return the data keys as they are now.

    Args:
        connection: To the database.
        ring: What unwraps them.
        known: Those that were loaded before, which are not unwrapped again.
    """
    data: dict[int, bytes] = {}
    lacking: dict[int, Text] = {}
    hashing, newest = known.hashing, 0
    for row in await connection.fetch(_KEYS, RIPE):
        id_, purpose = row["id"], row["purpose"]
        key: bytes | Text | None = known.data.get(id_) if purpose == "data" else hashing
        if key is None:
            key = unwrap(ring, id_, purpose, row["wrapped"], row["wrapped_by"])
        if isinstance(key, Text):
            lacking[id_] = key
        elif purpose == "data":
            data[id_] = key
        else:
            hashing = key
        if purpose == "data" and row["current"] and (row["ripe"] or not newest):
            newest = id_
    return Keys(data, newest, hashing, lacking)


async def renew(db: Database, ring: tuple[RingKey, ...], known: Keys) -> Keys:
    """Return the data keys as they are now, made where they are not there yet; as `load`."""
    async with db.connection() as connection:
        keys = await load(connection, ring, known)
    if not keys.complete:
        # Not in this context, whose transaction the keys must outlive, nor with a connection of the pool, all of which
        # may be held by others who wait for the same keys.
        await asyncio.create_task(make(db, ring[0]), context=contextvars.Context())
        async with db.connection() as connection:
            keys = await load(connection, ring, known)
    return keys


async def make(db: Database, first: RingKey, *, another: bool = False) -> None:
    """Make the data keys that are not there yet, of all processes only one.

    Args:
        db: Where they are.
        first: The ring's key that wraps them.
        another: Whether to make another one that seals also when there is one.
    """
    import asyncpg

    from zhike._engine import as_unavailable

    try:
        connection = await asyncpg.connect(**db.engine.config)
        try:
            async with connection.transaction():
                await connection.execute(_LOCK)
                there = {row["purpose"] for row in await connection.fetch(_KEYS, RIPE) if row["current"]}
                for purpose in ("data", "hash"):
                    if purpose not in there or (another and purpose == "data"):
                        await connection.execute(_MAKE, purpose, wrap(first, purpose, os.urandom(32)), first.id)
        finally:
            await connection.close()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise as_unavailable(error) from error
