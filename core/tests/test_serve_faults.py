"""Faults under load: processes killed, stopped and restarted, and nothing acknowledged is lost or counted twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import httpx
import psutil
import pytest
from click.testing import CliRunner

from zhike._host.cli.main import cli
from zhike._host.postgres import attach

SCALE = float(os.environ.get("ZHIKE_FAULT_SCALE", "0.1"))
BATCH = 50
CLIENTS = 8

pytestmark = [pytest.mark.faults, pytest.mark.slow]


class Installation:
    """An installation on an embedded database, and the server that runs on it.

    Args:
        data: Its folder.
    """

    def __init__(self, data: Path) -> None:
        self.environment = {"ZHIKE_DATABASE_URL": "", "ZHIKE_DATA": str(data), "ZHIKE_LOCALE": "en"}
        runner = CliRunner(env=self.environment)
        assert runner.invoke(cli, ["migrate"]).exit_code == 0
        made = runner.invoke(cli, ["token", "create", "load", "--role", "manager"])
        self.headers = {"authorization": f"Bearer {made.output.split()[-1]}"}
        self.data = data
        self.port = 0
        self.log = data.parent / "server.log"
        self.process: subprocess.Popen[str] | None = None

    def start(self, *arguments: str) -> None:
        """Start the server, on the same port each time, and wait until it is ready."""
        self.close()
        code = "from zhike._host.cli.main import main; main()"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, "serve", "--port", str(self.port), *arguments],
                env={**os.environ, **self.environment},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("ready "), line
        self.port = int(line.rpartition(":")[2])

    def web_processes(self) -> list[psutil.Process]:
        """Return the processes that serve requests, as they say themselves in the log."""
        assert self.process is not None
        lines = [json.loads(line) for line in self.log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        serving = {line["process"] for line in lines if line["message"] == "serving"}
        children = psutil.Process(self.process.pid).children()
        return [each for each in children if each.pid in serving]

    def close(self) -> None:
        """Kill what runs."""
        if self.process is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                for child in self.web_processes():
                    child.kill()
            self.process.kill()
            self.process.communicate()

    def postmaster(self) -> psutil.Process:
        """Return PostgreSQL's first process."""
        return psutil.Process(int((self.data / "postgres" / "postmaster.pid").read_text().split()[0]))


