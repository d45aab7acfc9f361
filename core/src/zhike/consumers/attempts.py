"""Notes on what is about to be tried, which outlive the process that tries it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg

from zhike._engine import as_unavailable

if TYPE_CHECKING:
    from zhike.consumers.cursors import Cursor
    from zhike.orm import Connection, Database

_ATTEMPT = """
INSERT INTO consumer_attempt (consumer, shard_from, event_id, size, tries, process) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (consumer, shard_from) DO UPDATE SET
  event_id = excluded.event_id, size = excluded.size, tries = excluded.tries, process = excluded.process, at = now()
"""
_SETTLE = "UPDATE consumer_attempt SET process = '' WHERE consumer = $1 AND shard_from = $2 AND process = $3"


class Attempts:
    """Notes on a connection of its own, outside all transactions, what is about to be tried.

    What a process that has died was trying can so be told from what it had done. It never takes a connection of
    the pool, which those might hold who wait for it.

    Args:
        db: The database.
        process: Tells this process from all others.
    """

    def __init__(self, db: Database, process: str) -> None:
        self._config: dict[str, Any] = dict(db.engine.config)
        self._process = process
        self._connection: Connection | None = None
        self._lock = asyncio.Lock()

    async def note(self, cursor: Cursor, event_id: int, size: int, tries: int) -> None:
        """Write down what is about to be tried.

        Raises:
            Unavailable: If the database cannot be used.
        """
        await self._execute(_ATTEMPT, *cursor.key, event_id, size, tries, self._process)

    async def settle(self, cursor: Cursor) -> None:
        """Write down that the process has outlived the attempt.

        Raises:
            Unavailable: If the database cannot be used.
        """
        await self._execute(_SETTLE, *cursor.key, self._process)

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _execute(self, query: str, *values: object) -> None:
        async with self._lock:
            try:
                if self._connection is None or self._connection.is_closed():
                    self._connection = await asyncpg.connect(**self._config, timeout=5, command_timeout=5)
                await self._connection.execute(query, *values)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                await self.close()
                raise as_unavailable(error) from error
