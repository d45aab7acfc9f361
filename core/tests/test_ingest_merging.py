"""Plugins when visitors are merged: rows move and duties run in the batch; one that fails stops only that merge."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest

from zhike.contracts import CustomerRows, EventType, Job
from zhike.events import merging
from zhike.events.grouping import Collector
from zhike.events.ingest import Ingested, store
from zhike.events.schemas import CheckedEvent
from zhike.hooks import hookimpl
from zhike.orm import Database
from zhike.platform import Platform
from zhike.plugins.rows import declare
from zhike.work import Work, current

NOW = datetime(2026, 3, 14, 8, tzinfo=UTC)
_numbers = itertools.count()


class Stamps:
    """A plugin that does at each merge what a test wants.

    Args:
        duty: What.
    """

    def __init__(self, duty: Callable[..., Any]) -> None:
        self.duty = duty
        self.calls: list[tuple[int, list[int]]] = []

    @hookimpl
    def register_event_types(self) -> list[EventType]:
        """Register what it records at a merge."""
        return [EventType(name="stamps.joined", kind="platform", label="Joined")]

    @hookimpl
    def register_jobs(self) -> list[Job]:
        """Register what it enqueues at a merge."""

        async def run(items: Any, work: Work) -> None:
            raise AssertionError

        return [Job(name="stamps.count", run=run)]

    @hookimpl
    async def merge_customer_data(self, winner_id: int, loser_ids: Sequence[int], work: Work) -> None:
        """Note the call and do it."""
        self.calls.append((winner_id, sorted(loser_ids)))
        await self.duty(winner_id, loser_ids, work)


async def nothing(winner: int, losers: Sequence[int], work: Work) -> None:
    """Do nothing."""


async def broken(winner: int, losers: Sequence[int], work: Work) -> None:
    """Fail, after having done something."""
    await work.connection.execute("UPDATE customer SET company = 'broken'")
    work.emit("stamps.joined", winner)
    raise ZeroDivisionError


async def swallowed(winner: int, losers: Sequence[int], work: Work) -> None:
    """Break the transaction and say nothing."""
    try:
        await work.connection.execute("SELECT 1 / 0")
    except asyncpg.DivisionByZeroError:
        return


async def lost(winner: int, losers: Sequence[int], work: Work) -> None:
    """Emit for nobody."""
    work.emit("stamps.joined", 999_999)


async def gone(winner: int, losers: Sequence[int], work: Work) -> None:
    """End the process, or so it thinks."""
    raise SystemExit(1)


def event(message_id: str | None = None, **identities: str) -> CheckedEvent:
    return CheckedEvent(
        index=0, name="page.view", message_id=message_id or f"m{next(_numbers)}", occurred_at=NOW,
        identities=list(identities.items()),
    )  # fmt: skip


async def put(platform: Platform, *events: CheckedEvent, live: bool = True) -> Ingested:
    """Store events, and again if plugins were too slow, as those who store them do."""
    while True:
        with contextlib.suppress(merging.TooSlow):
            async with platform.db.transaction() as connection:
                return await store(connection, events, origin="token:1", live=live, now=NOW, platform=platform)


async def fetch(database: Database, sql: str) -> list[tuple[Any, ...]]:
    async with database.connection() as connection:
        return list(map(tuple, await connection.fetch(sql)))


async def owner(database: Database, value: str) -> int:
    [(found,)] = await fetch(database, f"SELECT DISTINCT customer_id FROM identity WHERE value = '{value}'")
    return int(found)


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets the time that plugins have run out soon after it is called, and not before, however slow this machine is."""
    given: list[asyncio.Timeout] = []

    def timeout(seconds: float) -> asyncio.Timeout:
        assert seconds == merging.SECONDS
        given.append(asyncio.timeout(60))
        return given[-1]

    monkeypatch.setattr(merging, "asyncio", SimpleNamespace(timeout=timeout))
    return lambda: given[-1].reschedule(asyncio.get_running_loop().time() + 0.2)


