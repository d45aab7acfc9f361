"""A task may be cancelled at any point; the pool stays whole and nothing half is committed."""

from __future__ import annotations

import asyncio
import os
import random

import pytest

from zhike.orm import Database

SCALE = float(os.environ.get("ZHIKE_FAULT_SCALE") or 0.1)


@pytest.fixture
async def db(database_url):
    opened = await Database.open(database_url, max_size=4)
    async with opened.connection() as connection:
        await connection.execute("CREATE TABLE pair (id int, half int)")
    yield opened
    await opened.close()


async def write_pair(db: Database, number: int) -> None:
    async with db.transaction() as connection:
        await connection.execute("INSERT INTO pair VALUES ($1, 1)", number)
        try:
            async with db.transaction():
                await connection.execute("INSERT INTO pair VALUES ($1, 9)", number)
                if number % 3 == 0:
                    raise KeyError
                await connection.execute("DELETE FROM pair WHERE id = $1 AND half = 9", number)
        except KeyError:
            pass
        await connection.execute("INSERT INTO pair VALUES ($1, 2)", number)


async def read(db: Database) -> None:
    async with db.connection() as connection:
        await connection.fetchval("SELECT count(*) FROM pair")


async def assert_whole(db: Database) -> None:
    async with asyncio.timeout(30):
        connections = [await db.engine.acquire() for _ in range(4)]
        for connection in connections:
            assert not connection.is_in_transaction()
            await connection.fetchval("SELECT 1")
        for connection in connections:
            await db.engine.release(connection)
    assert db.pool.get_idle_size() == 4


async def assert_only_whole_pairs(db: Database) -> None:
    async with db.connection() as connection:
        rows = await connection.fetch("SELECT id, array_agg(half ORDER BY half) AS halves FROM pair GROUP BY id")
    assert [row["id"] for row in rows if row["halves"] != [1, 2]] == []


async def test_cancelled_at_every_await(db):
    """Cancel one task after 0, 1, 2 … turns of the event loop, until it comes through."""
    for turns in range(10_000):
        task = asyncio.create_task(write_pair(db, turns))
        for _ in range(turns):
            await asyncio.sleep(0)
            if task.done():
                break
        if task.done():
            await task
            break
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        pytest.fail("it never came through")
    assert turns > 20
    await assert_whole(db)
    await assert_only_whole_pairs(db)


@pytest.mark.faults
async def test_cancelled_requests(db):
    """T17: many at once on a pool of four, cancelled in the queue, in statements and while they end."""
    chance = random.Random(17)
    total = max(100, round(1000 * SCALE))
    cancelled = 0
    for start in range(0, total, 20):
        tasks = [
            asyncio.create_task(write_pair(db, number) if number % 2 else read(db))
            for number in range(start, start + 20)
        ]
        for task in chance.sample(tasks, len(tasks)):
            await asyncio.sleep(chance.random() * 0.002)
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        cancelled += sum(isinstance(result, asyncio.CancelledError) for result in results)
        assert [r for r in results if r is not None and not isinstance(r, asyncio.CancelledError)] == []
    assert cancelled > total / 10
    await assert_whole(db)
    await assert_only_whole_pairs(db)


async def test_cancelled_twice(db):
    """A second cancellation while the first one is being rolled back."""
    for turns in range(60):
        task = asyncio.create_task(write_pair(db, turns))
        await asyncio.sleep(0.001)
        task.cancel()
        for _ in range(turns % 12):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await assert_whole(db)
    await assert_only_whole_pairs(db)


async def test_cancelled_in_a_long_statement(db):
    async def sleep() -> None:
        async with db.transaction() as connection:
            await connection.execute("SELECT pg_sleep(30)")

    for _ in range(6):
        task = asyncio.create_task(sleep())
        await asyncio.sleep(0.03)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 25)  # the statement takes longer
    await assert_whole(db)
