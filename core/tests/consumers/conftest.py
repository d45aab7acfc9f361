"""A log that tests write, and runners of consumers that they drive step by step."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from zhike import clock
from zhike.consumers import service
from zhike.consumers.engine import Consumers
from zhike.consumers.sequencer import Sequencer
from zhike.events.ingest import store
from zhike.events.schemas import CheckedEvent
from zhike.orm import Connection, Database
from zhike.platform import Platform, assemble, core_plugins
from zhike.settings import Settings


class Stand:
    """One database with a log; plugins are put on it as objects."""

    def __init__(self, db: Database, url: str, folder: Path) -> None:
        self.db = db
        self.url = url
        self.folder = folder
        self.sequencer = Sequencer(db)
        self._numbers = itertools.count()
        self.eras = itertools.count()
        self._opened: list[Consumers] = []

    def platform(self, *, pool_size: int = 8, hook_seconds: float | None = None, **plugins: object) -> Platform:
        assembled = assemble({**core_plugins(), **plugins}, threads=False, hook_seconds=hook_seconds)
        assert not assembled.problems
        settings = Settings(data=self.folder, database_url=self.url, locale="en", pool_size=pool_size)
        return Platform(settings=settings, db=self.db, hooks=assembled.hooks, registry=assembled.registry)

    def consumers(self, *, hook_seconds: float | None = None, **plugins: object) -> Consumers:
        made = Consumers(self.platform(hook_seconds=hook_seconds, **plugins))
        self._opened.append(made)
        return made

    async def registered(self, **plugins: object) -> Consumers:
        """Return consumers that are registered at the present end of the log."""
        made = self.consumers(**plugins)
        await self.sequencer.step()
        await made.step()
        return made

    def event(self, **values: object) -> CheckedEvent:
        number = next(self._numbers)
        usual = {
            "index": 0,
            "name": "order.paid",
            "message_id": f"m{number:07}",
            "occurred_at": clock.now() - timedelta(minutes=1),
            "identities": [("external_id", f"c{number % 10}")],
        }
        return CheckedEvent(**{**usual, **values})

    async def add(self, count: int, *, batch: int = 0, platform: Platform | None = None, **values: object) -> list[str]:
        """Store events in batches of that size, one when it is 0, and place them; return their message ids."""
        events = [self.event(**values) for _ in range(count)]
        for start in range(0, count, batch or count):
            await self.store(events[start : start + (batch or count)], platform)
        while await self.sequencer.step():
            pass
        return [event.message_id for event in events]

    async def store(self, events: Sequence[CheckedEvent], platform: Platform | None = None) -> None:
        async with self.db.transaction() as connection:
            await store(connection, events, origin="test", live=True, now=clock.now(), platform=platform)

    async def until(
        self, consumers: Consumers, done: Callable[[], Awaitable[bool]] | None = None, seconds: float = 60
    ) -> None:
        """Drive consumers until `done`, or until they are at the end of the log with nothing left to do."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            await self.sequencer.step()
            if await consumers.step():
                continue
            if await (done or self.quiet)():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"not done in {seconds} s: {await service.consumers(self.db)}")

    async def quiet(self) -> bool:
        states = await service.consumers(self.db)
        letters = await self.fetchval("SELECT count(*) FROM dead_letter WHERE replay_at IS NOT NULL")
        return not letters and not any(
            each.starting_over or (each.lag_batches and each.state == "running") for each in states
        )

    async def fetchval(self, query: str, *values: object) -> object:
        async with self.db.connection() as connection:
            return await connection.fetchval(query, *values)

    async def column(self, query: str, *values: object) -> list[object]:
        async with self.db.connection() as connection:
            return [row[0] for row in await connection.fetch(query, *values)]

    async def execute(self, query: str, *values: object) -> None:
        async with self.db.connection() as connection:
            await connection.execute(query, *values)

    async def close(self) -> None:
        for each in self._opened:
            await each.drain()


EFFECTS = "CREATE TABLE effect (consumer text, event_id bigint, message_id text, mode text)"


class Recorder:
    """A plugin that writes down each event it is given, in the order it is given them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls: list[tuple[int, str]] = []

    async def write(self, events: Sequence[object], mode: str, connection: Connection) -> None:
        self.calls.append((len(events), mode))
        rows = [(self.name, event.id, event.message_id, mode) for event in events]
        await connection.executemany("INSERT INTO effect VALUES ($1, $2, $3, $4)", rows)


@pytest_asyncio.fixture
async def stand(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stand]:
    # What is passed by is stored at once, so that the tests see it.
    monkeypatch.setattr("zhike.consumers.engine.PERSIST_SECONDS", 0.0)
    made = Stand(database, database_url, tmp_path)
    await made.execute(EFFECTS)
    yield made
    await made.close()


@pytest.fixture
def recorder() -> Callable[[str], object]:
    """Makes a plugin that records everything, `recorder("probe")`."""
    from zhike.contracts import Consumer
    from zhike.hooks import hookimpl

    class Recording(Recorder):
        def __init__(self, name: str, **contract: object) -> None:
            super().__init__(name)
            self.contract = Consumer(**contract)

        @hookimpl
        def register_consumers(self) -> list[Consumer]:
            return [self.contract]

        @hookimpl
        async def on_events_recorded(self, events, mode, work):
            await self.handle(events, mode, work)

        async def handle(self, events, mode, work):
            await self.write(events, mode, work.connection)

    return Recording
