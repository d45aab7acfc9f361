"""Statements that are planned with settings of their own, which pass with them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg

from zhike.orm import Connection

_OUTSIDE = "BEGIN", "ROLLBACK"
_INSIDE = "SAVEPOINT planned", "ROLLBACK TO SAVEPOINT planned; RELEASE SAVEPOINT planned"


@asynccontextmanager
async def planned(connection: Connection, settings: str) -> AsyncIterator[None]:
    """Have statements planned with settings; whatever they change is taken back, in a transaction that goes on too.

    The beginning and the settings go to the server together: where a statement takes a millisecond, a round trip less
    is felt.

    Args:
        connection: Inside a transaction or not; `Connection.transaction` may not be called inside.
        settings: `SET LOCAL` statements.
    """
    begin, end = _INSIDE if connection.is_in_transaction() else _OUTSIDE
    try:
        await connection.execute(f"{begin}; {settings}")
    except BaseException:
        if end == "ROLLBACK":  # it may have begun; a transaction that was there before is somebody else's to end
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await connection.execute(end)
        raise
    try:
        yield
    finally:
        await connection.execute(end)
