"""The pool when it is used up, and when the server stops, restarts or falls silent."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from zhike.errors import Unavailable
from zhike.orm import Database


class Wire:
    """A TCP relay before the server, which can be cut, mended and silenced."""

    def __init__(self, url: str) -> None:
        self.parts = urlsplit(url)
        self.query = {name: values[0] for name, values in parse_qs(self.parts.query).items()}
        self.port = 0
        self.talks = asyncio.Event()
        self.talks.set()
        self.writers: set[asyncio.StreamWriter] = set()
        self.tasks: set[asyncio.Task[None]] = set()

    async def mend(self) -> str:
        self.server = await asyncio.start_server(self._relay, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]
        password = self.parts.password or self.query.get("password") or "s3cret"
        user = self.parts.username or self.query["user"]
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}{self.parts.path}"

    async def cut(self) -> None:
        self.server.close()
        for writer in list(self.writers):
            writer.close()
        for task in list(self.tasks):
            with suppress(OSError):
                await task
        await self.server.wait_closed()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host = self.parts.hostname or self.query["host"]
        port = self.parts.port or int(self.query.get("port", 5432))
        if host.startswith("/"):
            far_reader, far_writer = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            far_reader, far_writer = await asyncio.open_connection(host, port)
        self.writers |= {writer, far_writer}
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._copy(source, sink))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                await self.talks.wait()
                sink.write(data)
        sink.close()


@pytest.fixture
async def wire(database_url):
    wire = Wire(database_url)
    yield wire
    wire.talks.set()
    await wire.cut()


async def one(db: Database) -> int:
    async with db.connection() as connection:
        return await connection.fetchval("SELECT 1")


async def two(db: Database) -> int:
    async with db.transaction() as connection:
        return await connection.fetchval("SELECT 2")


async def assert_whole(db: Database, size: int) -> None:
    async with asyncio.timeout(30):
        assert await asyncio.gather(*(one(db) for _ in range(3 * size))) == [1] * 3 * size
        connections = [await db.engine.acquire() for _ in range(size)]
        for connection in connections:
            await db.engine.release(connection)
    assert db.pool.get_idle_size() == size


async def test_used_up_pool_answers_instead_of_waiting_for_ever(database_url, monkeypatch):
    """T17."""
    db = await Database.open(database_url, max_size=4)
    free = asyncio.Event()

    async def hold(scope) -> None:
        async with scope():
            await free.wait()

    holders = [asyncio.create_task(hold(scope)) for scope in (db.transaction, db.connection) * 2]
    await asyncio.sleep(0.05)
    with monkeypatch.context() as short:
        short.setattr("zhike._engine.ACQUIRE_TIMEOUT", 0.3)
        async with asyncio.timeout(30):
            results = await asyncio.gather(*(work(db) for work in (one, two) * 10), return_exceptions=True)
    assert {type(result) for result in results} == {Unavailable}
    assert {result.retry_after for result in results} == {1}

    waiting = asyncio.create_task(one(db))
    await asyncio.sleep(0.05)
    free.set()
    assert await waiting == 1
    await asyncio.gather(*holders)
    await assert_whole(db, 4)
    await db.close()


async def test_server_restart(wire, monkeypatch):
    """T3: errors at once while it is away; then it works again, and no connection to the dead server was kept."""
    monkeypatch.setattr("zhike._engine.ACQUIRE_TIMEOUT", 3600)
    db = await Database.open(await wire.mend(), max_size=4)
    await assert_whole(db, 4)
    with pytest.raises(Unavailable) as caught:
        async with db.transaction() as connection:
            await connection.execute("SELECT 1")
            await wire.cut()
            await connection.execute("SELECT 1")
    assert caught.value.retry_after == 1
    async with asyncio.timeout(30):
        results = await asyncio.gather(*(work(db) for work in (one, two) * 10), return_exceptions=True)
    assert {type(result) for result in results} == {Unavailable}
    assert "s3cret" not in str(results[0])
    assert db.pool.get_size() == 0
    await wire.mend()
    await assert_whole(db, 4)
    await db.close()


async def test_restart_between_two_statements_of_many(wire):
    db = await Database.open(await wire.mend(), max_size=4)
    stop = asyncio.Event()
    seen: set[type] = set()

    async def work(job) -> None:
        while not stop.is_set():
            try:
                await job(db)
                seen.add(int)
            except Exception as error:
                seen.add(type(error))
            await asyncio.sleep(0.001)

    async def until_seen(kind: type) -> None:
        seen.discard(kind)
        async with asyncio.timeout(60):
            while kind not in seen:  # noqa: ASYNC110  # nobody tells us
                await asyncio.sleep(0.02)

    workers = [asyncio.create_task(work(job)) for job in (one, two) * 4]
    for _ in range(4):
        await until_seen(int)
        await wire.cut()
        await until_seen(Unavailable)
        await wire.mend()
    await until_seen(int)
    stop.set()
    await asyncio.gather(*workers)
    assert seen == {int, Unavailable}
    await assert_whole(db, 4)
    await db.close()


async def test_all_backends_killed_while_idle(database_url):
    db = await Database.open(database_url, max_size=4)
    await assert_whole(db, 4)
    other = await asyncpg.connect(database_url)
    killed = await other.fetch(
        "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'zhike'"
    )
    assert len(killed) == 4
    await other.close()
    await asyncio.sleep(0.1)
    await assert_whole(db, 4)
    await db.close()


@pytest.mark.parametrize("scope", ["connection", "transaction"])
async def test_silent_server_is_given_up(wire, monkeypatch, scope):
    """A machine that is gone sends nothing at all: no refusal, no end of the stream."""
    db = await Database.open(await wire.mend(), max_size=4, command_timeout=1)
    with monkeypatch.context() as short:
        for name in ("_engine.ACQUIRE_TIMEOUT", "_engine.ROLLBACK_TIMEOUT", "orm.CLOSE_TIMEOUT"):
            short.setattr(f"zhike.{name}", 0.2)
        async with asyncio.timeout(30):
            with pytest.raises(Unavailable):
                async with getattr(db, scope)() as connection:
                    wire.talks.clear()
                    await connection.execute("SELECT 1")
            with pytest.raises(Unavailable):
                await one(db)
    wire.talks.set()
    await assert_whole(db, 4)
    await db.close()


async def test_close_does_not_wait_for_ever(database_url, monkeypatch):
    monkeypatch.setattr("zhike.orm.CLOSE_TIMEOUT", 0.1)
    db = await Database.open(database_url, max_size=4)

    begun, closed = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with db.transaction():
            begun.set()
            await closed.wait()

    holder = asyncio.create_task(hold())
    await begun.wait()
    async with asyncio.timeout(30):
        await db.close()
        await db.close()
    with pytest.raises(RuntimeError, match="closed"):
        await one(db)
    closed.set()
    with pytest.raises(Unavailable):
        await holder
