"""The unit of work: events, jobs and rows commit together, once for each cause, for whoever the customer is then."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import msgspec
import pytest

from zhike.contracts import EventType, Job, JobItem, RecordedEvent
from zhike.errors import NotFound, Unavailable, ZhikeError
from zhike.events import emit
from zhike.events.ingest import store
from zhike.events.schemas import CheckedEvent
from zhike.hooks import hookimpl
from zhike.orm import Database
from zhike.platform import Platform
from zhike.work import TooDeep, Work, begin, current, in_transaction

NOW = datetime(2026, 3, 14, 8, tzinfo=UTC)
_numbers = itertools.count(1)


class Given(msgspec.Struct):
    """What `stamps.given` says."""

    count: int
    value: Decimal = Decimal(0)


class Stamps:
    """A plugin with two event types and a job."""

    @hookimpl
    def register_event_types(self) -> list[EventType]:
        """Register one type of each kind."""
        return [
            EventType(name="stamps.given", kind="platform", label="Given", payload=Given),
            EventType(name="stamps.used", kind="behaviour", label="Used"),
        ]

    @hookimpl
    def register_jobs(self) -> list[Job]:
        """Register a job that nobody runs."""

        async def run(items: Any, work: Work) -> None:
            raise AssertionError

        return [Job(name="stamps.remind", run=run, payload=Given, queue="slow")]


@pytest.fixture
def told() -> list[str]:
    """The topics that were announced."""
    return []


@pytest.fixture
def platform(database: Database, make_platform: Any, told: list[str]) -> Platform:
    made: Platform = make_platform(database, announce=told.append, stamps=Stamps())
    return made


def open_work(platform: Platform, **options: Any) -> Any:
    return begin(platform, **({"origin": "plugin:stamps", "plugin": "stamps", "now": NOW} | options))


def cause(customer: int = 1, **fields: Any) -> RecordedEvent:
    number = next(_numbers)
    given = {
        "id": number, "batch_id": 1, "message_id": f"cause {number}", "name": "order.paid", "behaviour": True,
        "customer_id": customer, "shard": 1, "occurred_at": NOW, "recorded_at": NOW,
    }  # fmt: skip
    return RecordedEvent(**(given | fields))


def item(**fields: Any) -> JobItem:
    given = {
        "id": 1, "key": None, "payload": None, "customer_id": 1, "due_at": NOW, "attempt": 1, "origin": "system",
        "causation_id": 77, "depth": 3, "idempotency_key": "stamps.remind:1",
    }  # fmt: skip
    return JobItem(**(given | fields))


async def customers(database: Database, number: int, namespace: str = "external_id") -> list[int]:
    """Store customers and return their ids."""
    names = [f"{namespace} {next(_numbers)}" for _ in range(number)]
    events = [
        CheckedEvent(
            index=0, name="page.view", message_id=f"first {name}", occurred_at=NOW, identities=[(namespace, name)]
        )
        for name in names
    ]
    async with database.transaction() as connection:
        await store(connection, events, origin="token:1", live=True, now=NOW)
        rows = await connection.fetch(
            "SELECT customer_id FROM identity WHERE value = ANY($1) ORDER BY customer_id", names
        )
    return [row[0] for row in rows]


async def fetch(database: Database, sql: str, *arguments: Any) -> list[asyncpg.Record]:
    async with database.connection() as connection:
        return await connection.fetch(sql, *arguments)


async def emitted(database: Database, columns: str = "name, customer_id") -> list[tuple[Any, ...]]:
    rows = await fetch(database, f"SELECT {columns} FROM event WHERE name LIKE 'stamps.%' ORDER BY batch_id, id")
    return list(map(tuple, rows))


async def test_everything_commits_together_and_is_announced_afterwards(
    platform: Platform, database: Database, told: list[str]
) -> None:
    [customer] = await customers(database, 1)
    first = cause(customer, depth=2)
    async with open_work(platform) as work:
        assert work is current()
        await work.connection.execute("CREATE TABLE stamps_stamp AS SELECT 1 AS id")
        work.emit("stamps.given", customer, cause=first, properties=Given(count=2, value=Decimal("1.10")), source="s")
        work.emit(
            "stamps.used", customer, key="b", amount=Decimal("12.3"), occurred_at=NOW - timedelta(hours=1),
            properties={"where": "门店"},
        )  # fmt: skip
        work.enqueue("stamps.remind", {"count": 3}, key="k", customer_id=customer, cause=first, priority="high")
        assert await emitted(database) == []
        assert told == []
    assert told == ["log", "jobs"]
    assert await fetch(database, "SELECT * FROM stamps_stamp")
    [given, used] = await fetch(database, "SELECT * FROM event WHERE name LIKE 'stamps.%' ORDER BY batch_id, id")
    assert dict(given) == {
        **{column: given[column] for column in ("id", "batch_id", "message_id")},
        "name": "stamps.given", "behaviour": False, "customer_id": customer, "home_customer_id": customer,
        "shard": customer % 64, "occurred_at": NOW, "recorded_at": NOW, "amount": None, "currency": None,
        "properties": '{"count": 2, "value": 1.10}', "source": "s", "origin": "plugin:stamps", "live": True,
        "import_id": None, "causation_id": first.id, "depth": 3,
    }  # fmt: skip
    assert (used["behaviour"], used["amount"], used["currency"]) == (True, 1230, "CNY")
    assert (used["occurred_at"], used["causation_id"]) == (NOW - timedelta(hours=1), None)
    assert used["batch_id"] == given["batch_id"]
    [batch] = await fetch(database, "SELECT * FROM log_batch WHERE batch_id = $1", given["batch_id"])
    assert (batch["names"], batch["size"], batch["position"]) == (["stamps.given", "stamps.used"], 2, None)
    stats = await fetch(database, "SELECT name, currency, count, sum FROM customer_event_stat WHERE sum > 0 ORDER BY 1")
    assert list(map(tuple, stats)) == [("*", "CNY", 1, 1230), ("stamps.used", "CNY", 1, 1230)]
    [job] = await fetch(database, "SELECT * FROM job")
    assert (job["name"], job["queue"], job["key"], job["payload"]) == ("stamps.remind", "slow", "k", '{"count": 3}')
    assert (job["customer_id"], job["priority"], job["due_at"], job["plugin"]) == (customer, 0, NOW, "stamps")
    assert (job["causation_id"], job["depth"], job["live"]) == (first.id, 3, True)


async def test_an_error_leaves_nothing_and_tells_nobody(
    platform: Platform, database: Database, told: list[str]
) -> None:
    [customer] = await customers(database, 1)
    with pytest.raises(ZeroDivisionError):
        async with open_work(platform) as work:
            work.emit("stamps.used", customer)
            work.enqueue("stamps.remind", {"count": 1})
            raise ZeroDivisionError
    assert await emitted(database) == []
    assert await fetch(database, "SELECT FROM job") == []
    assert told == []


async def test_a_cause_that_is_handled_again_adds_nothing(
    platform: Platform, database: Database, told: list[str]
) -> None:
    [customer] = await customers(database, 1)
    event, job = cause(customer), item()
    for _ in range(2):
        async with open_work(platform) as work:
            for reason in (event, job):
                work.emit("stamps.used", customer, cause=reason)
                work.emit("stamps.used", customer, cause=reason, key="second")
                work.emit("stamps.given", customer, cause=reason, properties={"count": 1})
    assert len(await emitted(database)) == 6
    assert told == ["log"]
    [stat] = await fetch(database, "SELECT count FROM customer_event_stat WHERE name = 'stamps.used'")
    assert stat["count"] == 4
    # Another cause, and none at all, are news.
    async with open_work(platform) as work:
        work.emit("stamps.used", customer, cause=cause(customer))
        work.emit("stamps.used", customer)
        work.emit("stamps.used", customer)
        work.emit("stamps.used", customer, cause=event)
    assert len(await emitted(database)) == 9


async def test_two_events_of_one_cause_need_keys(platform: Platform) -> None:
    event = cause()
    with pytest.raises(ZhikeError, match="give each a key"):
        async with open_work(platform) as work:
            work.emit("stamps.used", 1, cause=event, key="a")
            work.emit("stamps.used", 1, cause=event)
            # Another customer's too: the event would be taken for the first one's.
            work.emit("stamps.used", 2, cause=event)


BAD = {
    "unknown": (("stamps.lost",), {}, "stamps.lost is no event type that stamps has registered"),
    "the core's": (("customer.merged",), {}, "customer.merged is no event type that stamps has registered"),
    "missing": (("stamps.given",), {}, "stamps.given: properties: the field `count` is missing"),
    "type": (("stamps.given",), {"properties": {"count": "2"}}, "stamps.given: properties.count: expected int"),
    "struct": (("stamps.given",), {"properties": Given(count=1.5)}, "stamps.given: properties.count: expected int"),
    "set": (("stamps.used",), {"properties": {"a": object()}}, "stamps.used: properties: no JSON can be made of it"),
    "surrogate": (("stamps.used",), {"properties": {"a": "\ud800"}}, "stamps.used: properties: no JSON can be made"),
    "NUL": (("stamps.used",), {"properties": {"a": "\0"}}, "stamps.used: properties: the character NUL"),
    "size": (("stamps.used",), {"properties": {"a": "x" * 70_000}}, "stamps.used: properties: 70008 bytes are too"),
    "amount": (("stamps.used",), {"amount": Decimal("1.234")}, "stamps.used: amount: expected at most 2 decimal"),
    "currency": (("stamps.used",), {"amount": Decimal(1), "currency": "X"}, "stamps.used: currency: expected an ISO"),
    "time": (("stamps.used",), {"occurred_at": NOW + timedelta(days=2)}, "stamps.used: occurred_at: .* out of range"),
    "source": (("stamps.used",), {"source": "\0"}, "stamps.used: source: the character NUL"),
}


@pytest.mark.parametrize("case", BAD)
async def test_what_is_wrong_with_an_event_is_said(platform: Platform, case: str) -> None:
    (name,), fields, message = BAD[case]
    async with open_work(platform) as work:
        with pytest.raises(ZhikeError, match=message):
            work.emit(name, 1, **fields)


async def test_what_is_wrong_with_a_job_is_said(platform: Platform) -> None:
    async with open_work(platform) as work:
        with pytest.raises(ZhikeError, match=r"there is no job stamps\.lost"):
            work.enqueue("stamps.lost")
        with pytest.raises(ZhikeError, match=r"stamps\.remind: payload\.count: expected int, got str"):
            work.enqueue("stamps.remind", {"count": "x"})
        with pytest.raises(ZhikeError, match=r"stamps\.remind: payload: \d+ bytes are too many"):
            work.enqueue("stamps.remind", {"count": 1, "more": "x" * 2**21})


async def test_nothing_runs_too_deep(platform: Platform, database: Database) -> None:
    [customer, other] = await customers(database, 2)
    async with open_work(platform) as work:
        with pytest.raises(TooDeep):
            work.emit("stamps.used", customer, cause=cause(depth=8))
        with pytest.raises(TooDeep):
            work.enqueue("stamps.remind", {"count": 1}, cause=cause(depth=8))
        work.emit("stamps.used", customer, cause=cause(depth=7))
        # As deep as the deepest cause of the same customer in this work.
        work.emit("stamps.used", customer, cause=cause(depth=0))
        work.emit("stamps.used", other, cause=cause(depth=0))
        # What a job does is as deep as the job itself.
        work.emit("stamps.used", other, cause=item(depth=3))
        work.enqueue("stamps.remind", {"count": 1}, cause=item(depth=8))
    rows = await emitted(database, "customer_id, depth, causation_id")
    assert [row[:2] for row in rows] == [(customer, 8), (customer, 8), (other, 3), (other, 3)]
    assert rows[3][2] == 77
    [job] = await fetch(database, "SELECT depth, causation_id FROM job")
    assert tuple(job) == (8, 77)


async def test_a_plugin_that_names_no_cause_makes_no_circle_either(platform: Platform, database: Database) -> None:
    [customer] = await customers(database, 1)
    async with open_work(platform) as work:
        work.depth = 8
        work.emit("stamps.used", customer)
        work.depth = 9
        with pytest.raises(TooDeep):
            work.emit("stamps.used", customer)
    assert await emitted(database, "depth") == [(8,)]


async def test_only_what_comes_from_something_live_is_live(platform: Platform, database: Database) -> None:
    [customer] = await customers(database, 1)
    async with open_work(platform, mode="rebuild") as work:
        work.emit("stamps.used", customer, cause=cause(live=True))
        work.emit("stamps.used", customer, cause=cause(live=False))
        work.emit("stamps.used", customer, cause=cause(live=True), occurred_at=NOW - timedelta(hours=25))
        work.emit("stamps.used", customer, cause=item(live=False))
        work.emit("stamps.used", customer)
        work.enqueue("stamps.remind", {"count": 1}, cause=cause(live=False))
    async with open_work(platform) as work:
        work.emit("stamps.used", customer)
    assert await emitted(database, "live") == [(True,), (False,), (False,), (False,), (False,), (True,)]
    assert [row["live"] for row in await fetch(database, "SELECT live FROM job")] == [False]


async def test_the_event_of_a_merged_customer_is_the_winners(platform: Platform, database: Database) -> None:
    # The winner has the smaller id, and the chain is two long.
    winner, between, loser = await customers(database, 3)
    await fetch(database, "UPDATE customer SET merged_into = $2 WHERE id = $1", loser, between)
    await fetch(database, "UPDATE customer SET merged_into = $2 WHERE id = $1", between, winner)
    async with open_work(platform) as work:
        for customer in (loser, between, winner):
            work.emit("stamps.used", customer)
    assert await emitted(database, "customer_id, home_customer_id, shard") == [(winner, winner, winner % 64)] * 3
    [stat] = await fetch(database, "SELECT customer_id, count FROM customer_event_stat WHERE name = 'stamps.used'")
    assert tuple(stat) == (winner, 3)


async def test_the_event_of_nobody_is_refused(platform: Platform, database: Database) -> None:
    [customer] = await customers(database, 1)
    with pytest.raises(NotFound, match="customer with the id 999999"):
        async with open_work(platform) as work:
            work.emit("stamps.used", customer)
            work.emit("stamps.used", 999_999)
    assert await emitted(database) == []


async def test_many_events_take_few_statements(platform: Platform, database: Database, query_counter: Any) -> None:
    people = await customers(database, 100)
    query_counter.reset()
    async with open_work(platform) as work:
        for number in range(1_000):
            person = people[number % 100]
            work.emit("stamps.given", person, cause=cause(person), properties={"count": number})
            work.enqueue("stamps.remind", {"count": number}, key=str(number))
    # BEGIN, a setting, customers, message ids, events, jobs, COMMIT
    assert query_counter.count == 7
    rows = await fetch(database, "SELECT properties->>'count' FROM event WHERE name = 'stamps.given' ORDER BY id")
    assert [int(row[0]) for row in rows] == list(range(1_000))


async def test_a_work_without_news_writes_none(platform: Platform, told: list[str], query_counter: Any) -> None:
    query_counter.reset()
    async with open_work(platform):
        pass
    assert query_counter.count == 2
    assert told == []


async def test_nobody_is_woken_for_a_job_that_is_not_due(platform: Platform, told: list[str]) -> None:
    async with open_work(platform) as work:
        work.enqueue("stamps.remind", {"count": 1}, due_at=NOW + timedelta(days=1))
    assert told == []


async def test_a_waiting_job_with_the_same_key_is_replaced_on_request(platform: Platform, database: Database) -> None:
    for count, replace in ((1, False), (2, False), (3, True)):
        async with open_work(platform) as work:
            work.enqueue("stamps.remind", {"count": count}, key="k", replace=replace)
        rows = await fetch(database, "SELECT payload FROM job")
        assert [row[0] for row in rows] == ['{"count": 3}' if replace else '{"count": 1}']


async def test_a_unit_of_work_is_a_transaction_of_its_own(platform: Platform, database: Database) -> None:
    assert not in_transaction()
    with pytest.raises(RuntimeError, match="does not run in a unit of work"):
        current()
    async with open_work(platform) as work:
        assert in_transaction()
        with pytest.raises(RuntimeError, match="of its own"):
            async with open_work(platform):
                pass
        assert current() is work
    assert not in_transaction()
    async with database.transaction():
        with pytest.raises(RuntimeError, match="of its own"):
            async with open_work(platform):
                pass
    with pytest.raises(RuntimeError, match="has ended"):
        work.emit("stamps.used", 1)
    with pytest.raises(RuntimeError, match="has ended"):
        work.enqueue("stamps.remind", {"count": 1})


async def test_a_task_that_outlives_the_work_is_outside_of_it(platform: Platform) -> None:
    ended = asyncio.Event()

    async def later() -> bool:
        assert in_transaction()
        await ended.wait()
        return in_transaction()

    async with open_work(platform):
        task = asyncio.create_task(later())
        await asyncio.sleep(0)
    ended.set()
    assert await task is False


async def test_a_merge_that_does_not_end_is_not_waited_for_for_ever(
    platform: Platform, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emit, "PATIENCE", 0.1)
    [customer] = await customers(database, 1)
    merging = await asyncpg.connect(database_url)
    try:
        transaction = merging.transaction()
        await transaction.start()
        # As ingest does it: locked in a savepoint, then changed.
        async with merging.transaction():
            await merging.execute("SELECT FROM customer WHERE id = $1 FOR UPDATE", customer)
        await merging.execute("UPDATE customer SET merged_into = id WHERE id = $1", customer)
        with pytest.raises(Unavailable):
            async with open_work(platform) as work:
                work.emit("stamps.used", customer)
        await transaction.rollback()
    finally:
        await merging.close()
    assert await emitted(database) == []
    async with open_work(platform) as work:
        work.emit("stamps.used", customer)
    assert await emitted(database) == [("stamps.used", customer)]


async def test_an_id_that_somebody_stores_at_the_same_time_is_not_stored_twice(
    platform: Platform, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    [customer] = await customers(database, 1)
    event = cause(customer)
    # Whoever looked before the other one committed saw nothing.
    monkeypatch.setattr(emit, "_STORED", emit._STORED + " AND false")
    async with open_work(platform) as work:
        work.emit("stamps.used", customer, cause=event)
    with pytest.raises(Unavailable):
        async with open_work(platform) as work:
            work.emit("stamps.used", customer, cause=event)
    assert len(await emitted(database)) == 1
    [stat] = await fetch(database, "SELECT count FROM customer_event_stat WHERE name = 'stamps.used'")
    assert stat["count"] == 1
