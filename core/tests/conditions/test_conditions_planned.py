"""Settings of a statement pass with it, and nothing stays open behind it."""

from __future__ import annotations

import asyncpg
import pytest

from zhike.conditions.planned import planned
from zhike.orm import Connection, Database

JIT = "SET LOCAL jit = off"


async def _jit(connection: Connection) -> str:
    value: str = await connection.fetchval("SHOW jit")
    return value


async def test_what_is_set_and_changed_passes(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("SET jit = on")
        async with planned(connection, JIT):
            assert await _jit(connection) == "off"
            await connection.execute("INSERT INTO team (name) VALUES ('x')")
        assert not connection.is_in_transaction()
        assert await _jit(connection) == "on"
        assert await connection.fetchval("SELECT count(*) FROM team") == 0


async def test_a_transaction_goes_on(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute("SET LOCAL jit = on; INSERT INTO team (name) VALUES ('kept')")
        async with planned(connection, JIT):
            assert await _jit(connection) == "off"
            await connection.execute("INSERT INTO team (name) VALUES ('x')")
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with planned(connection, JIT):
                await connection.execute("SELECT 1 / 0")
        assert await _jit(connection) == "on"
    assert [row["name"] for row in await database.fetch("SELECT name FROM team")] == ["kept"]


async def test_what_cannot_be_set_leaves_nothing_open(database: Database) -> None:
    async with database.connection() as connection:
        with pytest.raises(asyncpg.UndefinedObjectError):
            async with planned(connection, "SET LOCAL nothing_like_that = 1"):
                raise AssertionError("not reached")
        assert not connection.is_in_transaction()
        assert await connection.fetchval("SELECT 1") == 1
