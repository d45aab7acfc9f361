"""Transactions nest, end, and give their connection back, whatever fails inside or around them."""

from __future__ import annotations

import asyncio
import contextvars
import os

import asyncpg
import pytest
from piccolo.columns import Integer
from piccolo.engine.exceptions import TransactionError
from piccolo.table import Table

from zhike._engine import is_dead
from zhike.errors import Unavailable
from zhike.orm import Database

SCALE = float(os.environ.get("ZHIKE_FAULT_SCALE") or 0.1)


class Item(Table, tablename="item"):
    """A row that must name another one by the time of COMMIT."""

    id = Integer(primary_key=True)
    parent = Integer(null=True, default=None)


@pytest.fixture
async def db(database_url):
    opened = await Database.open(database_url, max_size=4)
    async with opened.connection() as connection:
        await connection.execute(
            "CREATE TABLE item (id int PRIMARY KEY, parent int REFERENCES item DEFERRABLE INITIALLY DEFERRED)"
        )
    opened.bind([Item])
    yield opened
    await opened.close()


async def ids(db: Database) -> list[int]:
    async with db.connection() as connection:
        return [row["id"] for row in await connection.fetch("SELECT id FROM item ORDER BY id")]


async def assert_whole(db: Database) -> None:
    """All four places of the pool can be used at once, by clean connections that belong to no transaction."""
    async with asyncio.timeout(30):
        connections = [await db.engine.acquire() for _ in range(4)]
        for connection in connections:
            assert not connection.is_in_transaction()
            assert await connection.fetchval("SELECT 1") == 1
        for connection in connections:
            await db.engine.release(connection)
    assert db.pool.get_idle_size() == 4
    assert db.engine.current() is None


async def test_commits(db):
    async with db.transaction() as connection:
        await connection.execute("INSERT INTO item VALUES (1)")
        assert await ids(db) == [1]  # the same connection
        async with asyncio.timeout(30):
            outside = await asyncio.create_task(ids(db), context=contextvars.Context())
        assert outside == []
    assert await ids(db) == [1]
    await assert_whole(db)


async def test_error_rolls_back_and_is_raised_as_it_was(db):
    error = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as caught:
        async with db.transaction() as connection:
            await connection.execute("INSERT INTO item VALUES (1)")
            raise error
    assert caught.value is error
    assert await ids(db) == []
    await assert_whole(db)


async def test_piccolo_queries_use_the_transaction(db):
    with pytest.raises(ZeroDivisionError):
        async with db.transaction():
            await Item.insert(Item(id=1))
            assert await Item.count() == 1
            raise ZeroDivisionError
    assert await Item.count() == 0
    async with Item._meta.db.transaction():
        await Item.insert(Item(id=2))
        async with db.transaction() as connection:
            await connection.execute("INSERT INTO item VALUES (3)")
    assert await ids(db) == [2, 3]
    await assert_whole(db)


async def test_piccolo_atomic_and_savepoint(db):
    atomic = db.engine.atomic()
    atomic.add(Item.insert(Item(id=1)), Item.insert(Item(id=2)))
    await atomic.run()
    async with db.engine.transaction() as transaction:
        savepoint = await transaction.savepoint()
        await Item.insert(Item(id=3))
        await savepoint.rollback_to()
    assert await ids(db) == [1, 2]
    with pytest.raises(TransactionError):
        async with db.transaction(), db.engine.transaction(allow_nested=False):
            pass
    await assert_whole(db)


async def test_piccolo_doors_that_lose_data_are_shut(db):
    async with db.engine.transaction() as transaction:
        with pytest.raises(NotImplementedError):
            await transaction.commit()
        with pytest.raises(NotImplementedError):
            await transaction.rollback()
    with pytest.raises(NotImplementedError):
        await Item.select().batch()
    await assert_whole(db)


