"""Gives committed batches of the log their positions: ascending, without gaps, each exactly once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from zhike.consumers.ticker import Ticker
from zhike.orm import Connection, Database

MOST = 5_000
"""Batches that are placed in one transaction."""

_LOCK_KEY = 0x7A68_6C6F_67  # "zhlog"; advisory locks are counted per database
_LOCK = "SELECT pg_try_advisory_xact_lock($1)"
# A statement of its own after the lock, so that it sees what whoever held the lock before has placed. Only what is
# committed is seen, and nothing waits for what is not. Of two batches of which one was begun after the other had
# committed, that one also has the higher id: the order of ids among those seen keeps the order of each customer.
_PLACE = """
WITH head AS (
  SELECT coalesce(max(position), 0) AS position FROM log_batch
), fresh AS (
  SELECT batch_id, row_number() OVER (ORDER BY batch_id) AS place
  FROM (SELECT batch_id FROM log_batch WHERE position IS NULL ORDER BY batch_id LIMIT $1) AS unplaced
), placed AS (
  UPDATE log_batch AS b SET position = head.position + fresh.place
  FROM fresh, head WHERE b.batch_id = fresh.batch_id
  RETURNING 1
) SELECT count(*), (SELECT position FROM head) + count(*) FROM placed
"""


@asynccontextmanager
async def indexed(db: Database) -> AsyncIterator[Connection]:
    """Begin a transaction for reading the log, which never reads a whole table.

    A plan that was made while a table was small is kept while it grows, so that it must be one by index.
    """
    async with db.transaction() as connection:
        await connection.execute("SET LOCAL enable_seqscan = off")
        yield connection


class Sequencer(Ticker):
    """Places batches as they are committed; of several processes one does it at a time.

    Args:
        db: The database.
        placed: Called when there are new positions, whoever gave them, or another process is about to give them.
    """

    def __init__(self, db: Database, placed: Callable[[], None] | None = None) -> None:
        super().__init__()
        self._db = db
        self._placed = placed
        self._head = 0

    async def run(self) -> None:
        """Place batches until cancelled."""
        await self._go_on()

    async def step(self) -> bool:
        """Place what is committed, up to `MOST` batches; return whether there was anything."""
        async with indexed(self._db) as connection:
            mine = await connection.fetchval(_LOCK, _LOCK_KEY)
            row = await connection.fetchrow(_PLACE, MOST) if mine else None
        count, head = row or (0, self._head)
        if (head != self._head or not mine) and self._placed is not None:
            self._placed()
        self._head = head
        return bool(count)

    async def drain(self) -> None:
        """Do nothing: nothing it does outlasts one short transaction."""

    async def _tick(self) -> bool:
        any_ = False
        while await self.step():
            any_ = True
        return any_
