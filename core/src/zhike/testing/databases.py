"""Databases that live as long as one test."""

from __future__ import annotations

import asyncio
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from zhike._host.db import migrate
from zhike._host.db.upgrade import upgrade
from zhike.settings import Settings


class Server:
    """A PostgreSQL server on which tests make databases.

    Args:
        url: A database on it from which others can be made.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._templates: dict[bool, str] = {}
        # A thread of its own: fixtures are also asked for while the test's event loop runs.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="zhike-testing")

    def create(self, *, migrated: bool = True, plugins: bool = True) -> str:
        """Make a database and return its URL.

        Args:
            migrated: Whether it has the core's tables; else it is empty.
            plugins: Whether it has those of the installed plugins too that are enabled when they are first seen.
        """
        return self._thread.submit(asyncio.run, self._create(migrated, plugins)).result()

    def drop(self, url: str) -> None:
        """Drop a database that `create` made, whoever is still connected to it.

        Best before the next one is made: it waits for a checkpoint, which writes all others' files to disk.
        """
        name = urlsplit(url).path.removeprefix("/")
        sql = f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"
        self._thread.submit(asyncio.run, self._execute(sql)).result()

    def close(self) -> None:
        """Drop the databases that the others are copies of."""
        for template in self._templates.values():
            self.drop(self._url(template))
        self._thread.shutdown()

    async def _create(self, migrated: bool, plugins: bool) -> str:
        if migrated and plugins not in self._templates:
            template = _new_name()
            await self._execute(f"CREATE DATABASE {template}")
            url = self._url(template)
            if plugins:
                await upgrade(Settings(data=Path.cwd(), database_url=url), url)
            else:
                await migrate.forwards(url)
            self._templates[plugins] = template
        name = _new_name()
        await self._execute(f"CREATE DATABASE {name}" + (f" TEMPLATE {self._templates[plugins]}" if migrated else ""))
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