async def test_nested_error_that_is_caught_leaves_nothing(db):
    async with db.transaction() as connection:
        await connection.execute("INSERT INTO item VALUES (1)")
        with pytest.raises(asyncpg.UniqueViolationError):
            async with db.transaction() as inner:
                assert inner is connection
                await inner.execute("INSERT INTO item VALUES (2)")
                await inner.execute("INSERT INTO item VALUES (1)")
        async with db.transaction():
            await Item.insert(Item(id=3))
            with pytest.raises(KeyError):
                async with db.transaction():
                    await Item.insert(Item(id=4))
                    raise KeyError
        await connection.execute("INSERT INTO item VALUES (5)")
    assert await ids(db) == [1, 3, 5]
    await assert_whole(db)


async def test_nested_success_goes_with_the_outer(db):
    with pytest.raises(KeyError):
        async with db.transaction():
            async with db.transaction() as connection:
                await connection.execute("INSERT INTO item VALUES (1)")
            raise KeyError
    assert await ids(db) == []


async def test_asyncpg_savepoints_work_inside(db):
    async with db.transaction() as connection:
        with pytest.raises(KeyError):
            async with connection.transaction():
                await Item.insert(Item(id=1))
                raise KeyError
        await Item.insert(Item(id=2))
    assert await ids(db) == [2]
    await assert_whole(db)


async def test_many_failed_savepoints_leave_none_behind(db, query_counter):
    async with db.transaction() as connection:
        for _ in range(50):
            with pytest.raises(KeyError):
                async with db.transaction():
                    raise KeyError
        with pytest.raises(asyncpg.InvalidSavepointSpecificationError):
            async with connection.transaction():
                await connection.execute("ROLLBACK TO SAVEPOINT zhike_50")
    await assert_whole(db)


async def test_swallowed_error_is_no_silent_rollback(db):
    with pytest.raises(asyncpg.InFailedSQLTransactionError, match="nothing was committed"):
        async with db.transaction() as connection:
            await connection.execute("INSERT INTO item VALUES (1)")
            with pytest.raises(asyncpg.UniqueViolationError):
                await connection.execute("INSERT INTO item VALUES (1)")
    assert await ids(db) == []
    async with db.transaction() as connection:
        with pytest.raises(asyncpg.InFailedSQLTransactionError):
            async with db.transaction():
                with pytest.raises(asyncpg.DataError):
                    await connection.execute("SELECT 1 / 0")
        await connection.execute("INSERT INTO item VALUES (2)")
    assert await ids(db) == [2]
    await assert_whole(db)


async def test_failed_commits(db):
    """T17: Piccolo's own engine hangs after as many of these as the pool has places."""
    for number in range(max(10, round(100 * SCALE))):
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            async with db.transaction():
                await Item.insert(Item(id=number, parent=999_999))
        assert db.engine.current() is None
    assert await ids(db) == []
    await assert_whole(db)


async def test_gather_inside_fails_loudly(db):
    async def select() -> None:
        await Item.raw("SELECT pg_sleep(0.02)")

    for _ in range(8):
        with pytest.raises(asyncpg.InterfaceError, match="another operation"):
            async with db.transaction() as connection:
                await connection.execute("INSERT INTO item VALUES (1)")
                await asyncio.gather(select(), select(), select())
    assert await ids(db) == []
    await assert_whole(db)


async def test_gathered_nested_transactions_do_not_undo_each_other(db):
    async def nested(number: int, error: Exception | None) -> None:
        async with db.transaction() as connection:
            await connection.execute("INSERT INTO item VALUES ($1)", number)
            await asyncio.sleep(0.01 * number)
            if error:
                raise error

    with pytest.raises((RuntimeError, asyncpg.InterfaceError)):
        async with db.transaction():
            results = await asyncio.gather(nested(1, KeyError()), nested(2, None), return_exceptions=True)
            for result in results:
                if isinstance(result, RuntimeError | asyncpg.InterfaceError):
                    raise result
    assert await ids(db) == []
    await assert_whole(db)


