"""Starts a consumer over: what it derived is deleted and the log offered again, from the beginning or a later place."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from zhike._hookspec import HookMeta, Implementation
from zhike._isolate import HookFailed, HookTimeout, Isolation, describe
from zhike.consumers.cursors import VIEW
from zhike.errors import where

if TYPE_CHECKING:
    from collections.abc import Callable

    from zhike.consumers.cursors import Cursor
    from zhike.orm import Connection, Database

SECONDS = 50.0
"""How long a plugin may take to delete what it derived."""

# The consumer stays paused unless all goes well: should its `reset` end the process, nobody tries again unasked.
_TAKE = """
UPDATE consumer SET mode = restart, restart = NULL, state = 'paused', pause_reason = 'reset', paused_at = now()
WHERE name = $1 AND restart IS NOT NULL RETURNING restart_at
"""
_CURSORS = """
UPDATE consumer_cursor SET
  position = $2, event_id = 0, suspects = 0, failures = 0, retry_at = NULL, last_error = NULL, moved_at = now()
WHERE consumer = $1
"""
_RUN = """
UPDATE consumer SET
  state = 'running', pause_reason = NULL, paused_at = NULL,
  live_from = (SELECT coalesce(max(position), 0) + 1 FROM log_batch)
WHERE name = $1
"""
_AS_DUTY = HookMeta(family="duty", since="0.1")
_isolation = Isolation(threads=False)
logger = logging.getLogger("zhike.consumers")


async def perform(db: Database, cursor: Cursor) -> bool:
    """Start a consumer over for which staff have asked that; return whether it has begun.

    Reset, cursors, and the end of its dead letters are one transaction. Batches that are placed by then are
    offered in the mode asked for, later ones in mode live.
    """
    name, reset = cursor.name, cursor.contract.reset
    async with db.connection() as connection:
        position = await connection.fetchval(_TAKE, name)
    if position is None or reset is None:
        cursor.restart = False
        return False
    try:
        async with db.transaction() as connection:
            # Whoever still works for it is waited for.
            await connection.execute(f"SET LOCAL lock_timeout = '{SECONDS}s'; SET LOCAL statement_timeout = 0")
            await connection.execute(_CURSORS, name, position)
            try:
                await _call(name, reset, connection)
            except HookTimeout as error:
                if error.abandoned:
                    await db.engine.cut(connection)
                raise
            await connection.execute("DELETE FROM dead_letter WHERE consumer = $1", name)
            await connection.execute("DELETE FROM consumer_attempt WHERE consumer = $1", name)
            await connection.execute(_RUN, name)
            row = await connection.fetchrow(f"{VIEW} WHERE k.consumer = $1 AND k.shard_from = $2", *cursor.key)
    except Exception as error:
        logger.warning("consumer %s could not start over: %s", name, where(error))
        async with db.connection() as connection:
            update = "UPDATE consumer_cursor SET last_error = $2 WHERE consumer = $1"
            await connection.execute(update, name, describe(error))
        cursor.restart = False
        return False
    if row is not None:
        cursor.adopt(row)
        cursor.look_at(row, cursor.stored)
    return True


async def _call(name: str, reset: Callable[..., object], connection: Connection) -> None:
    one = Implementation(name, "reset", _AS_DUTY, partial(reset, connection), ())
    error = (await _isolation.call(one, {}, SECONDS)).error
    if error is not None:
        raise error if isinstance(error, Exception) else HookFailed(name, "reset", type(error).__name__) from error
