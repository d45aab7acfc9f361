"""Group commit: who shares a transaction, who is told what, and what happens when things fail."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from zhike import clock
from zhike.errors import TooMany, Unavailable
from zhike.events import grouping
from zhike.events.grouping import GROUP, Collector
from zhike.events.ingest import Ingested
from zhike.events.schemas import CheckedEvent
from zhike.orm import Database
from zhike.settings import Settings

NOW = datetime(2026, 3, 14, 8, tzinfo=UTC)
_numbers = itertools.count()


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)


@pytest.fixture
def settings() -> Settings:
    return Settings(data=Path("unused"), pool_size=4, queue_limit=3 * GROUP)


@pytest_asyncio.fixture
async def collector(database: Database, make_platform: Any) -> AsyncIterator[Collector]:
    opened = Collector(make_platform(database))
    yield opened
    await opened.close()


def event(message_id: str | None = None, **fields: Any) -> CheckedEvent:
    given = {"index": 0, "name": "page.view", "message_id": message_id or f"m{next(_numbers)}", "occurred_at": NOW}
    return CheckedEvent(**(given | fields), identities=[("external_id", "x")])


async def value(database: Database, sql: str) -> Any:
    async with database.connection() as connection:
        return await connection.fetchval(sql)


def begin(submitting: Coroutine[Any, Any, Ingested]) -> asyncio.Task[Ingested]:
    return asyncio.create_task(submitting)


class Gate:
    """Holds every transaction of the collector at its beginning, until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = asyncio.Event()
        self.arrived = asyncio.Event()
        self.calls = 0
        store = grouping.store_parts

        async def held(*arguments: Any, **options: Any) -> list[Ingested]:
            self.calls += 1
            self.arrived.set()
            await self.opened.wait()
            return await store(*arguments, **options)

        monkeypatch.setattr(grouping, "store_parts", held)


async def test_the_answer_comes_after_the_commit(database: Database, collector: Collector) -> None:
    assert await collector.submit([event("a"), event("b")], origin="token:3") == Ingested(2, 0, [])
    assert await value(database, "SELECT count(*) FROM event WHERE behaviour AND live AND origin = 'token:3'") == 2
    assert await collector.submit([event("a")], origin="token:3") == Ingested(0, 1, [])
    assert collector.waiting == 0


async def test_requests_that_come_together_share_a_transaction(database: Database, collector: Collector) -> None:
    await asyncio.gather(*[collector.submit([event()], origin=f"token:{n}") for n in range(50)])
    assert await value(database, "SELECT count(*) FROM log_batch") == 1
    assert await value(database, "SELECT count(DISTINCT origin) FROM event WHERE behaviour") == 50


async def test_everybody_is_told_about_their_own_events(collector: Collector) -> None:
    refused = event(source="\x00")
    refused.index = 7
    answers = await asyncio.gather(
        collector.submit([event("a"), event("b")], origin="token:1"),
        collector.submit([event("b"), refused, event("c")], origin="token:2"),
        collector.submit([event("c"), event("c")], origin="token:3"),
        collector.submit([event("d")], origin="token:4"),
    )
    assert [(one.accepted, one.duplicate, [bad.index for bad in one.rejected]) for one in answers] == [
        (2, 0, []), (1, 1, [7]), (0, 2, []), (1, 0, []),
    ]  # fmt: skip


async def test_a_large_request_takes_several_transactions(database: Database, collector: Collector) -> None:
    events = [event(f"large{n % (GROUP * 2 + 400)}") for n in range(GROUP * 2 + 500)]
    events[GROUP + 3] = event(source="\x00")
    events[GROUP + 3].index = GROUP + 3
    got = await collector.submit(events, origin="token:1")
    assert (got.accepted, got.duplicate, [one.index for one in got.rejected]) == (GROUP * 2 + 399, 100, [GROUP + 3])
    sizes = "SELECT array_agg(n ORDER BY n) FROM (SELECT count(*) n FROM event WHERE behaviour GROUP BY batch_id) s"
    assert await value(database, sizes) == [400, GROUP - 1, GROUP]


