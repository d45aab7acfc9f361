"""Rotation of keys: data keys are wrapped by another key of the ring, values sealed with another data key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from zhike import secrets
from zhike.access import audit
from zhike.access.actor import Actor
from zhike.config import saving as settings
from zhike.customers import resealing
from zhike.errors import Refused
from zhike.i18n import Text, text
from zhike.orm import Database
from zhike.vault import FRESH, RIPE, Reseal, Vault, unwrap, wrap

PLACES: dict[str, Reseal] = {
    "secrets": secrets.reseal,
    "settings": settings.reseal,
    "customers": resealing.reseal,
}
"""All places where sealed values stand."""
CHUNK = 1_000
"""Rows that are looked at in one transaction."""
WAIT = RIPE + 2 * FRESH + 1
"""Seconds until no process seals with an older data key, whose knowledge of keys may be twice as old as is fresh."""
ACTOR = Actor.command("keys")
_KEYS = """
SELECT id, purpose, wrapped, wrapped_by, created_at, retired_at FROM data_key ORDER BY id
"""
_CURRENT = """
SELECT max(created_at) AS created_at, count(*) AS n, now() FROM data_key WHERE purpose = 'data' AND retired_at IS NULL
"""
_RETIRE = """
UPDATE data_key SET retired_at = now()
WHERE purpose = 'data' AND retired_at IS NULL AND id < $1
"""


class DataKey(msgspec.Struct, frozen=True, kw_only=True):
    """A data key as administrators see it.

    Args:
        id: Its id.
        purpose: `data` or `hash`.
        wrapped_by: Id of the key of the ring that it needs.
        created_at: When it was made.
        retired_at: Since when nothing is sealed with it any more, or None.
        problem: Why it cannot be used, or None.
    """

    id: int
    purpose: str
    wrapped_by: str
    created_at: datetime
    retired_at: datetime | None
    problem: Text | None


async def data_keys(db: Database, vault: Vault) -> list[DataKey]:
    """Return all data keys and whether the ring opens them."""
    rows = await db.fetch(_KEYS)
    found = []
    for row in map(dict, rows):
        key = unwrap(vault.ring, row["id"], row["purpose"], row.pop("wrapped"), row["wrapped_by"])
        found.append(DataKey(**row, problem=key if isinstance(key, Text) else None))
    return found


async def rewrap(db: Database, vault: Vault) -> int:
    """Wrap all data keys with the ring's first key; return how many were wrapped by another one.

    Raises:
        Refused: If some cannot be unwrapped, so that a key of the ring may still be needed; the others are done.
    """
    first, done, lacking = vault.ring[0], 0, []
    async with db.transaction() as connection:
        for row in await connection.fetch(f"{_KEYS} FOR UPDATE"):
            key = unwrap(vault.ring, row["id"], row["purpose"], row["wrapped"], row["wrapped_by"])
            if isinstance(key, Text):
                lacking.append(key)
            elif row["wrapped_by"] != first.id:
                wrapped = wrap(first, row["purpose"], key)
                await connection.execute(
                    "UPDATE data_key SET wrapped = $2, wrapped_by = $3 WHERE id = $1", row["id"], wrapped, first.id
                )
                done += 1
        if done:
            await audit.record(connection, ACTOR, "keys.rotate", f"key:{first.id}", {"data_keys": done})
    if lacking:
        raise Refused(text("Not all data keys could be wrapped anew: {problem}", problem=lacking[0]))
    return done


async def reseal(db: Database, vault: Vault, progress: Callable[[str, int], None]) -> None:
    """Make a new data key and seal everything with it, beside a running server; goes on where it was interrupted.

    Args:
        db: Where everything is.
        vault: The deployment's.
        progress: Called with the name of a place and how many of its rows have been looked at.

    Raises:
        Unavailable: If a sealed value cannot be opened, or the database cannot be used.
    """
    await vault.keys(fresh=True)
    async with db.connection() as connection:
        current = await connection.fetchrow(_CURRENT)
    if current is None or current["n"] < 2:  # else an earlier run has made one and was interrupted
        await vault.make(another=True)
        async with db.connection() as connection:
            current = await connection.fetchrow(_CURRENT)
    remaining = current["created_at"] + timedelta(seconds=WAIT) - current["now"] if current else timedelta()
    await asyncio.sleep(max(remaining.total_seconds(), 0))
    keys = await vault.keys(fresh=True)
    for place, step in PLACES.items():
        after: int | None = 0
        while after is not None:
            async with db.transaction() as connection:
                after = await step(connection, keys, after, CHUNK)
            if after is not None:
                progress(place, after)
    async with db.transaction() as connection:
        await connection.execute(_RETIRE, keys.newest)
        await audit.record(connection, ACTOR, "keys.reseal", f"data_key:{keys.newest}", {})
