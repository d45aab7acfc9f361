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
from zhike._host.plugins.discover import discover
from zhike.orm import Database
from zhike.plugins import service
from zhike.settings import Settings

Plugins = tuple[str, ...] | None
"""Names of the installed plugins that are enabled; None for those that are when `zhike migrate` first sees them."""


class Server:
    """A PostgreSQL server on which tests make databases.

    Args:
        url: A database on it from which others can be made.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._templates: dict[tuple[Plugins, Path | None], str] = {}
        # A thread of its own: fixtures are also asked for while the test's event loop runs.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="zhike-testing")

    def create(self, *, migrated: bool = True, plugins: Plugins = None, hooks: Path | None = None) -> str:
        """Make a database and return its URL.

        Args:
            migrated: Whether it has tables; else it is empty.
            plugins: Whose tables it has beside the core's.
            hooks: Folder of single-file plugins, or None.

        Raises:
            LookupError: If one of the plugins is not installed.
            RuntimeError: If one of them cannot be migrated.
        """
        return self._thread.submit(asyncio.run, self._create(migrated, plugins, hooks)).result()

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

    async def _create(self, migrated: bool, plugins: Plugins, hooks: Path | None) -> str:
        if migrated and (plugins, hooks) not in self._templates:
            template = _new_name()
            await self._execute(f"CREATE DATABASE {template}")
            await _migrate(self._url(template), plugins, hooks)
            self._templates[plugins, hooks] = template
        name = _new_name()
        # Files are copied as they are: no page of them goes through the server's memory and its log.
        template = f" TEMPLATE {self._templates[plugins, hooks]} STRATEGY FILE_COPY" if migrated else ""
        await self._execute(f"CREATE DATABASE {name}{template}")
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


async def _migrate(url: str, plugins: Plugins, hooks: Path | None) -> None:
    """Make the tables of the core and of plugins, which are known afterwards to be enabled or not."""
    await migrate.forwards(url)
    if plugins == () and hooks is None:
        return
    if plugins is not None:
        found = discover(hooks).candidates.values()
        if missing := set(plugins) - {each.name for each in found}:
            raise LookupError(f"not installed: {', '.join(sorted(missing))}; such as with `pip install -e .`")
        db = await Database.open(url, max_size=1)
        async with db.connection() as connection:
            await service.see(
                connection, [service.Installed(name=each.name, distribution=each.distribution) for each in found]
            )
            await connection.execute("UPDATE plugin SET enabled = name = ANY($1) OR distribution = ''", plugins)
        await db.close()
    done = await upgrade(Settings(data=Path.cwd(), database_url=url, hooks=hooks), url)
    if done.problems and plugins is not None:
        raise RuntimeError("\n".join(f"{each.plugin}: {each.text} {each.hint}" for each in done.problems))


def _new_name() -> str:
    return f"zhike_test_{uuid.uuid4().hex}"