async def test_too_much_is_refused_until_there_is_room(
    database: Database, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    first = begin(collector.submit([event() for _ in range(2 * GROUP)], origin="token:1"))
    await gate.arrived.wait()
    with pytest.raises(TooMany) as refused:
        await collector.submit([event() for _ in range(GROUP + 1)], origin="token:1")
    assert refused.value.retry_after == 1
    fits = begin(collector.submit([event() for _ in range(GROUP)], origin="token:1"))
    await asyncio.sleep(0)
    with pytest.raises(TooMany):
        await collector.submit([event()], origin="token:1")
    gate.opened.set()
    assert (await first).accepted + (await fits).accepted == 3 * GROUP
    assert (await collector.submit([event()], origin="token:1")).accepted == 1
    # Alone, even a request beyond the limit is taken.
    assert (await collector.submit([event() for _ in range(3 * GROUP + 1)], origin="t")).accepted == 3 * GROUP + 1


async def test_a_client_that_leaves_disturbs_nobody(
    database: Database, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    storing = [begin(collector.submit([event(f"s{n}")], origin="token:1")) for n in range(3)]
    await gate.arrived.wait()
    queued = [begin(collector.submit([event(f"q{n}")], origin="token:1")) for n in range(3)]
    await asyncio.sleep(0)
    storing[0].cancel()
    queued[0].cancel()
    await asyncio.wait([storing[0], queued[0]])
    gate.opened.set()
    answers = await asyncio.gather(*storing[1:], *queued[1:])
    assert [answer.accepted for answer in answers] == [1, 1, 1, 1]
    assert collector.waiting == 0
    # What was on its way is stored; what nobody waits for any more is not begun.
    stored = await value(database, "SELECT array_agg(message_id ORDER BY message_id) FROM event WHERE behaviour")
    assert stored == ["q1", "q2", "s0", "s1", "s2"]


async def test_one_that_fails_fails_alone(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    store = grouping.store_parts

    async def broken(connection: Any, parts: Any, **options: Any) -> list[Ingested]:
        if any(part.cause.origin == "token:bad" for part in parts):
            raise LookupError("a defect")
        return await store(connection, parts, **options)

    monkeypatch.setattr(grouping, "store_parts", broken)
    answers = await asyncio.gather(
        *[collector.submit([event()], origin=origin) for origin in ("token:1", "token:bad", "token:2")],
        return_exceptions=True,
    )
    assert [answers[0], answers[2]] == [Ingested(1, 0, []), Ingested(1, 0, [])]
    assert isinstance(answers[1], LookupError)


async def test_deadlocks_are_tried_again(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    store = grouping.store_parts
    failures = iter([asyncpg.DeadlockDetectedError("40P01"), asyncpg.SerializationError("40001")])

    async def unlucky(*arguments: Any, **options: Any) -> list[Ingested]:
        if error := next(failures, None):
            raise error
        return await store(*arguments, **options)

    monkeypatch.setattr(grouping, "store_parts", unlucky)
    assert await collector.submit([event()], origin="token:1") == Ingested(1, 0, [])


async def test_a_lost_connection_is_unavailable_for_all_and_over_at_once(
    database: Database, collector: Collector
) -> None:
    async with database.transaction() as blocker:
        await blocker.execute("LOCK TABLE event IN EXCLUSIVE MODE")
        waiting = [begin(collector.submit([event(f"k{n}")], origin="token:1")) for n in range(5)]
        # Not pg_stat_activity, which stands still inside a transaction.
        blocked = "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'event'::regclass"
        async with asyncio.timeout(20):
            while not (pid := await blocker.fetchval(blocked)):  # noqa: ASYNC110  # the event is in the server
                await asyncio.sleep(0.01)
        await blocker.execute("SELECT pg_terminate_backend($1)", pid)
        answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(answer, Unavailable) and answer.retry_after == 1 for answer in answers)
    assert len(set(map(id, answers))) == 5
    assert (await collector.submit([event(f"k{n}") for n in range(5)], origin="token:1")).accepted == 5


async def test_close_answers_what_was_taken_and_takes_no_more(
    database: Database, make_platform: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    collector = Collector(make_platform(database))
    storing = begin(collector.submit([event() for _ in range(10)], origin="token:1"))
    await gate.arrived.wait()
    queued = begin(collector.submit([event() for _ in range(2 * GROUP)], origin="token:1"))
    await asyncio.sleep(0)
    closing = asyncio.create_task(collector.close())
    await asyncio.sleep(0.01)
    assert not closing.done()
    with pytest.raises(Unavailable):
        await collector.submit([event()], origin="token:1")
    gate.opened.set()
    await closing
    assert (await storing).accepted == 10
    assert (await queued).accepted == 2 * GROUP


async def test_it_works_inside_somebody_elses_transaction(database: Database, collector: Collector) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.transaction():
            await collector.submit([event()], origin="token:1")
            raise ZeroDivisionError
    assert await value(database, "SELECT count(*) FROM event WHERE behaviour") == 1


async def test_a_request_right_after_the_queue_ran_empty_is_not_forgotten(collector: Collector) -> None:
    async with asyncio.timeout(20):
        for _ in range(100):
            await collector.submit([event()], origin="token:1")
