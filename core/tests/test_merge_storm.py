"""Merges and their undoing at the same time as each other, as ingest and as the end of processes."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from zhike import clock, wire
from zhike.access.actor import Actor
from zhike.customers import settling
from zhike.customers.merging import MergeRequest, merge
from zhike.customers.unmerge import unmerge
from zhike.errors import Conflict, Unavailable
from zhike.events import service
from zhike.events.decode import decode_events
from zhike.events.ingest import store
from zhike.jobs.worker import JobWorker
from zhike.platform import Platform
from zhike.work import Work, begin

SCALE = float(os.environ.get("ZHIKE_FAULT_SCALE") or 0.1)
ACTOR = Actor.command("test")
STATS = """
WITH rebuilt AS (
  SELECT customer_id, coalesce(name, '*') AS name, coalesce(currency, '') AS currency, count(*),
    coalesce(sum(amount), 0)::bigint, min(occurred_at), max(occurred_at)
  FROM event WHERE behaviour GROUP BY GROUPING SETS ((customer_id, name, currency), (customer_id, currency))
)
(SELECT * FROM rebuilt EXCEPT SELECT * FROM customer_event_stat)
UNION ALL (SELECT * FROM customer_event_stat EXCEPT SELECT * FROM rebuilt)
"""
# Whose an event or an identity is follows from its home.
ASTRAY = """
WITH RECURSIVE chain AS (
  SELECT id AS home_id, id, merged_into FROM customer
  UNION ALL
  SELECT chain.home_id, c.id, c.merged_into FROM chain JOIN customer AS c ON c.id = chain.merged_into
), root AS (SELECT home_id, id FROM chain WHERE merged_into IS NULL)
SELECT 'event' FROM event JOIN root ON home_id = home_customer_id WHERE customer_id <> root.id
UNION ALL
SELECT 'identity' FROM identity JOIN root ON home_id = home_customer_id WHERE customer_id <> root.id
"""

UNDOABLE = """
SELECT m.merge_id FROM customer_merge AS m JOIN customer AS c ON c.id = m.winner_id
WHERE m.unmerged_at IS NULL AND c.merged_into IS NULL ORDER BY random() LIMIT 1
"""


class Storm:
    """Customers known by `e0`, `e1` … to whom much happens at once.

    Args:
        platform: Where they are.
    """

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.stored = 0

    async def put(self, *identities: dict[str, str]) -> None:
        """Store an event for each set of identities."""
        events = [{"name": "page.view", "identities": each, "amount": 3} for each in identities]
        done = await again(lambda: service.record(self.platform, events, origin="token:1"))
        assert (done.accepted, done.rejected) == (len(events), [])
        self.stored += len(events)

    async def merge(self, winner: int, loser: int) -> int | None:
        """Merge two customers; None if they are one already."""

        async def attempt() -> int:
            async with begin(self.platform, origin=ACTOR.origin) as work:
                return (await merge(work, ACTOR, MergeRequest(winner=winner, losers=[loser])))[0]

        try:
            return int(await again(attempt))
        except Conflict:
            return None

    async def unmerge(self, merge_id: int) -> bool:
        """Undo a merge; false if that cannot be."""

        async def attempt() -> bool:
            async with begin(self.platform, origin=ACTOR.origin) as work:
                await unmerge(work, ACTOR, merge_id)
            return True

        try:
            return bool(await again(attempt))
        except Conflict:
            return False

    async def fetch(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        async with self.platform.db.connection() as connection:
            return list(await connection.fetch(sql, *values))

    async def settle(self) -> None:
        """Do all jobs."""
        worker = JobWorker(self.platform)
        while await worker.step():
            pass

    async def check(self) -> None:
        """See that nothing is lost, doubled or with the wrong customer."""
        assert await self.fetch("SELECT count(*)::int FROM event WHERE behaviour") == [(self.stored,)]
        assert await self.fetch(ASTRAY) == []
        assert await self.fetch(STATS) == []
        assert await self.fetch("SELECT FROM customer_settling") == []
        assert await self.fetch("SELECT FROM customer WHERE settling") == []
        assert await self.fetch("SELECT last_error FROM job") == []


async def again(attempt: Callable[[], Awaitable[Any]]) -> Any:
    """Do something until nobody else is in its way, as whoever sends a request does."""
    while True:
        try:
            return await attempt()
        except Unavailable:
            await asyncio.sleep(random.uniform(0, 0.05))


@pytest.fixture
def storm(make_platform: Any, database: Any) -> Storm:
    return Storm(make_platform(database))


async def deadlocks(storm: Storm) -> int:
    await storm.fetch("SELECT pg_stat_clear_snapshot()")
    [row] = await storm.fetch("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    return int(row[0])


async def ids_of(storm: Storm) -> list[int]:
    return [row[0] for row in await storm.fetch("SELECT id FROM customer ORDER BY id")]


@pytest.mark.heavy
@pytest.mark.timeout(1200)
async def test_a_storm_of_merges(storm: Storm, monkeypatch: pytest.MonkeyPatch) -> None:
    """T13: merges and their undoing while events come in for the same customers, some large enough for a job."""
    monkeypatch.setattr(settling, "CHUNK", 20)
    merges, people = int(1000 * SCALE), max(30, int(300 * SCALE))
    await storm.put(*({"external_id": f"e{n}", "device_id": f"d{n}"} for n in range(people)))
    for n in range(0, people, 4):
        await storm.put(*[{"external_id": f"e{n}"}] * 50)
    ids = await ids_of(storm)
    done: list[int] = []
    merging = True

    async def come() -> None:
        while merging:
            names = [random.randrange(people) for _ in range(8)]
            kinds = [("external_id", "e"), ("device_id", "d"), ("anonymous_id", "a")]
            await storm.put(*({kind: f"{letter}{n}"} for n in names for kind, letter in [random.choice(kinds)]))
            n = random.randrange(people)
            await storm.put({"external_id": f"e{n}", "anonymous_id": f"a{n}"})

    async def join() -> None:
        while len(done) < merges:
            merge_id = await storm.merge(*random.sample(ids, 2))
            if merge_id is not None:
                done.append(merge_id)
            # Else all would soon be one.
            if merge_id is None or random.random() < 0.9:
                for row in await storm.fetch(UNDOABLE):
                    await storm.unmerge(row["merge_id"])

    worker = JobWorker(storm.platform, tick=0.01)
    running = asyncio.create_task(worker.run())
    coming = [asyncio.create_task(come()) for _ in range(2)]
    try:
        async with asyncio.timeout(1000):
            await asyncio.gather(*(join() for _ in range(3)))
    finally:
        merging = False
        await asyncio.gather(*coming)
        await worker.drain()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    await storm.settle()
    await storm.check()
    assert await deadlocks(storm) == 0
    assert len(done) >= merges
    # Those that events made are undone like the others, so that more than `merges` can be.
    undone = await storm.fetch("SELECT FROM customer_merge WHERE unmerged_at IS NOT NULL")
    assert len(undone) > merges // 10


async def test_two_into_each_other_and_a_merge_beside_its_undoing(storm: Storm) -> None:
    await storm.put(*({"external_id": f"e{n}"} for n in range(2)))
    one, two = await ids_of(storm)
    for _ in range(max(8, int(80 * SCALE))):
        merge_ids = await asyncio.gather(storm.merge(one, two), storm.merge(two, one))
        assert sorted(merge_id is None for merge_id in merge_ids) == [False, True]
        [merge_id] = [each for each in merge_ids if each is not None]
        results = await asyncio.gather(
            storm.unmerge(merge_id), storm.unmerge(merge_id), storm.merge(one, two), storm.put({"external_id": "e1"})
        )
        assert sorted(results[:2]) == [False, True]
        if results[2] is not None:
            assert await storm.unmerge(results[2])
    await storm.check()
    assert await storm.fetch("SELECT FROM customer WHERE merged_into IS NOT NULL") == []


async def test_a_job_that_dies_goes_on(storm: Storm, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "CHUNK", 10)
    await storm.put(*[{"external_id": "e0"}] * 45, *[{"external_id": "e1"}] * 45)
    one, two = await ids_of(storm)
    assert await storm.merge(one, two)
    killer = await asyncpg.connect(database_url)
    close = settling.close
    moved: list[int] = []

    async def dies(work: Work, *arguments: Any) -> None:
        if not moved:
            pid = work.connection.get_server_pid()
            moved.append(await work.connection.fetchval("SELECT count(*) FROM event WHERE customer_id = $1", one))
            await killer.execute("SELECT pg_terminate_backend($1)", pid)
        await close(work, *arguments)

    monkeypatch.setattr(settling, "close", dies)
    await storm.settle()
    await killer.close()
    assert moved[0] > 45
    await storm.check()
    assert len(await storm.fetch("SELECT FROM event WHERE name = 'customer.history_changed'")) == 1


async def test_a_merge_while_an_import_holds_its_batch_open(storm: Storm) -> None:
    """What an import has stored and not committed is seen by the merge, and what it stores afterwards too."""
    await storm.put({"external_id": "e0"}, {"external_id": "e1"})
    one, two = await ids_of(storm)
    stored, merging = asyncio.Event(), asyncio.Event()

    async def bring() -> None:
        event = {"name": "page.view", "identities": {"external_id": "e1"}, "amount": 3}
        body = wire.encode({"events": [event] * 3}, "json")
        events, _ = decode_events(body, "json", now=clock.now(), settings=storm.platform.settings)
        async with storm.platform.db.transaction() as connection:
            await store(connection, events, origin="import:1", live=False, now=clock.now(), platform=storm.platform)
            storm.stored += 3
            stored.set()
            await merging.wait()
            await asyncio.sleep(0.1)

    bringing = asyncio.create_task(bring())
    await stored.wait()
    joining = asyncio.create_task(storm.merge(one, two))
    await asyncio.sleep(0.1)
    assert not joining.done()
    merging.set()
    await bringing
    assert await joining
    await storm.put({"external_id": "e1"})
    await storm.check()
    assert await storm.fetch("SELECT DISTINCT customer_id FROM event WHERE behaviour") == [(one,)]
