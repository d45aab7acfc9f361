"""`zhike serve` as a process: how it starts, what it refuses, and how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from zhike import settings
from zhike._host.cli.main import cli
from zhike._host.order import Order
from zhike.errors import Refused


class Serving:
    """A running `zhike serve`.

    Args:
        arguments: Further arguments of the command.
        environment: Further variables.
        command: What runs instead of `serve`.
    """

    def __init__(self, *arguments: str, environment: dict[str, str], command: str = "serve") -> None:
        code = "from zhike._host.cli.main import main; main()"
        port = ("--port", "0") if command == "serve" else ()
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, command, *port, *arguments],
            env={**os.environ, "ZHIKE_LOCALE": "en", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ready(self) -> str:
        """Wait for the ready line and return the URL in it."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("ready http://127.0.0.1:"), self.process.communicate()
        return line.split()[1]

    def children(self, kind: str = "") -> list[psutil.Process]:
        """Return the processes it has started: web processes (`web`), runners (`runner`), or both."""
        found = []
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):  # it has ended meanwhile
                if any(f"zhike._host.{kind}" in part for part in child.cmdline()):
                    found.append(child)
        return found

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Send a signal and return the exit status and what else was printed."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


Serve = Callable[..., Serving]


@pytest.fixture(autouse=True)
def _no_plugins() -> None:
    """Servers find the plugins of this workspace, so the test's own process may do so too."""


@pytest.fixture
def plugins() -> None:
    """The database is ready for them, as `zhike migrate` leaves it; no server has to try them first."""


@pytest.fixture
def serve(database_url: str, tmp_path: Path) -> Iterator[Serve]:
    """Starts servers on the test's database; they are killed after the test."""
    started: list[Serving] = []

    def start(*arguments: str, command: str = "serve", **environment: str) -> Serving:
        given = {"ZHIKE_DATABASE_URL": database_url, "ZHIKE_DATA": str(tmp_path), "ZHIKE_REDIS_URL": "", **environment}
        started.append(Serving(*arguments, environment=given, command=command))
        return started[-1]

    yield start
    for serving in started:
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(serving.process.pid).children(recursive=True):
                child.kill()
        serving.process.kill()
        serving.process.communicate()


@pytest.mark.parametrize(("mode", "number"), [("--single", signal.SIGTERM), ("--web=2", signal.SIGINT)])
def test_one_ready_line_and_a_clean_end(serve: Serve, mode: str, number: int) -> None:
    serving = serve(mode)
    url = serving.ready()
    assert httpx.get(f"{url}/health/ready").json() == {"status": "ok"}
    head = httpx.head(f"{url}/health/ready")
    assert (head.status_code, head.content) == (200, b"")
    processes = [psutil.Process(serving.process.pid), *serving.children()]
    assert len(processes) == (1 if mode == "--single" else 4)
    assert len(serving.children("runner")) == (0 if mode == "--single" else 1)
    for process in processes:
        assert process.memory_info().rss < 150 * 1024 * 1024

    status, out, err = serving.stop(number)

    assert (status, out) == (0, "")
    assert {json.loads(line)["level"] for line in err.splitlines()} == {"info"}  # nobody had to be killed or cut
    assert not any(process.is_running() for process in processes)


