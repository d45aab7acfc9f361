"""Fixtures of the core's own tests: the web application on a real database, and clients with tokens."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from zhike.settings import Settings

if TYPE_CHECKING:
    # Imported where they are used: most tests need no web application.

    from zhike.orm import Database
    from zhike.platform import Platform
    from zhike.testing.databases import Server

MakePlatform = Callable[..., "Platform"]
MakeToken = Callable[..., Awaitable[str]]


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
