"""A server under load, for tests that hurt it: an installation, a plugin that counts its effects, and clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, NamedTuple

import asyncpg
import httpx
import psutil

from zhike._host.database import attach

BATCH = 50
CLIENTS = 8
TICK = 0.01
PROBE = """
from datetime import timedelta

from zhike.contracts import Consumer, Job
from zhike.hooks import hookimpl

async def note(items, work):
    rows = [(item.payload["event"],) for item in items]
    await work.connection.executemany("INSERT INTO probe_noted (event_id) VALUES ($1)", rows)

async def see(events, work):
    rows = [(event.id,) for event in events]
    await work.connection.executemany("INSERT INTO probe_seen (event_id) VALUES ($1)", rows)
    for event in events:
        due = work.now + timedelta(seconds=event.id % 3) if event.id % 10 == 0 else None
        work.enqueue("probe.note", {"event": event.id}, key=f"e{event.id}", due_at=due, cause=event)

@hookimpl
def register_jobs():
    return [Job(name="probe.note", run=note, batch=50)]

@hookimpl
def register_consumers():
    return [Consumer(events=("app.login",))]

@hookimpl
async def on_events_recorded(events, mode, work):
    await see(events, work)
"""
"""A plugin with two effects of each event, one at once and one by a job, a tenth of them timed; no unique keys hide
what happens twice."""
TABLES = "CREATE TABLE probe_seen (event_id bigint NOT NULL); CREATE TABLE probe_noted (event_id bigint NOT NULL)"


class Installation:
    """An installation on an embedded database, and the server that runs on it.

    Args:
        data: Its folder.
        plugin: Source of a plugin `probe`, or None for none.
        environment: Further variables.
    """

    def __init__(self, data: Path, plugin: str | None = None, **environment: str) -> None:
        self.environment = {
            "ZHIKE_DATABASE_URL": "",
            "ZHIKE_DATA": str(data),
            "ZHIKE_LOCALE": "en",
            "ZHIKE_REDIS_URL": "",
            **environment,
        }
        self.data = data
        self.port = 0
        self.log = data.parent / "server.log"
        self.process: subprocess.Popen[str] | None = None
        self._run("migrate")
        if plugin is not None:
            (data / "hooks").mkdir()
            (data / "hooks" / "probe.py").write_text(plugin)
            with ThreadPoolExecutor(1) as thread:  # the caller may be in an event loop
                thread.submit(asyncio.run, _execute(data, TABLES)).result()
        secret = self._run("token", "create", "load", "--role", "manager").split()[-1]
        self.headers = {"authorization": f"Bearer {secret}"}

    def popen(self, *arguments: str, stderr: IO[str] | int | None = None) -> subprocess.Popen[str]:
        """Start a `zhike` command."""
        code = "from zhike._host.cli.main import main; main()"
        environment = {**os.environ, **self.environment}
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True)

    def _run(self, *arguments: str) -> str:
        """Run a `zhike` command and return what it printed."""
        process = self.popen(*arguments)
        printed, _ = process.communicate()
        assert process.returncode == 0, arguments
        return printed

    def start(self, *arguments: str) -> None:
        """Start the server, on the same port each time, and wait until it is ready."""
        self.close()
        with self.log.open("w") as log:
            self.process = self.popen("serve", "--port", str(self.port), *arguments, stderr=log)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("ready "), line
        self.port = int(line.rpartition(":")[2])

    def web_processes(self) -> list[psutil.Process]:
        """Return the processes that serve requests."""
        return self._processes("serving")

    def runners(self) -> list[psutil.Process]:
        """Return the processes that give events to plugins and do jobs."""
        return self._processes("working")

    def _processes(self, message: str) -> list[psutil.Process]:
        """Return the children that have said so in the log."""
        assert self.process is not None
        told = {line["process"] for line in self.logged() if line["message"] == message}
        return [each for each in psutil.Process(self.process.pid).children() if each.pid in told]

    def logged(self) -> list[dict[str, Any]]:
        """Return what the server has logged."""
        lines = self.log.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]

    def close(self) -> None:
        """Kill what runs."""
        if self.process is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                for child in psutil.Process(self.process.pid).children():
                    child.kill()
            self.process.kill()
            self.process.communicate()

    def postmaster(self) -> psutil.Process:
        """Return PostgreSQL's first process."""
        return psutil.Process(int((self.data / "postgres" / "postmaster.pid").read_text().split()[0]))


class Load:
    """Clients that post each batch again until it is acknowledged.

    Its clock, `seconds`, stands still while the machine gives the clients no time: what others do to a busy machine
    is no outage of the server.

    Args:
        installation: Where to.
    """

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.acknowledged = 0
        self.answers: dict[int, int] = {}
        self.missing_retry_after = 0
        self.seconds = 0.0
        self.longest_gap = 0.0
        self._last: float | None = None
        self._stopping = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep posting inside the block, and finish the last batches at its end."""
        clock = asyncio.create_task(self._tick())
        tasks = [asyncio.create_task(self._client(number)) for number in range(CLIENTS)]
        try:
            yield
        finally:
            self._stopping = True
            await asyncio.wait_for(asyncio.gather(*tasks), 60)
            clock.cancel()

    async def _tick(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(TICK)
            self.seconds += min(time.monotonic() - began, 5 * TICK)

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
                if self._last is not None:
                    self.longest_gap = max(self.longest_gap, self.seconds - self._last)
                self._last = self.seconds
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


class Effects(NamedTuple):
    """What the plugin's two effects of each event have come to: how many in all, and of how many events.

    Args:
        seen: Effects of its consumer.
        seen_events: Events with such an effect.
        noted: Effects of its jobs.
        noted_events: Events with such an effect.
    """

    seen: int
    seen_events: int
    noted: int
    noted_events: int

    def are(self, events: int) -> bool:
        """Tell whether each of so many events has had each effect exactly once."""
        return set(self) == {events}


async def effects(url: str) -> Effects:
    """Count the plugin's effects."""
    connection = await asyncpg.connect(url)
    try:
        return Effects(
            *await connection.fetchrow(
                "SELECT s.*, n.* FROM (SELECT count(*), count(DISTINCT event_id) FROM probe_seen) s,"
                " (SELECT count(*), count(DISTINCT event_id) FROM probe_noted) n"
            )
        )
    finally:
        await connection.close()


async def all_done(installation: Installation, events: int, seconds: float) -> float:
    """Wait until each of so many events has had its effects, and return the seconds it took, as `Load` counts them."""
    took, looked = 0.0, time.monotonic()
    with attach(installation.data) as url:
        while not (count := await effects(url)).are(events):
            assert max(count.seen, count.noted) <= events, f"{count} of {events}: something happened twice"
            assert took < seconds, f"{count} of {events} after {seconds} s"
            await asyncio.sleep(2 * TICK)
            now = time.monotonic()
            took, looked = took + min(now - looked, 20 * TICK), now
    return took


async def _execute(data: Path, statements: str) -> None:
    with attach(data) as url:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(statements)
        finally:
            await connection.close()
