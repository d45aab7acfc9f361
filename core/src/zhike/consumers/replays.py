"""Offers dead letters again that staff have asked for."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from zhike._isolate import describe
from zhike.consumers.faults import ENDED, MergedError, is_outage
from zhike.errors import Unavailable
from zhike.i18n import text

if TYPE_CHECKING:
    from asyncpg import Record

    from zhike.consumers.cursors import Cursor
    from zhike.consumers.offering import Offering
    from zhike.orm import Database

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


class _GoneError(Exception):
    """The letter was given up, or the consumer started over, while its event was offered."""


async def perform(offering: Offering, cursor: Cursor) -> bool:
    """Offer the oldest letter in the cursor's shards that is to be offered again; return whether there was one.

    It is deleted in the transaction of its effects, or keeps what went wrong this time. It waits again if that was
    no fault of the event's, as soon as that can be written down.
    """
    db = offering.platform.db
    async with offering.place(cursor):
        if cursor.letter is not None:
            await _give_back(db, cursor)
        async with db.connection() as connection:
            taken = (cursor.name, cursor.shard_from, cursor.want.shard_to, ENDED)
            letter = await connection.fetchrow(_TAKE, *taken)
        if letter is None:
            cursor.replays = False
            return False
        cursor.letter = letter["id"]
        try:
            await _offer(offering, cursor, letter)
        except asyncio.CancelledError:
            with suppress(Unavailable):
                await asyncio.shield(_give_back(db, cursor))
            raise
        except Exception as error:
            if is_outage(error) or isinstance(error, MergedError):
                raise
            async with db.connection() as connection:
                await connection.execute(
                    "UPDATE dead_letter SET error = $2 WHERE id = $1", cursor.letter, describe(error)
                )
        cursor.letter = None
    return True


async def _offer(offering: Offering, cursor: Cursor, letter: Record) -> None:
    name = cursor.name
    event = await offering.log.event(letter["batch_id"], letter["event_id"])
    with suppress(_GoneError):
        async with offering.begin(name, "replay") as work:
            if await work.connection.fetchval(_LOCK, *cursor.key) is None:
                raise Unavailable(text("another process works for {consumer}", consumer=name))
            if event is not None:
                await offering.call(work, name, [event], "replay")
            if await work.connection.execute("DELETE FROM dead_letter WHERE id = $1", letter["id"]) == "DELETE 0":
                raise _GoneError


async def _give_back(db: Database, cursor: Cursor) -> None:
    async with db.connection() as connection:
        await connection.execute(_GIVE_BACK, cursor.letter)
    cursor.letter = None
