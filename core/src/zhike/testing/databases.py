"""Databases that live as long as one test."""

from __future__ import annotations

import asyncio
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from zhike._host.db import migrate


class Server:
    """A PostgreSQL server on which tests make databases.

    Args:
        url: A database on it from which others can be made.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._template: str | None = None
        # Threads of their own: fixtures are also asked for while the test's event loop runs, and dropping a
        # database waits for a checkpoint, which nobody else has to wait for.
        self._maker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="zhike-testing-create")
        self._dropper = ThreadPoolExecutor(max_workers=1, thread_name_prefix="zhike-testing-drop")
        self._drops: list[Future[None]] = []

    def hurry(self) -> None:
        """Give up the server's durability for speed, for one that is thrown away."""
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            self._maker.submit(asyncio.run, self._execute(f"ALTER SYSTEM SET {name} = off")).result()
        self._maker.submit(asyncio.run, self._execute("SELECT pg_reload_conf()")).result()

    def create(self, *, migrated: bool = True) -> str:
        """Make a database and return its URL.

        Args:
            migrated: Whether it has the core's tables; else it is empty.
        """
        return self._maker.submit(asyncio.run, self._create(migrated)).result()

    def drop(self, url: str) -> None:
        """Drop a database that `create` made, soon and whoever is still connected to it."""
        name = urlsplit(url).path.removeprefix("/")
        sql = f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"
        self._drops.append(self._dropper.submit(asyncio.run, self._execute(sql)))

    def close(self) -> None:
        """Wait until all databases are dropped, also the one that the others are copies of."""
        if self._template is not None:
            self.drop(self._url(self._template))
        self._maker.shutdown()
        self._dropper.shutdown()
        for drop in self._drops:
            drop.result()

    async def _create(self, migrated: bool) -> str:
        if migrated and self._template is None:
            template = _new_name()
            await self._execute(f"CREATE DATABASE {template}")
            await migrate.forwards(self._url(template))
            self._template = template
        name = _new_name()
        await self._execute(f"CREATE DATABASE {name}" + (f" TEMPLATE {self._template}" if migrated else ""))
        return self._url(name)

    async def _execute(self, sql: str) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    def _url(self, name: str) -> str:
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))


class QueryCounter:
    """The SQL statements that a database was sent, BEGIN and COMMIT among them.

    A statement is in here once the block of `Database.connection` or `transaction` that it ran in has ended.
    """

    def __init__(self) -> None:
        self.statements: list[str] = []

    @property
    def count(self) -> int:
        """How many statements there were since the test began or `reset` was called."""
        return len(self.statements)

    def reset(self) -> None:
        """Forget the statements so far."""
        self.statements.clear()

    def watch(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        """Count what is sent on `connection` from now on."""
        connection.add_query_logger(lambda record: self.statements.append(record.query))


def _new_name() -> str:
    return f"zhike_test_{uuid.uuid4().hex}"
