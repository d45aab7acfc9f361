"""Bounds what questions about conditions cost others: how many are worked on at a time, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

import asyncpg

from zhike.conditions.checked import Checked
from zhike.conditions.problems import BadCondition
from zhike.conditions.relations import relations_read
from zhike.errors import TooMany
from zhike.i18n import text
from zhike.orm import Connection, Database

SECONDS = 20.0
"""How long one statement may take."""
PATIENCE = 5.0
"""Seconds that a question waits for its turn."""

_turns: WeakKeyDictionary[Database, asyncio.Semaphore] = WeakKeyDictionary()


@asynccontextmanager
async def turn(db: Database, checked: Checked) -> AsyncIterator[Connection]:
    """Lend a connection for one question, in a transaction that ends with it.

    At most half of the process's connections are lent, so that whoever asks about conditions, however costly,
    leaves the others room.

    Args:
        db: The process's database.
        checked: The condition the question is about.

    Raises:
        TooMany: If no turn came within `PATIENCE`.
        BadCondition: With the code `condition_cost`, if a statement took longer than `SECONDS`, or as
            `relations_read` raises it.
    """
    turns = _turns.setdefault(db, asyncio.Semaphore(max(1, db.pool.get_max_size() // 2)))
    try:
        async with asyncio.timeout(PATIENCE):
            await turns.acquire()
    except TimeoutError:
        raise TooMany(
            text("too many conditions are being evaluated; try again"), code="condition_busy", retry_after=5
        ) from None
    try:
        async with db.transaction() as connection:
            await connection.execute(f"SET LOCAL statement_timeout = {round(SECONDS * 1000)}")
            try:
                async with relations_read(connection, checked):
                    yield connection
            except asyncpg.QueryCanceledError:
                raise BadCondition(
                    text("the condition takes too long; use fewer event nodes or a shorter time window"),
                    code="condition_cost",
                ) from None
    finally:
        turns.release()