async def test_transaction_with_another_tasks_nested_one_cannot_be_used(db):
    opened, go = asyncio.Event(), asyncio.Event()

    async def nested() -> None:
        async with db.transaction():
            opened.set()
            await go.wait()

    async with db.transaction():
        task = asyncio.create_task(nested())
        await opened.wait()
        with pytest.raises(RuntimeError, match="another task has opened a nested transaction"):
            await Item.insert(Item(id=1))
        go.set()
        await task
        await Item.insert(Item(id=2))
    assert await ids(db) == [2]
    await assert_whole(db)


async def test_child_task_may_use_it_while_it_is_open(db):
    async with db.transaction():
        await asyncio.wait_for(Item.insert(Item(id=1)).run(), 30)
    assert await ids(db) == [1]


async def test_background_task_of_an_ended_transaction_fails_loudly(db):
    go = asyncio.Event()

    async def later(use: str) -> None:
        await go.wait()
        if use == "piccolo":
            await Item.insert(Item(id=7))
        else:
            async with getattr(db, use)() as connection:
                await connection.execute("INSERT INTO item VALUES (7)")

    async with db.transaction():
        tasks = [asyncio.create_task(later(use)) for use in ("connection", "transaction", "piccolo")]
        fresh = asyncio.create_task(later("transaction"), context=contextvars.Context())
    go.set()
    for task in tasks:
        with pytest.raises(RuntimeError, match="started inside a transaction that has ended"):
            await task
    await fresh
    assert await ids(db) == [7]
    await assert_whole(db)


async def test_leaving_in_another_context(db):
    """An asynchronous generator may be resumed and closed in another context than the one it started in."""

    async def generator():
        async with db.transaction() as connection:
            await connection.execute("INSERT INTO item VALUES (1)")
            yield connection

    for number in range(6):
        steps = generator()
        await asyncio.create_task(anext(steps), context=contextvars.Context())
        if number % 2:
            await asyncio.create_task(steps.aclose(), context=contextvars.Context())
        else:
            with pytest.raises(KeyError):
                await asyncio.create_task(steps.athrow(KeyError()), context=contextvars.Context())
        await assert_whole(db)
    assert await ids(db) == []


async def test_leaving_elsewhere_does_not_poison_the_context_it_was_entered_in(db):
    scope = db.transaction()
    connection = await scope.__aenter__()
    await connection.execute("INSERT INTO item VALUES (1)")
    await asyncio.create_task(scope.__aexit__(None, None, None), context=contextvars.Context())
    assert await ids(db) == [1]
    async with db.transaction() as connection:
        await connection.execute("INSERT INTO item VALUES (2)")
    assert await ids(db) == [1, 2]
    await assert_whole(db)


async def test_leaving_the_outer_before_the_inner_commits_nothing(db):
    outer, inner = db.transaction(), db.transaction()
    await outer.__aenter__()
    connection = await inner.__aenter__()
    await connection.execute("INSERT INTO item VALUES (1)")
    with pytest.raises(RuntimeError, match="before the one nested"):
        await outer.__aexit__(None, None, None)
    with pytest.raises(RuntimeError, match="before the one nested"):
        await inner.__aexit__(None, None, None)
    assert await ids(db) == []
    await assert_whole(db)


@pytest.mark.parametrize("statement", ["BEGIN;", "COMMIT;", "ROLLBACK;", "SAVEPOINT", "RELEASE", "ROLLBACK TO"])
async def test_backend_killed_just_before(db, database_url, monkeypatch, statement):
    """The server goes away just before the statement that begins or ends a transaction."""
    from zhike._engine import ServerConnection

    other = await asyncpg.connect(database_url)
    execute = ServerConnection.execute
    armed = True

    async def fatal(self, query, *args, **options):
        nonlocal armed
        if armed and query.startswith(statement):
            armed = False
            await other.execute("SELECT pg_terminate_backend($1)", self.get_server_pid())
        return await execute(self, query, *args, **options)

    monkeypatch.setattr(ServerConnection, "execute", fatal)
    original = KeyError("original")
    fails = statement.startswith("ROLLBACK")
    expected: type[Exception] = KeyError if fails else Unavailable
    with pytest.raises(expected) as caught:
        async with db.transaction(), db.transaction() as connection:
            await connection.fetchval("INSERT INTO item VALUES (1) RETURNING id")
            if fails:
                raise original
    assert not armed
    if fails:
        assert caught.value is original
    else:
        assert caught.value.retry_after == 1
    monkeypatch.undo()
    await other.close()
    assert await ids(db) == []
    await assert_whole(db)