class Load:
    """Clients that post each batch again until it is acknowledged.

    Args:
        installation: Where to.
    """

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.acknowledged = 0
        self.answers: dict[int, int] = {}
        self.missing_retry_after = 0
        self.longest_gap = 0.0
        self._last: float | None = None
        self._stopping = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep posting inside the block, and finish the last batches at its end."""
        tasks = [asyncio.create_task(self._client(number)) for number in range(CLIENTS)]
        try:
            yield
        finally:
            self._stopping = True
            await asyncio.wait_for(asyncio.gather(*tasks), 60)

    async def wait_for(self, events: int) -> None:
        """Wait until that many events have been acknowledged."""
        async with asyncio.timeout(120):
            while self.acknowledged < events:  # noqa: ASYNC110  # the clients make no event of it
                await asyncio.sleep(0.01)

    async def _client(self, number: int) -> None:
        batch = 0
        async with httpx.AsyncClient(headers=self.installation.headers, timeout=30, verify=False) as client:
            while not self._stopping:
                events = [
                    {
                        "name": "app.login",
                        "message_id": f"{number}-{batch}-{event}",
                        "identities": {"external_id": f"c{(batch + event) % 500}"},
                    }
                    for event in range(BATCH)
                ]
                await self._post(client, events)
                batch += 1

    async def _post(self, client: httpx.AsyncClient, events: list[dict[str, object]]) -> None:
        while True:
            url = f"http://127.0.0.1:{self.installation.port}/api/v1/events"
            try:
                answer = await client.post(url, json={"events": events})
            except httpx.TransportError:
                await asyncio.sleep(0.02)
                continue
            self.answers[answer.status_code] = self.answers.get(answer.status_code, 0) + 1
            if answer.status_code == 200:
                result = answer.json()
                assert result["accepted"] + result["duplicate"] == BATCH, result
                self.acknowledged += BATCH
                now = time.monotonic()
                self.longest_gap = max(self.longest_gap, now - (self._last or now))
                self._last = now
                return
            self.missing_retry_after += "retry-after" not in answer.headers
            await asyncio.sleep(0.02)


async def stored(installation: Installation) -> tuple[int, int, int]:
    """Return how many events there are, how many ids they have, and how many the stats have counted."""
    with attach(installation.data) as url:
        connection = await asyncpg.connect(url)
        try:
            events, ids = await connection.fetchrow(
                "SELECT count(*), count(DISTINCT message_id) FROM event WHERE behaviour"
            )
            counted = await connection.fetchval("SELECT sum(count) FROM customer_event_stat WHERE name = '*'")
        finally:
            await connection.close()
    return events, ids, int(counted)


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path / "data")
    yield made
    made.close()


async def test_t1_postgresql_killed_under_load(installation: Installation) -> None:
    installation.start()
    load = Load(installation)
    wanted = int(100_000 * SCALE)
    async with load.running():
        await load.wait_for(wanted // 10)
        for kill in range(5):
            victim = installation.postmaster()
            victim.kill()  # its keeper starts another one, which recovers from the log
            await asyncio.to_thread(psutil.wait_procs, [victim], timeout=10)
            await load.wait_for(load.acknowledged + 2 * CLIENTS * BATCH)
            await load.wait_for(wanted * (kill + 2) // 7)
        await load.wait_for(wanted)

    events, ids, counted = await stored(installation)

    print(f"T1: {load.acknowledged} acknowledged, {events} stored, longest outage {load.longest_gap:.2f} s")
    assert events == ids == counted == load.acknowledged
    assert load.longest_gap <= 10
    assert set(load.answers) <= {200, 503}


async def test_t2_web_processes_killed_under_load(installation: Installation) -> None:
    installation.start("--web", "2")
    load = Load(installation)
    wanted = int(200_000 * SCALE)
    async with load.running():
        await load.wait_for(wanted // 10)
        for kill in range(5):
            async with asyncio.timeout(30):
                while len(victims := installation.web_processes()) < 2:  # noqa: ASYNC110  # nobody tells us
                    await asyncio.sleep(0.05)
            victims[kill % 2].kill()
            await asyncio.to_thread(psutil.wait_procs, [victims[kill % 2]], timeout=10)
            await load.wait_for(wanted * (kill + 2) // 7)
        await load.wait_for(wanted)

    events, ids, counted = await stored(installation)

    print(f"T2: {load.acknowledged} acknowledged, {events} stored, longest outage {load.longest_gap:.2f} s")
    assert events == ids == counted == load.acknowledged
    assert load.longest_gap <= 1
    assert set(load.answers) == {200}


async def test_t3_postgresql_restarted_under_load(installation: Installation) -> None:
    installation.start()
    load = Load(installation)
    wanted = int(100_000 * SCALE)
    (web,) = installation.web_processes()
    recoveries = []
    async with load.running():
        await load.wait_for(wanted // 10)
        for restart in range(3):
            before = installation.postmaster()
            before.send_signal(signal.SIGINT)  # a fast shutdown; its keeper starts it again
            psutil.wait_procs([before], timeout=10)
            async with asyncio.timeout(20):
                while not await asyncio.to_thread(accepts, installation):  # noqa: ASYNC110  # nobody tells us
                    await asyncio.sleep(0.01)
            back = time.monotonic()
            await load.wait_for(load.acknowledged + 2 * CLIENTS * BATCH)
            recoveries.append(time.monotonic() - back)
            await load.wait_for(wanted * (restart + 2) // 5)
        await load.wait_for(wanted)
    assert installation.web_processes() == [web]

    events, ids, counted = await stored(installation)

    print(f"T3: {load.acknowledged} acknowledged, {events} stored, answers {load.answers}, back in {recoveries}")
    assert events == ids == counted == load.acknowledged
    assert max(recoveries) <= 3
    assert set(load.answers) <= {200, 503}
    assert load.missing_retry_after == 0


def accepts(installation: Installation) -> bool:
    """Tell whether PostgreSQL takes connections."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        return "ready" in (installation.data / "postgres" / "postmaster.pid").read_text().split()
    return False


async def test_t19_stopped_under_load(installation: Installation) -> None:
    load = Load(installation)
    longest = 0.0
    installation.start("--web", "2")
    async with load.running():
        for stop in range(max(2, int(5 * SCALE))):
            await load.wait_for(int(20_000 * SCALE) * (stop + 1))
            began = time.monotonic()
            assert installation.process is not None
            installation.process.terminate()
            status = await asyncio.to_thread(installation.process.wait, 20)
            longest = max(longest, time.monotonic() - began)
            assert status == 0
            await asyncio.to_thread(installation.start, "--web", "2")

    events, ids, counted = await stored(installation)

    print(f"T19: {load.acknowledged} acknowledged, {events} stored, longest stop {longest:.2f} s")
    assert events == ids == counted == load.acknowledged
    assert set(load.answers) == {200}
    assert longest <= 10
