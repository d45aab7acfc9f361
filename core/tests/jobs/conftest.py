"""A database with jobs, plugins made of functions, and worker processes that tests may kill."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from zhike import clock
from zhike.contracts import Job, Schedule
from zhike.hooks import hookimpl
from zhike.jobs import sql
from zhike.jobs.schedules import Schedules
from zhike.jobs.sql import JobRow
from zhike.jobs.worker import JobWorker
from zhike.orm import Database
from zhike.platform import Platform, assemble, core_plugins
from zhike.settings import Settings
from zhike.work import begin


class Probe:
    """A plugin with the jobs and schedules of a test."""

    def __init__(self, jobs: Sequence[Job], schedules: Sequence[Schedule]) -> None:
        self._jobs = jobs
        self._schedules = schedules

    @hookimpl
    def register_jobs(self) -> Sequence[Job]:
        """Register the jobs."""
        return self._jobs

    @hookimpl
    def register_schedules(self) -> Sequence[Schedule]:
        """Register the schedules."""
        return self._schedules


class Stand:
    """One database, and workers on it."""

    def __init__(self, db: Database, url: str, folder: Path) -> None:
        self.db = db
        self.url = url
        self.folder = folder
        self.announced: list[str] = []
        self.loops: list[asyncio.Task[None]] = []

    def platform(self, *jobs: Job, schedules: Sequence[Schedule] = (), timezone: str = "Asia/Shanghai") -> Platform:
        """Return a platform on which a plugin has registered these."""
        assembled = assemble({**core_plugins(), "probe": Probe(jobs, schedules)}, threads=False)
        assert not assembled.problems
        for name in [name for name in assembled.registry.schedules if not name.startswith("probe.")]:
            del assembled.registry.schedules[name]  # the core's own would run beside those of the tests
        return Platform(
            settings=Settings(data=self.folder, database_url=self.url, locale="en", timezone=timezone),
            db=self.db,
            hooks=assembled.hooks,
            registry=assembled.registry,
            announce=self.announced.append,
        )

    def worker(self, *jobs: Job, **options: Any) -> JobWorker:
        """Return a worker for these jobs."""
        return JobWorker(self.platform(*jobs), **options)

    def schedules(self, *schedules: Schedule, jobs: Sequence[Job] = (), **options: Any) -> Schedules:
        """Return the loop of these schedules, as in a new process."""
        return Schedules(self.platform(*(jobs or [tell([])]), schedules=schedules, **options))

    def run(self, loop: JobWorker | Schedules) -> asyncio.Task[None]:
        """Let a loop run until the test ends."""
        task = asyncio.create_task(loop.run())
        self.loops.append(task)
        return task

    async def add(self, name: str, payloads: Sequence[object] = ({},), **columns: Any) -> None:
        """Store jobs as a unit of work does."""
        usual: dict[str, Any] = {
            "queue": "default",
            "key": None,
            "customer_id": None,
            "priority": 1,
            "due_at": clock.now(),
            "origin": "system",
            "plugin": "probe",
            "causation_id": None,
            "depth": 0,
            "live": True,
        }
        rows = [
            JobRow(**{**usual, "name": name, "payload": msgspec.json.encode(each).decode(), **columns})
            for each in payloads
        ]
        for start in range(0, len(rows), 5000):
            async with self.db.transaction() as connection:
                await sql.insert(connection, rows[start : start + 5000])

    async def enqueue(self, platform: Platform, *arguments: Any, **options: Any) -> None:
        """Enqueue one job in a unit of work of its own."""
        async with begin(platform, origin="user:7", plugin="probe") as work:
            work.enqueue(*arguments, **options)

    async def rows(self, what: str = "*", where: str = "true") -> list[Any]:
        """Return the stored jobs by id; single values if `what` is one column."""
        async with self.db.connection() as connection:
            rows = await connection.fetch(f"SELECT {what} FROM job WHERE {where} ORDER BY id")
        return [row[0] for row in rows] if rows and len(rows[0]) == 1 else rows

    async def execute(self, statement: str, *arguments: object) -> None:
        """Run a statement behind everybody's back."""
        async with self.db.connection() as connection:
            await connection.execute(statement, *arguments)

    async def shift(self, **duration: float) -> None:
        """Move all leases back, as if so much time had passed for the database."""
        await self.execute("UPDATE job SET leased_until = leased_until - $1::interval", timedelta(**duration))

    async def until(self, condition: Callable[[], Awaitable[bool]] | Callable[[], bool], seconds: float = 60) -> None:
        """Wait until something holds."""
        ends = time.monotonic() + seconds
        while True:
            held = condition()
            if held if isinstance(held, bool) else await held:
                return
            assert time.monotonic() < ends, "it did not come about"
            await asyncio.sleep(0.01)

    async def empty(self) -> bool:
        """Say whether all jobs are done or have failed."""
        return not await self.rows("id", "state = 'ready'")


def tell(told: list[Any], name: str = "probe.tell", **options: Any) -> Job:
    """Return a job that adds its payloads to a list."""

    async def run(items: Sequence[Any], *_: object) -> None:
        told.extend(item.payload for item in items)

    return Job(name=name, run=run, **options)


def effect(name: str = "probe.effect", **options: Any) -> Job:
    """Return a job that writes its payload's `n` into the table `effect`; see `process.py`."""

    async def run(items: Sequence[Any], work: Any) -> None:
        for item in items:
            if item.payload.get("poison"):
                raise ValueError(f"the phone is {item.payload}")
        numbers = [item.payload["n"] for item in items]
        await work.connection.execute("INSERT INTO effect SELECT unnest($1::bigint[])", numbers)

    return Job(name=name, run=run, **options)


class Workers:
    """Worker processes, which end in every way."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.processes: list[subprocess.Popen[bytes]] = []
        self.ended: list[int] = []

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start one."""
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "process.py"), self.url, *arguments], stdout=subprocess.PIPE
        )
        self.processes.append(process)
        return process

    def replace_ended(self, *arguments: str) -> None:
        """Start a new one for each that has ended, as a supervisor does."""
        for process in list(self.processes):
            if (status := process.poll()) is not None:
                self.drop(process)
                self.ended.append(status)
                self.start(*arguments)

    def drop(self, process: subprocess.Popen[bytes]) -> None:
        """Kill one and forget it."""
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
        self.processes.remove(process)

    def stop(self) -> None:
        """Kill all."""
        for process in list(self.processes):
            self.drop(process)


@pytest_asyncio.fixture
async def stand(database: Database, database_url: str, tmp_path: Path) -> AsyncIterator[Stand]:
    """A database with jobs; loops that were begun end with the test."""
    made = Stand(database, database_url, tmp_path)
    await made.execute("CREATE TABLE effect (n bigint)")
    yield made
    for task in made.loops:
        task.cancel()
    if made.loops:
        await asyncio.wait(made.loops)


@pytest.fixture
def workers(database_url: str) -> Any:
    """Worker processes on the test's database; killed with the test."""
    made = Workers(database_url)
    yield made
    made.stop()


def at(*moment: int) -> datetime:
    """Return an instant in UTC."""
    return datetime(*moment, tzinfo=UTC)  # type: ignore[misc,arg-type]  # year, month, day, hour, minute


HELPERS: Mapping[str, Any] = {"at": at, "effect": effect, "tell": tell}


@pytest.fixture
def make() -> Any:
    """Functions that tests share: `make.tell`, `make.effect`, `make.at`."""
    return type("Make", (), {name: staticmethod(helper) for name, helper in HELPERS.items()})
