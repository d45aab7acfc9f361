"""pytest fixtures for everybody who tests with Zhike: each test gets a migrated database, and what runs on it.

The server is what ZHIKE_TEST_DATABASE_URL names, else an embedded PostgreSQL that lives as long as the run.
Nothing heavy is imported before a fixture is used, since pytest loads this module in every run.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

try:
    from pytest_asyncio import fixture as async_fixture
except ImportError:  # synchronous tests only; `database` is of no use to them
    async_fixture = pytest.fixture  # type: ignore[assignment]  # two decorators, used in the same way

if TYPE_CHECKING:
    import httpx

    from zhike._host.web.app import Application
    from zhike.contracts import RecordedEvent
    from zhike.orm import Database
    from zhike.platform import Platform
    from zhike.settings import Settings
    from zhike.testing.databases import QueryCounter, Server
    from zhike.testing.visiting import Visits

_ROOM = 2 * 1024**3  # bytes; a server takes a tenth of it for most tests, and half for the largest


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "plugins(*names): the installed plugins the test runs with")


def quick_folder() -> str | None:
    """Return where a database that nobody keeps is written fastest: in memory, where Linux has room for it.

    A database is made and dropped for each test, and a disk has to be waited for both times.

    Returns:
        The folder, or None for where temporary files usually are.
    """
    memory = Path("/dev/shm")  # noqa: S108  # its files get folders of their own
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ROOM:
        return str(memory)
    return None


@pytest.fixture(scope="session")
def database_server() -> Iterator[Server]:
    """The PostgreSQL server of this run, or of this pytest-xdist worker."""
    from zhike.testing.databases import Server

    with ExitStack() as stack:
        url = os.environ.get("ZHIKE_TEST_DATABASE_URL")
        if not url:
            from zhike._host.database import attach

            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="zhike-test-", dir=quick_folder()))
            url = stack.enter_context(attach(Path(folder) / "data"))
        server = Server(url)
        stack.callback(server.close)
        yield server


@pytest.fixture
def plugins(request: pytest.FixtureRequest) -> Sequence[str] | None:
    """The installed plugins that a test runs with: those of its marker `plugins`.

    None stands for those that are enabled when they are first seen. A conftest that says otherwise says it for all
    its tests.
    """
    marker = request.node.get_closest_marker("plugins")
    return marker.args if marker else None


@pytest.fixture
def hooks_folder() -> Path | None:
    """The hooks folder whose files run as plugins too; None, unless a conftest says otherwise."""
    return None


@pytest.fixture
def database_url(database_server: Server, plugins: Sequence[str] | None, hooks_folder: Path | None) -> Iterator[str]:
    """The URL of a database as `zhike migrate` makes it for these plugins; dropped after the test."""
    url = database_server.create(plugins=None if plugins is None else tuple(plugins), hooks=hooks_folder)
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


@pytest.fixture
def settings(tmp_path: Path, database_url: str, hooks_folder: Path | None) -> Settings:
    """The settings of an installation on the test's database; texts are in English."""
    from zhike.settings import Settings

    return Settings(data=tmp_path, database_url=database_url, locale="en", pool_size=4, hooks=hooks_folder)


@async_fixture
async def platform(settings: Settings, database: Database) -> Platform:
    """What a process works with: the database, and the plugins loaded as a server loads them."""
    from zhike._host.plugins.load import load
    from zhike.testing import running

    loaded = await load(settings, database, threads=False)
    await running.start(loaded)
    return loaded


@async_fixture
async def app(
    settings: Settings, platform: Platform, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Application]:
    """The web application on `platform`."""
    from zhike._host.web import app as web
    from zhike.testing.routers import router
    from zhike.testing.templates import environment
    from zhike.ui import rendering

    monkeypatch.setattr(web, "_router", router)
    monkeypatch.setattr(rendering, "Environment", environment)
    application = web.create_app(settings, database_url)
    async with application.services.serving(platform):
        yield application


MakeToken = Callable[..., Awaitable[str]]
Record = Callable[..., Awaitable[list["RecordedEvent"]]]
RunUntilIdle = Callable[..., Awaitable[None]]


@pytest.fixture
def make_token(platform: Platform) -> MakeToken:
    """Makes a token with a role and returns its secret.

    For example `await make_token("viewer")`.
    """
    from zhike.access import tokens
    from zhike.access.actor import Actor

    async def make(role: str, *, expires_at: datetime | None = None) -> str:
        _, secret = await tokens.create(platform.db, Actor.command("test"), role, role, expires_at=expires_at)
        return secret

    return make


@async_fixture
async def anonymous(app: Application) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the web application without a token."""
    import httpx

    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]  # two descriptions of ASGI
    async with httpx.AsyncClient(transport=transport, base_url="http://zhike") as opened:
        yield opened


@async_fixture
async def client(anonymous: httpx.AsyncClient, make_token: MakeToken) -> httpx.AsyncClient:
    """A client of the web application with an admin's token."""
    anonymous.headers["authorization"] = f"Bearer {await make_token('admin')}"
    return anonymous


@async_fixture
async def visit(app: Application) -> AsyncIterator[Visits]:
    """Logs somebody in.

    For example `await visit("viewer")`, which returns the browser of a new user of that role.
    """
    from contextlib import AsyncExitStack

    from zhike.testing.visiting import Visits

    async with AsyncExitStack() as stack:
        yield Visits(app, stack)


@pytest.fixture
def record(platform: Platform) -> Record:
    """Stores events as `POST /events` does and returns them as they are stored.

    For example `await record({"name": "order.paid", "identities": {"phone": "13800138000"}})`.
    """
    from zhike.testing import running

    return lambda *events: running.record(platform, events)


@pytest.fixture
def run_until_idle(platform: Platform) -> RunUntilIdle:
    """Does what a runner does until nothing is left; raises what consumers and jobs could not do."""
    from zhike.testing import running

    async def run(**options: Any) -> None:
        await running.run_until_idle(platform, **options)

    return run


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
