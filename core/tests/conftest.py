"""Fixtures of the core's own tests: the web application on a real database, and clients with tokens."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import pytest
from pytest_asyncio import fixture as async_fixture

from zhike.settings import Settings

if TYPE_CHECKING:
    # Imported where they are used: most tests need no web application.
    import httpx

    from zhike._host.web.app import Application
    from zhike.access.roles import Rule, Scope
    from zhike.orm import Database
    from zhike.platform import Platform
    from zhike.testing.databases import Server

MakePlatform = Callable[..., "Platform"]
MakeToken = Callable[..., Awaitable[str]]
Command = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
def plugins() -> tuple[str, ...]:
    """The core is tested by itself."""
    return ()


@pytest.fixture(autouse=True)
def _no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """No plugin of this workspace is found by the test's own process."""
    from zhike._host.plugins import discover

    ours = {f"zhike-{path.name}" for path in (Path(__file__).parents[2] / "plugins").iterdir()}
    real = discover._from_distributions
    monkeypatch.setattr(
        discover, "_from_distributions", lambda: (each for each in real() if each[0].distribution not in ours)
    )


@pytest.fixture
def make_platform(settings: Settings) -> MakePlatform:
    """Puts plugins together on a database, `make_platform(db, stamps=Stamps())`; with some of the core's nouns."""
    from zhike.access import plugin as access
    from zhike.customers import plugin as customers
    from zhike.platform import Platform, assemble

    def make(db: Database, *, announce: Callable[[str], None] = lambda topic: None, **plugins: object) -> Platform:
        assembled = assemble({"access": access, "customers": customers, **plugins})
        assert not assembled.problems
        return Platform(settings=settings, db=db, hooks=assembled.hooks, registry=assembled.registry, announce=announce)

    return make


@pytest.fixture
def command(tmp_path: Path, database_url: str) -> Command:
    """Runs `zhike` on the test's database and the ring of `platform`; returns its status and all it says."""
    from click.testing import CliRunner

    from zhike._host.cli.main import cli
    from zhike.errors import ZhikeError

    given = {"ZHIKE_DATABASE_URL": database_url, "ZHIKE_DATA": str(tmp_path), "ZHIKE_LOCALE": "en"}

    async def run(*arguments: str, **environment: str) -> tuple[int, str]:
        result = await asyncio.to_thread(CliRunner().invoke, cli, arguments, env={**given, **environment})
        error = result.exception
        assert error is None or isinstance(error, SystemExit | ZhikeError), result.exc_info
        told = error.message.render("en") if isinstance(error, ZhikeError) else ""
        return result.exit_code, result.output + told

    return run


_NONE: Mapping[str, Rule] = MappingProxyType({})


class As(Protocol):
    """Makes clients that act with a role of their own."""

    async def __call__(
        self, permissions: Mapping[str, Scope], rules: Mapping[str, Rule] = ..., *, user: int | None = None
    ) -> httpx.AsyncClient:
        """Return a client with exactly these permissions and rules, by a token of `user` or of nobody."""


@async_fixture
async def acting(app: Application, platform: Platform) -> AsyncIterator[As]:
    """Makes clients that act with roles of their own: `await acting({"customers.read": "own"}, user=1)`."""
    import httpx

    from zhike.access import own_roles, tokens, user_changes
    from zhike.access.actor import Actor
    from zhike.access.schemas import UserChange

    operator = Actor.command("test")
    async with AsyncExitStack() as stack:
        made = itertools.count()

        async def act(
            permissions: Mapping[str, Scope],
            rules: Mapping[str, Rule] = MappingProxyType({}),
            *,
            user: int | None = None,
        ) -> httpx.AsyncClient:
            name, directory = f"role-{next(made)}", platform.directory
            new = own_roles.NewRole(name=name, label=name, permissions=dict(permissions), rules=dict(rules))
            await own_roles.create(platform.db, operator, new, directory)
            if user is not None:
                await user_changes.change(platform.db, operator, user, UserChange(role=name), directory=directory)
            _, secret = await tokens.create(
                platform.db, operator, name, name, kind="admin", user_id=user, directory=directory
            )
            client = httpx.AsyncClient(
                transport=httpx.ASGITransport(app),  # type: ignore[arg-type]  # two descriptions of ASGI
                base_url="http://zhike",
                headers={"authorization": f"Bearer {secret}"},
            )
            return await stack.enter_async_context(client)

        yield act


class RedisServer:
    """A Redis of the test's own that keeps nothing on disk.

    Args:
        folder: Where it runs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        command = ["redis-server", *options, "--dir", str(self._folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, "redis-server does not start"
                time.sleep(0.02)

    def stop(self, *, kill: bool = False) -> None:
        """End it in order, or by SIGKILL."""
        if self._process is not None:
            (self._process.kill if kill else self._process.terminate)()
            self._process.wait()
            self._process = None


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A running Redis; where the program is missing the test is skipped, or fails in CI."""
    if shutil.which("redis-server") is None:
        assert not os.environ.get("CI"), "CI has no redis-server"
        pytest.skip("there is no redis-server on this machine")
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop(kill=True)


@pytest.fixture(scope="module")
def filled_url(request: pytest.FixtureRequest, database_server: Server) -> Iterator[str]:
    """The URL of a database that the module's `fill(url)` has filled; its tests leave it as it is."""
    url = database_server.create(plugins=())
    with ThreadPoolExecutor(max_workers=1) as thread:  # a module's fixture may find a loop running
        thread.submit(asyncio.run, request.module.fill(url)).result()
    yield url
    database_server.drop(url)
