"""Faults under a runner: Redis, PostgreSQL and plugins fail, and each effect of each event happens exactly once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest

from under_load import PROBE, Installation, Load, all_done, effects
from zhike._host.database import attach

if TYPE_CHECKING:
    from conftest import RedisServer

SCALE = float(os.environ.get("ZHIKE_FAULT_SCALE", "0.1"))
TICK = 1.0
"""Seconds within which work is found without any wake-up."""

pytestmark = [pytest.mark.faults, pytest.mark.slow]
Make = Callable[..., Installation]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes an installation with a plugin; what runs there is killed after the test."""
    made: list[Installation] = []

    def installation(plugin: str = PROBE, **environment: str) -> Installation:
        made.append(Installation(tmp_path / "data", plugin, **environment))
        return made[-1]

    yield installation
    for each in made:
        each.close()


async def one_runner(installation: Installation) -> psutil.Process:
    """Wait until the runner works, and return it."""
    async with asyncio.timeout(30):
        while not (found := installation.runners()):  # noqa: ASYNC110  # nobody tells us
            await asyncio.sleep(0.05)
    return found[0]


@pytest.mark.heavy
async def test_t5_redis_fails_under_load(make: Make, redis_server: RedisServer) -> None:
    installation = make(ZHIKE_REDIS_URL=redis_server.url)
    installation.start()
    runner = await one_runner(installation)
    load = Load(installation)
    wanted = int(10_000 * SCALE)

    def restart() -> None:
        redis_server.stop()
        redis_server.start()

    def kill() -> None:
        redis_server.stop(kill=True)
        redis_server.start()

    def flush() -> None:
        with socket.create_connection(("127.0.0.1", redis_server.port)) as connection:
            connection.sendall(b"FLUSHALL\r\n")
            assert connection.recv(64) == b"+OK\r\n"

    async with load.running():
        for number, fault in enumerate((restart, kill, flush) * 2, start=1):
            await load.wait_for(wanted * number // 7)
            await asyncio.to_thread(fault)
        await load.wait_for(wanted)
    took = await all_done(installation, load.acknowledged, 60)

    print(
        f"T5: {load.acknowledged} events, each with two effects, done {took:.2f} s after the load, "
        f"answers {load.answers}"
    )
    # A tenth of the jobs are timers of up to two seconds.
    assert took <= 2 + TICK + 5
    assert set(load.answers) == {200}
    assert installation.runners() == [runner]


@pytest.mark.heavy
async def test_t6_redis_is_absent(make: Make, redis_server: RedisServer) -> None:
    installation = make(ZHIKE_REDIS_URL=redis_server.url)
    installation.start()
    runner = await one_runner(installation)
    load = Load(installation)
    redis_server.stop(kill=True)
    async with load.running():
        while load.seconds < 60 * SCALE:  # noqa: ASYNC110  # a length of time is what is wanted
            await asyncio.sleep(0.05)
        absent = load.acknowledged
        redis_server.start()
        await load.wait_for(absent + 500)
    took = await all_done(installation, load.acknowledged, 60)

    print(
        f"T6: {absent} events taken in {60 * SCALE:.0f} s without Redis, answers {load.answers}, "
        f"longest gap {load.longest_gap:.2f} s, all done {took:.2f} s after the load"
    )
    assert absent > 0
    assert set(load.answers) == {200}
    assert load.longest_gap <= 1
    assert installation.runners() == [runner]


async def test_t3_postgresql_restarted_under_consumers_and_jobs(make: Make) -> None:
    installation = make()
    installation.start()
    runner = await one_runner(installation)
    load = Load(installation)
    wanted = int(50_000 * SCALE)
    async with load.running():
        for number, how in enumerate((signal.SIGINT, signal.SIGKILL, signal.SIGINT), start=1):
            await load.wait_for(wanted * number // 4)
            before = installation.postmaster()
            before.send_signal(how)  # its keeper starts another one
            await asyncio.to_thread(psutil.wait_procs, [before], timeout=10)
        await load.wait_for(wanted)
    took = await all_done(installation, load.acknowledged, 60)

    print(f"T3: {load.acknowledged} events, each with two effects, done {took:.2f} s after the load")
    assert set(load.answers) <= {200, 503}
    assert installation.runners() == [runner]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own that is soon full."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256m,mode=755", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mount.returncode:
        pytest.skip("this machine does not let us mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.heavy
async def test_t18_the_disk_is_full(small_disk: Path) -> None:
    installation = Installation(small_disk / "data", PROBE)
    installation.log = small_disk.parent / "server.log"
    try:
        installation.start()
        runner = await one_runner(installation)
        load = Load(installation)
        ballast = small_disk / "ballast"
        async with load.running():
            await load.wait_for(500)
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                while file.write(b"0" * 65536):
                    pass
            async with asyncio.timeout(120):
                while not load.answers.get(503):  # noqa: ASYNC110  # the clients make no event of it
                    await asyncio.sleep(0.05)
            await asyncio.sleep(3)
            ballast.unlink()
            await load.wait_for(load.acknowledged + 500)
        took = await all_done(installation, load.acknowledged, 60)
        print(f"T18: {load.acknowledged} events around a full disk, answers {load.answers}, done {took:.2f} s after")
        assert set(load.answers) == {200, 503}
        assert load.missing_retry_after == 0
        assert installation.runners() == [runner]
    finally:
        installation.close()


POISON = (
    PROBE
    + """
@hookimpl
async def on_events_recorded(events, mode, work):
    await see(events, work)
    while any(event.properties.get("poison") for event in events):
        pass
"""
)


@pytest.mark.heavy
async def test_a_plugin_that_blocks_the_runner_has_it_replaced_and_the_rest_goes_on(make: Make) -> None:
    installation = make(POISON, ZHIKE_HOOK_SECONDS="0.5")
    installation.start()
    first = await one_runner(installation)
    events = [
        {
            "name": "app.login",
            "message_id": f"m{n}",
            "identities": {"external_id": "c1"},
            "properties": {"poison": n == 20},
        }
        for n in range(40)
    ]
    url = f"http://127.0.0.1:{installation.port}/api/v1"
    async with httpx.AsyncClient(headers=installation.headers, timeout=30) as client:
        assert (await client.post(f"{url}/events", json={"events": events})).status_code == 200
        took = await all_done(installation, 39, 120)
        assert (await client.get(f"{url}/customers")).status_code == 200
    blocked = [line for line in installation.logged() if line["level"] == "critical"]
    ended = [line for line in installation.logged() if "ended with status 70" in line["message"]]
    with attach(installation.data) as database:
        assert (await effects(database)).seen_events == 39
    print(f"watchdog: {len(ended)} runners replaced, the other 39 of 40 events done after {took:.1f} s")
    for line in blocked:
        assert "by probe in" in line["message"]
        assert "probe.py:" in line["message"]
    assert 1 <= len(ended) == len(blocked)
    assert installation.runners() != [first]


def test_runners_that_cannot_start_never_take_the_web_down(make: Make) -> None:
    installation = make()
    broken = installation.data.parent / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        "import sys\nif 'zhike._host.runner.main' in sys.orig_argv: raise SystemExit('broken on purpose')\n"
    )
    installation.environment["PYTHONPATH"] = str(broken)
    installation.start()
    deadline = time.monotonic() + 90
    while installation.log.read_text().count("ended with status 1") < 4:
        assert time.monotonic() < deadline, installation.log.read_text()
        time.sleep(0.05)
    assert httpx.get(f"http://127.0.0.1:{installation.port}/health/ready").status_code == 200
    assert installation.process is not None
    installation.process.terminate()
    assert installation.process.wait(timeout=60) == 0


def test_further_runners_beside_a_server_work_and_end_in_order(make: Make) -> None:
    installation = make()
    installation.start("--runner", "0")
    assert installation.runners() == []
    worker = installation.popen("worker", "--processes", "2", stderr=subprocess.PIPE)
    try:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready worker\n"
        children = psutil.Process(worker.pid).children()
        assert len(children) == 2
        for child in children:
            assert child.memory_info().rss < 150 * 1024 * 1024
        event = {"name": "app.login", "message_id": "m", "identities": {"external_id": "c"}}
        url = f"http://127.0.0.1:{installation.port}/api/v1/events"
        assert httpx.post(url, json={"events": [event]}, headers=installation.headers).status_code == 200
        asyncio.run(all_done(installation, 1, 60))
        worker.terminate()
        _, log = worker.communicate(timeout=60)
        assert worker.returncode == 0
        assert {json.loads(line)["level"] for line in log.splitlines()} == {"info"}, log
    finally:
        worker.kill()
        worker.communicate()