def test_a_port_in_use_is_refused(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        serving = serve("--port", str(port))
        _, err = serving.process.communicate(timeout=60)
    assert serving.process.returncode == 1
    assert f"Port {port} is in use" in err


def test_an_unmigrated_database_is_refused(serve: Serve, empty_database_url: str) -> None:
    serving = serve(ZHIKE_DATABASE_URL=empty_database_url)
    out, err = serving.process.communicate(timeout=60)
    assert (serving.process.returncode, out) == (1, "")
    assert "zhike migrate" in err


def test_a_database_out_of_reach_is_told_without_the_password(serve: Serve) -> None:
    serving = serve(ZHIKE_DATABASE_URL="postgresql://someone:geheim@127.0.0.1:1/nothing")
    out, err = serving.process.communicate(timeout=60)
    assert (serving.process.returncode, out) == (1, "")
    assert "127.0.0.1" in err
    assert "geheim" not in err


def test_a_secret_that_is_too_short_is_refused(serve: Serve) -> None:
    serving = serve(ZHIKE_SECRET_KEY="short")
    _, err = serving.process.communicate(timeout=60)
    assert serving.process.returncode == 1
    assert "ZHIKE_SECRET_KEY" in err


HEARING = """
from datetime import UTC, datetime
from pathlib import Path

from zhike.consumers import ticker
from zhike.hooks import hookimpl

ticker.BUSY = ticker.IDLE = 3600.0

@hookimpl
async def on_events_recorded(events, mode, work):
    late = [(datetime.now(UTC) - event.recorded_at).total_seconds() for event in events if event.behaviour]
    with Path(__file__).with_suffix(".heard").open("a") as file:
        file.writelines(f"{each}\\n" for each in late)
"""
"""It looks for events once an hour, so that only wake-ups can be why it hears of them."""


@pytest.mark.parametrize(
    "carrier", ["postgres", *(pytest.param(each, marks=pytest.mark.heavy) for each in ("redis", "single"))]
)
def test_a_file_in_the_hooks_folder_hears_of_events_at_once(
    serve: Serve, database_url: str, tmp_path: Path, request: pytest.FixtureRequest, carrier: str
) -> None:
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks" / "hearing.py").write_text(HEARING)
    redis = {"ZHIKE_REDIS_URL": request.getfixturevalue("redis_server").url} if carrier == "redis" else {}
    serving = serve(*(["--single"] if carrier == "single" else []), **redis)
    url = serving.ready()
    made = run_command(database_url, tmp_path, "token", "create", "shop", "--role", "manager")
    wait_for(database_url, "SELECT EXISTS (SELECT FROM consumer_cursor WHERE consumer = 'hearing')")
    heard = tmp_path / "hooks" / "hearing.heard"
    heard.touch()
    alone = 0
    with httpx.Client(headers={"authorization": f"Bearer {made.split()[-1]}"}, base_url=url, timeout=30) as client:
        for posted in range(1, 11):
            event = {"name": "app.login", "identities": {"external_id": "c"}}
            assert client.post("/api/v1/events", json={"events": [event]}).status_code == 200
            patience = time.monotonic() + 10  # a machine may keep one waiting, but not one in three
            while len(heard.read_text().split()) < posted and time.monotonic() < patience:
                time.sleep(0.01)
            alone += len(heard.read_text().split()) == posted
            if alone == 7:
                break
    assert serving.stop()[0] == 0
    print(f"{carrier}: {posted} events are heard of after {heard.read_text().split()} s")
    assert alone == 7


def run_command(url: str, data: Path, *arguments: str) -> str:
    """Run a `zhike` command and return what it printed."""
    return subprocess.run(
        [sys.executable, "-c", "from zhike._host.cli.main import main; main()", *arguments],
        env={**os.environ, "ZHIKE_DATABASE_URL": url, "ZHIKE_DATA": str(data), "ZHIKE_REDIS_URL": ""},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_a_redis_that_cannot_be_used_is_refused(serve: Serve) -> None:
    serving = serve(ZHIKE_REDIS_URL="http://geheim")
    out, err = serving.process.communicate(timeout=60)
    assert (serving.process.returncode, out) == (1, "")
    assert "ZHIKE_REDIS_URL" in err
    assert "geheim" not in err


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "soon"])
def test_a_budget_that_is_none_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(Refused, match="ZHIKE_HOOK_SECONDS"):
        settings.load(tmp_path, {"ZHIKE_HOOK_SECONDS": value})


@pytest.mark.parametrize("value", ["XXX", "cny", "人民币", "CN"])
def test_a_currency_that_nobody_has_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(Refused, match="ZHIKE_CURRENCY"):
        settings.load(tmp_path, {"ZHIKE_CURRENCY": value})
    assert settings.load(tmp_path, {"ZHIKE_CURRENCY": "BHD"}).currency == "BHD"


def test_settings_of_hooks_and_redis(tmp_path: Path) -> None:
    usual = settings.load(tmp_path, {"ZHIKE_REDIS_URL": ""})
    assert (usual.hooks, usual.hook_seconds, usual.redis_url, usual.strict) == (tmp_path / "hooks", 30.0, None, False)
    (tmp_path / "ours").mkdir()
    given = {"ZHIKE_HOOKS": str(tmp_path / "ours"), "ZHIKE_HOOK_SECONDS": "2.5", "ZHIKE_REDIS_URL": "redis://r"}
    other = settings.load(tmp_path, given)
    assert (other.hooks, other.hook_seconds, other.redis_url) == (tmp_path / "ours", 2.5, "redis://r")
    assert Order.decode(Order(other, "postgresql://x").encode()) == Order(other, "postgresql://x")