async def test_backend_killed_inside(db, database_url):
    other = await asyncpg.connect(database_url)
    with pytest.raises(Unavailable):
        async with db.transaction() as connection:
            await connection.execute("INSERT INTO item VALUES (1)")
            await other.execute("SELECT pg_terminate_backend($1)", connection.get_server_pid())
            await connection.execute("INSERT INTO item VALUES (2)")
    with pytest.raises(KeyError):  # a failing rollback does not hide what went wrong
        async with db.transaction() as connection:
            await other.execute("SELECT pg_terminate_backend($1)", connection.get_server_pid())
            raise KeyError
    with pytest.raises(Unavailable):
        async with db.transaction() as connection, db.transaction():
            await other.execute("SELECT pg_terminate_backend($1)", connection.get_server_pid())
            await Item.insert(Item(id=3))
    with pytest.raises(Unavailable):
        async with db.connection() as connection:
            await other.execute("SELECT pg_terminate_backend($1)", connection.get_server_pid())
            await connection.fetchval("SELECT 1")
    await other.close()
    assert await ids(db) == []
    await assert_whole(db)


async def test_swallowed_loss_of_the_connection_is_no_success(db, database_url):
    other = await asyncpg.connect(database_url)
    with pytest.raises(Unavailable):
        async with db.transaction() as connection:
            await connection.execute("INSERT INTO item VALUES (1)")
            await other.execute("SELECT pg_terminate_backend($1)", connection.get_server_pid())
            with pytest.raises((asyncpg.PostgresError, asyncpg.InternalClientError)):
                await connection.execute("INSERT INTO item VALUES (2)")
    await other.close()
    assert await ids(db) == []
    await assert_whole(db)


async def test_errors_of_files_and_time_stay_what_they_are(db):
    for error in (FileNotFoundError("rows.csv"), TimeoutError("mine"), asyncpg.InterfaceError("mine")):
        with pytest.raises(type(error)) as caught:
            async with db.transaction():
                raise error
        assert caught.value is error
    await assert_whole(db)


@pytest.mark.parametrize(
    ("name", "value", "sql"),
    [
        ("statement_timeout", "20ms", "SELECT pg_sleep(5)"),
        ("transaction_read_only", "on", "INSERT INTO item VALUES (1)"),
        ("idle_in_transaction_session_timeout", "20ms", "SELECT 1"),
    ],
)
async def test_limits_of_the_server_are_unavailable(db, name, value, sql):
    with pytest.raises(Unavailable):
        async with db.transaction() as connection:
            await connection.execute(f"SET LOCAL {name} = '{value}'")
            if name.startswith("idle"):
                async with asyncio.timeout(30):
                    while not is_dead(connection):  # noqa: ASYNC110  # the event is in the server
                        await asyncio.sleep(0.01)
            await connection.execute(sql)
    await assert_whole(db)


async def test_waiting_for_a_lock_ends(db):
    async with db.transaction() as connection:
        await connection.execute("LOCK TABLE item")

        async def blocked() -> None:
            async with db.transaction() as second:
                await second.execute("SET LOCAL lock_timeout = '20ms'")
                await second.execute("LOCK TABLE item")

        with pytest.raises(Unavailable):
            await asyncio.create_task(blocked(), context=contextvars.Context())
    await assert_whole(db)
