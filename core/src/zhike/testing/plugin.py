"""pytest fixtures for everybody who tests with Zhike: each test gets a migrated database of its own.

The server is what ZHIKE_TEST_DATABASE_URL names, else an embedded PostgreSQL that lives as long as the run.
Nothing heavy is imported before a fixture is used, since pytest loads this module in every run.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

try:
    from pytest_asyncio import fixture as async_fixture
except ImportError:  # synchronous tests only; `database` is of no use to them
    async_fixture = pytest.fixture  # type: ignore[assignment]  # two decorators, used in the same way

if TYPE_CHECKING:
    from zhike.orm import Database
    from zhike.testing.databases import QueryCounter, Server


@pytest.fixture(scope="session")
def database_server() -> Iterator[Server]:
    """The PostgreSQL server of this run, or of this pytest-xdist worker."""
    from zhike.testing.databases import Server

    with ExitStack() as stack:
        url = os.environ.get("ZHIKE_TEST_DATABASE_URL")
        if not url:
            from zhike._host.database import attach

            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="zhike-test-"))
            url = stack.enter_context(attach(Path(folder) / "data"))
        server = Server(url)
        stack.callback(server.close)
        yield server


@pytest.fixture(scope="session")
def with_plugins() -> bool:
    """Whether the test's database has the tables of installed plugins; a conftest may say otherwise."""
    return True


@pytest.fixture
def database_url(database_server: Server, with_plugins: bool) -> Iterator[str]:
    """The URL of a database as `zhike migrate` makes it, with nothing in its tables; dropped after the test."""
    url = database_server.create(plugins=with_plugins)
    yield url
    database_server.drop(url)


@pytest.fixture
def empty_database_url(database_server: Server) -> Iterator[str]:
    """The URL of a database without any table; dropped after the test."""
    url = database_server.create(migrated=False)
    yield url
    database_server.drop(url)


@pytest.fixture
def query_counter() -> QueryCounter:
    """Counts the SQL statements sent through `database`."""
    from zhike.testing.databases import QueryCounter

    return QueryCounter()


@async_fixture
async def database(database_url: str, query_counter: QueryCounter) -> AsyncIterator[Database]:
    """The database of `database_url`, open; the core's Piccolo tables are on it."""
    from zhike.orm import Database

    opened = await Database.open(database_url, on_connect=query_counter.watch)
    query_counter.reset()
    yield opened
    await opened.close()


class FrozenNow:
    """A clock that stands still until it is moved.

    Args:
        instant: What `zhike.clock.now()` returns at first, in UTC.
    """

    def __init__(self, instant: datetime) -> None:
        self.instant = instant

    def __call__(self) -> datetime:
        """Return the instant it shows."""
        return self.instant

    def set(self, instant: datetime) -> None:
        """Show `instant` from now on; it must have an offset."""
        self.instant = instant.astimezone(UTC)

    def advance(self, **duration: float) -> None:
        """Move forward by `timedelta(**duration)`, such as `days=3`."""
        self.instant += timedelta(**duration)


@pytest.fixture
def frozen_now(monkeypatch: pytest.MonkeyPatch) -> FrozenNow:
    """Stops `zhike.clock.now` at 2026-03-14 08:00 UTC."""
    frozen = FrozenNow(datetime(2026, 3, 14, 8, tzinfo=UTC))
    monkeypatch.setattr("zhike.clock.now", frozen)
    return frozen