async def test_rows_and_duties_are_part_of_the_batch(database: Database, make_platform: Any) -> None:
    async def join(winner: int, losers: Sequence[int], work: Work) -> None:
        assert current() is work
        # Everything of the core has its new owner.
        assert await work.connection.fetch("SELECT FROM customer WHERE merged_into = $1", winner)
        assert not await work.connection.fetch("SELECT FROM event WHERE customer_id = ANY($1)", list(losers))
        await work.connection.execute("UPDATE stamps_total SET customer_id = $1", winner)
        work.emit("stamps.joined", losers[0], properties={"losers": len(losers)})
        work.enqueue("stamps.count", {"customer": winner}, customer_id=winner)

    stamps = Stamps(join)
    platform = make_platform(database, stamps=stamps)
    await put(platform, event(device_id="a"), event(device_id="b"), event(phone="1"))
    async with database.transaction() as connection:
        await connection.execute(
            "CREATE TABLE stamps_stamp (customer_id bigint, name text);"
            "CREATE TABLE stamps_total AS SELECT customer_id FROM identity WHERE value = 'a';"
            "INSERT INTO stamps_stamp SELECT customer_id, value FROM identity"
        )
        await declare(
            connection,
            "stamps",
            [CustomerRows(table="stamps_stamp"), CustomerRows(table="stamps_total", on_merge="hook")],
        )
    winner, first, second = await owner(database, "1"), await owner(database, "a"), await owner(database, "b")
    assert await put(platform, event(phone="1", device_id="a"), event(phone="1", device_id="b")) == Ingested(2, 0, [])
    assert stamps.calls == [(winner, sorted([first, second]))]
    assert await fetch(database, "SELECT DISTINCT customer_id FROM stamps_stamp") == [(winner,)]
    assert await fetch(database, "SELECT customer_id FROM stamps_total") == [(winner,)]
    [(customer, properties, origin, behaviour, live, depth, batch)] = await fetch(
        database,
        "SELECT customer_id, properties, origin, behaviour, live, depth, batch_id FROM event"
        " WHERE name = 'stamps.joined'",
    )
    assert (customer, properties, origin, behaviour, live, depth) == (
        winner, '{"losers": 2}', "token:1", False, True, 0,
    )  # fmt: skip
    assert await fetch(database, "SELECT max(batch_id), count(*) FROM log_batch") == [(batch, 2)]
    [(names,)] = await fetch(database, f"SELECT names FROM log_batch WHERE batch_id = {batch}")
    assert names == ["customer.history_changed", "customer.merged", "page.view", "stamps.joined"]
    assert await fetch(database, "SELECT name, customer_id, origin FROM job") == [("stamps.count", winner, "token:1")]


async def test_a_merge_by_an_import_starts_nothing(database: Database, make_platform: Any) -> None:
    async def join(winner: int, losers: Sequence[int], work: Work) -> None:
        work.emit("stamps.joined", winner)

    platform = make_platform(database, stamps=Stamps(join))
    await put(platform, event(device_id="a"), event(phone="1"))
    await put(platform, event(phone="1", device_id="a"), live=False)
    assert await fetch(database, "SELECT live FROM event WHERE name = 'stamps.joined'") == [(False,)]


