"""Offers dead letters again that staff have asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg

from zhike import work as work_unit
from zhike.consumers.cursors import MergedError
from zhike.errors import Unavailable, where
from zhike.i18n import text

if TYPE_CHECKING:
    from zhike.consumers.cursors import Cursor
    from zhike.consumers.engine import Consumers

# Taken in a transaction of its own: should the handler end the process, nobody tries again unless asked to.
_TAKE = """
UPDATE dead_letter SET replay_at = NULL, attempts = attempts + 1, error = $4
WHERE id = (
  SELECT id FROM dead_letter WHERE consumer = $1 AND shard BETWEEN $2 AND $3 AND replay_at IS NOT NULL
  ORDER BY event_id LIMIT 1 FOR UPDATE SKIP LOCKED
) RETURNING id, batch_id, event_id
"""
_GIVE_BACK = "UPDATE dead_letter SET replay_at = now(), attempts = attempts - 1 WHERE id = $1"
_LOCK = "SELECT 1 FROM consumer_cursor WHERE consumer = $1 AND shard_from = $2 FOR UPDATE SKIP LOCKED"
ENDED = "the process ended while this event was handled"
"""Stands for an error when there was nobody left to say what happened."""


async def perform(engine: Consumers, cursor: Cursor) -> bool:
    """Offer the oldest letter in the cursor's shards that is to be offered again; return whether there was one.

    It is deleted in the transaction of its effects, or keeps what went wrong this time.
    """
    name, db = cursor.name, engine.platform.db
    async with db.connection() as connection:
        letter = await connection.fetchrow(_TAKE, name, cursor.shard_from, cursor.want.shard_to, ENDED)
    if letter is None:
        cursor.replays = False
        return False
    event = await engine.log.event(letter["batch_id"], letter["event_id"])
    try:
        async with work_unit.begin(engine.platform, origin=f"plugin:{name}", plugin=name, mode="replay") as work:
            if await work.connection.fetchval(_LOCK, *cursor.key) is None:
                raise Unavailable(text("another process works for {consumer}", consumer=name))
            if event is not None:
                await engine.call(work, name, [event], "replay")
            await work.connection.execute("DELETE FROM dead_letter WHERE id = $1", letter["id"])
    except (Unavailable, MergedError, asyncpg.TransactionRollbackError):
        async with db.connection() as connection:
            await connection.execute(_GIVE_BACK, letter["id"])
        raise
    except Exception as error:
        async with db.connection() as connection:
            await connection.execute("UPDATE dead_letter SET error = $2 WHERE id = $1", letter["id"], where(error))
    return True