@pytest.mark.parametrize("arguments", [("--web=2",), ("--single",)])
def test_a_strict_server_refuses_a_broken_plugin_and_says_which(
    serve: Serve, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks" / "broken.py").write_text("raise RuntimeError('geheim')")
    serving = serve("--strict", *arguments)
    out, err = serving.process.communicate(timeout=60)
    assert (serving.process.returncode, out) == (1, "")
    assert "broken.py" in err
    assert "geheim" not in err
    assert "Traceback" not in err


@pytest.mark.heavy
def test_other_plugins_have_every_process_started_anew(serve: Serve, database_url: str) -> None:
    serving = serve("--web=2")
    url = serving.ready()
    before = {child.pid for child in serving.children()}
    assert len(before) == 3

    change_plugins(database_url, 3)

    deadline = time.monotonic() + 90
    while before & {child.pid for child in serving.children()} or len(serving.children()) != 3:
        assert httpx.get(f"{url}/health/live", timeout=20).status_code == 200
        assert time.monotonic() < deadline
        time.sleep(0.05)
    until_ready(url)
    status, _, err = serving.stop()
    assert status == 0
    assert err.count("restarts with other plugins") == 3
    assert {json.loads(line)["level"] for line in err.splitlines()} == {"info"}


@pytest.mark.heavy
def test_a_new_file_comes_to_all_processes_when_one_of_them_dies(
    serve: Serve, database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "hooks").mkdir()
    serving = serve("--web=2")
    serving.ready()
    (tmp_path / "hooks" / "hearing.py").write_text(HEARING)
    wait_for(database_url, "SELECT count(*) = 3 FROM process")
    serving.children("web")[0].kill()
    wait_for(
        database_url,
        "SELECT count(*) = 3 AND bool_and(plugins ? 'hearing') AND count(DISTINCT plugins) = 1 FROM process"
        " WHERE generation = (SELECT generation FROM plugin_generation)",
    )
    assert serving.stop()[0] == 0


def wait_for(url: str, question: str) -> None:
    """Ask the database until it says yes."""
    import asyncio

    import asyncpg

    async def wait() -> None:
        connection = await asyncpg.connect(url)
        async with asyncio.timeout(60):
            while not await connection.fetchval(question):  # noqa: ASYNC110  # nobody tells us
                await asyncio.sleep(0.05)
        await connection.close()

    asyncio.run(wait())


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_a_single_process_asks_for_another_start_when_plugins_change(
    serve: Serve, database_url: str, command: str
) -> None:
    serving = serve("--single", command=command)
    if command == "serve":
        serving.ready()
    else:
        assert serving.process.stdout is not None
        assert serving.process.stdout.readline() == "ready worker\n"
    change_plugins(database_url, 1)
    serving.process.communicate(timeout=60)
    assert serving.process.returncode == 75


def change_plugins(url: str, processes: int) -> None:
    """When so many processes run, make their set of plugins an old one, as switching a plugin on or off does."""
    import asyncio

    import asyncpg

    from zhike.plugins import service

    async def change() -> None:
        connection = await asyncpg.connect(url)
        async with asyncio.timeout(60):
            count = "SELECT count(*) FROM process"
            while await connection.fetchval(count) < processes:  # noqa: ASYNC110  # nobody tells us
                await asyncio.sleep(0.05)
        await service.bump(connection)
        await connection.close()

    asyncio.run(change())


def until_ready(url: str) -> None:
    """Wait until a server answers that it is ready."""
    deadline = time.monotonic() + 60
    while httpx.get(f"{url}/health/ready", timeout=20).status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_web_processes_that_cannot_start_end_the_server(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "uvloop.py").write_text("raise ImportError('broken on purpose')")
    serving = serve(PYTHONPATH=str(tmp_path))
    out, err = serving.process.communicate(timeout=60)
    assert (serving.process.returncode, out) == (1, "")
    assert "ended before it was ready" in err


@pytest.mark.heavy
def test_all_processes_end_with_a_supervisor_that_is_killed(serve: Serve) -> None:
    serving = serve("--web=2", "--runner=2")
    url = serving.ready()
    children = serving.children()
    assert len(children) == 4

    serving.process.kill()

    deadline = time.monotonic() + 60
    while any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health/live")


ORPHAN = """
import asyncio
import uvloop
from zhike._host.order import receive, when_orphaned

async def main():
    calls, called = [], asyncio.Event()
    when_orphaned(lambda: (calls.append(1), called.set()))
    await called.wait()
    for _ in range(100):  # what it has begun it still finishes
        await asyncio.sleep(0)
    print(len(calls))

uvloop.run(main()) if receive() else print("no order")
"""


def test_a_process_is_told_once_that_its_supervisor_is_gone(tmp_path: Path) -> None:
    order = Order(settings.load(tmp_path), "postgresql://nowhere").encode()
    for given, said in ((order, b"1\n"), (b"", b"no order\n")):
        ended = subprocess.run([sys.executable, "-c", ORPHAN], input=given, capture_output=True, check=True, timeout=60)
        assert ended.stdout == said


def test_the_key_file_is_the_owners_alone_and_stays(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "secret.key"
    kept = None
    for _ in range(2):
        serving = serve("--single")
        serving.ready()
        assert file.stat().st_mode & 0o777 == 0o600
        kept = kept or file.read_text()
        assert file.read_text() == kept
        serving.stop()


def test_a_second_server_on_one_folder_is_refused_and_commands_attach(tmp_path: Path) -> None:
    from click.testing import CliRunner

    environment = {"ZHIKE_DATABASE_URL": "", "ZHIKE_DATA": str(tmp_path / "data"), "ZHIKE_LOCALE": "en"}
    runner = CliRunner(env=environment)
    assert runner.invoke(cli, ["migrate"]).exit_code == 0
    serving = Serving(environment=environment)
    try:
        url = serving.ready()
        second = Serving(environment=environment)
        _, err = second.process.communicate(timeout=60)
        assert second.process.returncode == 1
        assert "already runs" in err
        secret = runner.invoke(cli, ["token", "create", "shop", "--role", "viewer"]).output.split()[-1]
        answer = httpx.get(f"{url}/api/v1/customers", headers={"authorization": f"Bearer {secret}"})
        assert answer.json() == {"items": [], "next": None}
        status, out, err = serving.stop()
        assert (status, out) == (0, "")
    finally:
        serving.process.kill()
        serving.process.communicate()