@pytest.mark.parametrize("duty", [broken, swallowed, lost, gone], ids=lambda duty: duty.__name__)
async def test_a_duty_that_fails_stops_only_its_merge(
    database: Database, make_platform: Any, duty: Callable[..., Any]
) -> None:
    async def choosy(winner: int, losers: Sequence[int], work: Work) -> None:
        if refused in losers:
            await duty(winner, losers, work)

    stamps = Stamps(choosy)
    platform = make_platform(database, stamps=stamps)
    await put(platform, *[event(device_id=name) for name in "abc"], *[event(phone=name) for name in "xyz"])
    refused = await owner(database, "b")
    events = [event(phone=phone, device_id=device) for phone, device in zip("xyz", "abc", strict=True)]
    assert await put(platform, *events) == Ingested(3, 0, [])
    assert await owner(database, "a") == await owner(database, "x")
    assert await owner(database, "c") == await owner(database, "z")
    assert await owner(database, "b") == refused
    merged = await fetch(
        database, "SELECT id, merged_into IS NULL FROM customer WHERE id NOT IN (SELECT customer_id FROM identity)"
    )
    assert len(merged) == 2
    y = await owner(database, "y")
    assert await fetch(database, "SELECT low_id, high_id, reason, namespace, value FROM duplicate_candidate") == [
        (min(y, refused), max(y, refused), "refused", "device_id", "b")
    ]
    assert await fetch(database, "SELECT count(*) FROM event WHERE name LIKE 'stamps.%'") == [(0,)]
    assert await fetch(database, "SELECT count(*) FROM customer WHERE company IS NOT NULL") == [(0,)]
    assert await fetch(database, "SELECT count(*) FROM event WHERE name = 'page.view'") == [(9,)]
    # It is tried again when the visitor comes back, who may be merged by then.
    stamps.duty = nothing
    await put(platform, event(phone="y", device_id="b"))
    assert await owner(database, "b") == y


async def test_a_duty_that_fails_for_another_one_the_second_time_stops_all_merges(
    database: Database, make_platform: Any
) -> None:
    failing = itertools.cycle([True, False, True, False, False])

    async def moody(winner: int, losers: Sequence[int], work: Work) -> None:
        if next(failing):
            raise ZeroDivisionError

    platform = make_platform(database, stamps=Stamps(moody))
    await put(platform, *[event(device_id=name) for name in "abc"], *[event(phone=name) for name in "xyz"])
    events = [event(phone=phone, device_id=device) for phone, device in zip("xyz", "abc", strict=True)]
    async with asyncio.timeout(30):
        assert await put(platform, *events) == Ingested(3, 0, [])
    assert await fetch(database, "SELECT count(*) FROM event WHERE name = 'page.view'") == [(9,)]


async def test_rows_that_only_an_absent_plugin_can_move_keep_a_visitor_separate(
    database: Database, make_platform: Any
) -> None:
    platform = make_platform(database)
    await put(platform, event(device_id="a"), event(device_id="b"), event(phone="1"))
    async with database.transaction() as connection:
        await connection.execute("CREATE TABLE stamps_total AS SELECT customer_id FROM identity WHERE value = 'a'")
        await declare(connection, "stamps", [CustomerRows(table="stamps_total", on_merge="hook")])
    assert await put(platform, event(phone="1", device_id="a"), event(phone="1", device_id="b")) == Ingested(2, 0, [])
    assert await owner(database, "b") == await owner(database, "1")
    assert await owner(database, "a") != await owner(database, "1")
    assert await fetch(database, "SELECT reason FROM duplicate_candidate") == [("refused",)]


async def test_a_duty_that_hangs_is_cut_and_not_asked_again_for_a_while(
    database: Database, make_platform: Any, monkeypatch: pytest.MonkeyPatch, hurry: Callable[[], None]
) -> None:
    async def hang(winner: int, losers: Sequence[int], work: Work) -> None:
        hurry()
        await work.connection.execute("SELECT pg_sleep(3600)")

    stamps = Stamps(hang)
    platform = make_platform(database, stamps=stamps)
    await put(platform, *[event(device_id=name) for name in "abcd"], *[event(phone=name) for name in "wxyz"])
    events = [event(phone=phone, device_id=device) for phone, device in zip("wxyz", "abcd", strict=True)]
    async with asyncio.timeout(20):
        assert await put(platform, *events[:3]) == Ingested(3, 0, [])
        assert await put(platform, events[3]) == Ingested(1, 0, [])
    assert len(stamps.calls) == 1
    assert await fetch(database, "SELECT reason, count(*) FROM duplicate_candidate GROUP BY 1") == [("refused", 4)]
    # A visitor who became known in the very batch concerns no plugin.
    await put(platform, event(device_id="new"), event(phone="w", device_id="new"))
    assert await owner(database, "new") == await owner(database, "w")
    monkeypatch.setattr(merging, "PAUSE", 0.0)
    monkeypatch.setattr(merging, "SECONDS", 60.0)  # whatever this machine is kept from meanwhile
    merging._slow.clear()
    stamps.duty = nothing
    await put(platform, event(phone="w", device_id="a"))
    assert await owner(database, "a") == await owner(database, "w")


async def test_a_duty_that_cannot_be_stopped_leaves_nothing(
    database: Database, make_platform: Any, hurry: Callable[[], None]
) -> None:
    left_behind: list[asyncio.Task[Any]] = []

    async def stubborn(winner: int, losers: Sequence[int], work: Work) -> None:
        left_behind.append(asyncio.current_task())  # type: ignore[arg-type]  # there is one
        hurry()
        failures = 0
        while failures < 1_500:  # the first one when it is cut
            try:
                await asyncio.sleep(0.0005)
                await work.connection.execute("INSERT INTO leftover VALUES (1)")
            except (Exception, asyncio.CancelledError):
                failures += 1

    collector = Collector(make_platform(database, stamps=Stamps(stubborn)))
    async with database.connection() as connection:
        await connection.execute("CREATE TABLE leftover (n int)")
    first = [event(device_id="a"), event(phone="1")]
    assert await collector.submit(first, origin="token:1") == Ingested(2, 0, [])
    async with asyncio.timeout(30):
        merging_one = [event(phone="1", device_id="a")]
        assert await collector.submit(merging_one, origin="token:1") == Ingested(1, 0, [])
        await asyncio.wait(left_behind)
    await collector.close()
    assert await fetch(database, "SELECT count(*) FROM leftover") == [(0,)]
    assert await owner(database, "a") != await owner(database, "1")
    assert await fetch(database, "SELECT count(*) FROM event WHERE behaviour") == [(3,)]


async def test_a_row_that_somebody_holds_keeps_ingest_for_seconds_at_most(
    database: Database, database_url: str, make_platform: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "_SAVEPOINT", merging._SAVEPOINT.replace("'3s'", "'200ms'"))
    platform = make_platform(database)
    await put(platform, event(device_id="a"), event(phone="1"))
    async with database.transaction() as connection:
        await connection.execute("CREATE TABLE stamps_stamp AS SELECT customer_id FROM identity")
        await declare(connection, "stamps", [CustomerRows(table="stamps_stamp")])
    holding = await asyncpg.connect(database_url)
    try:
        transaction = holding.transaction()
        await transaction.start()
        await holding.execute("SELECT FROM stamps_stamp FOR UPDATE")
        async with asyncio.timeout(20):
            assert await put(platform, event(phone="1", device_id="a")) == Ingested(1, 0, [])
        await transaction.rollback()
    finally:
        await holding.close()
    assert await fetch(database, "SELECT reason FROM duplicate_candidate") == [("refused",)]
    assert await put(platform, event(phone="1", device_id="a")) == Ingested(1, 0, [])
    assert await owner(database, "a") == await owner(database, "1")


async def test_ingest_waits_its_usual_time_for_others_after_a_merge(database: Database, make_platform: Any) -> None:
    platform = make_platform(database)
    await put(platform, event(device_id="a"), event(phone="1"))
    async with database.transaction() as connection:
        usual = await connection.fetchval("SHOW lock_timeout")
        await store(connection, [event(phone="1", device_id="a")], origin="x", live=True, now=NOW, platform=platform)
        assert await connection.fetchval("SHOW lock_timeout") == usual
    assert await owner(database, "a") == await owner(database, "1")
