"""Concurrent batches: one row per message id, one customer per identity, no deadlock, nothing lost by a kill."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from zhike.errors import Unavailable
from zhike.events import ingest
from zhike.events.grouping import Collector
from zhike.events.ingest import Ingested, store
from zhike.events.schemas import CheckedEvent
from zhike.ids import new_message_id
from zhike.orm import Database

NOW = datetime(2026, 3, 14, 8, tzinfo=UTC)
SCALE = float(os.environ.get("ZHIKE_FAULT_SCALE", "0.1"))
PAIRS = dict[str, str]


@pytest_asyncio.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    """Eight connections; whatever a test does, the figures must be right in the end."""
    opened = await Database.open(database_url, max_size=8)
    yield opened
    await consistent(opened)
    await opened.close()


def event(identities: PAIRS, message_id: str | None = None, **fields: Any) -> CheckedEvent:
    given = {"index": 0, "name": "page.view", "message_id": message_id or new_message_id(), "occurred_at": NOW} | fields
    return CheckedEvent(**given, identities=list(identities.items()))


async def put(db: Database, events: Sequence[CheckedEvent]) -> Ingested:
    async with db.transaction() as connection:
        return await store(connection, events, origin="token:1", live=True, now=NOW)


async def value(db: Database, sql: str, *arguments: Any) -> Any:
    async with db.connection() as connection:
        return await connection.fetchval(sql, *arguments)


async def consistent(db: Database) -> None:
    """Stats equal a rebuild, nothing hangs on a customer merged away, the log's batches say what is in them."""
    async with db.connection() as connection:
        assert not await connection.fetch(
            """
            WITH rebuilt AS (
              SELECT customer_id, coalesce(name, '*') AS name, coalesce(currency, '') AS currency, count(*)::bigint,
                     coalesce(sum(amount), 0)::bigint, min(occurred_at), max(occurred_at)
              FROM event WHERE behaviour
              GROUP BY GROUPING SETS ((customer_id, name, currency), (customer_id, currency))
            )
            (SELECT * FROM rebuilt EXCEPT SELECT * FROM customer_event_stat)
            UNION ALL (SELECT * FROM customer_event_stat EXCEPT SELECT * FROM rebuilt)
            """
        )
        for table in ("event", "identity", "customer_event_stat"):
            assert not await connection.fetch(
                f"SELECT customer_id FROM {table} JOIN customer c ON c.id = customer_id WHERE c.merged_into IS NOT NULL"
            ), table
        # Everybody was created once, by an event that is in the log, and has an identity.
        assert not await connection.fetch(
            "SELECT c.id FROM customer c LEFT JOIN event e ON e.home_customer_id = c.id AND e.name = 'customer.created'"
            " GROUP BY c.id HAVING count(e.id) <> 1"
        )
        assert not await connection.fetch(
            "SELECT id FROM customer WHERE merged_into IS NULL AND id NOT IN (SELECT customer_id FROM identity)"
        )
        assert not await connection.fetch(
            "SELECT batch_id FROM log_batch b FULL JOIN (SELECT batch_id, count(*) AS size, bit_or(1::bigint << shard)"
            " AS shards FROM event GROUP BY batch_id) e USING (batch_id)"
            " WHERE (b.size, b.shards) IS DISTINCT FROM (e.size, e.shards)"
        )


async def test_the_same_batch_ten_times_at_once(db: Database) -> None:
    size = 100
    events = [
        event({"external_id": f"c{n % 40}", "phone": f"p{n % 40}"}, f"m{n}", amount=n, currency="CNY", traits={"n": n})
        for n in range(size)
    ]
    for _ in range(3):
        await put(db, events[:20])
        answers = await asyncio.gather(*[put(db, random.sample(events, size)) for _ in range(10)])
        assert sum(answer.accepted for answer in answers) in {size - 20, 0}
        assert all(answer.accepted + answer.duplicate == size for answer in answers)
    assert await value(db, "SELECT count(*) FROM event WHERE behaviour") == size
    assert await value(db, "SELECT count(*) FROM customer") == 40
    assert await value(db, "SELECT sum(sum) FROM customer_event_stat WHERE name = '*'") == sum(range(size))


async def test_one_customer_whoever_comes_first(db: Database) -> None:
    """Batches create, attach to and name the same customers at the same time, in any order."""
    for round_ in range(10):
        people = [
            {"external_id": f"e{round_}-{n}", "phone": f"p{round_}-{n}", "device_id": f"d{round_}-{n}"}
            for n in range(10)
        ]
        batches = []
        for _ in range(8):
            batch = []
            for person in people:
                # Everybody's phone is in every batch: it ties the others together.
                names = ["phone", *random.sample(["external_id", "device_id"], random.randint(0, 2))]
                ranked = sorted(names, key=["external_id", "phone", "device_id"].index)
                batch.append(event({name: person[name] for name in ranked}, traits={"n": random.random()}))
            batches.append(random.sample(batch, len(batch)))
        await asyncio.gather(*[put(db, batch) for batch in batches])
        assert await value(db, "SELECT count(*) FROM customer") == 10 * (round_ + 1)
    assert await value(db, "SELECT count(*) FROM duplicate_candidate") == 0


async def test_a_customer_gets_one_value_of_a_strong_namespace(db: Database) -> None:
    for round_ in range(10):
        await put(db, [event({"phone": f"p{round_}"})])
        await asyncio.gather(
            *[put(db, [event({"phone": f"p{round_}", "member_no": f"m{round_}-{n}"})]) for n in range(8)]
        )
    assert await value(db, "SELECT count(*) FROM identity WHERE namespace = 'member_no'") == 10
    assert await value(db, "SELECT count(*) FROM customer") == 10


async def test_visitors_are_merged_while_they_act(db: Database) -> None:
    """Nothing a visitor does while somebody logs in on his device stays with the customer merged away."""
    number = max(1, int(50 * SCALE)) * 20
    for start in range(0, number, 20):
        visitors = range(start, start + 20)
        await put(db, [event({"device_id": f"d{n}"}) for n in visitors] + [event({"phone": f"p{n}"}) for n in visitors])

        async def act(visitors: range = visitors) -> None:
            for _ in range(4):
                await put(db, [event({"device_id": f"d{n}"}) for n in random.sample(visitors, 10)])
                await put(
                    db, [event({"device_id": f"d{n}", "anonymous_id": f"a{n}"}) for n in random.sample(visitors, 5)]
                )

        async def log_in(visitors: range = visitors) -> None:
            for n in random.sample(visitors, len(visitors)):
                await put(db, [event({"phone": f"p{n}", "device_id": f"d{n}"})])

        await asyncio.gather(act(), act(), act(), log_in(), log_in(), log_in())
    assert await value(db, "SELECT count(*) FROM customer_merge") == number
    assert await value(db, "SELECT count(*) FROM customer WHERE merged_into IS NULL") == number


async def test_who_is_overtaken_for_ever_is_told_to_come_back(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    insert = ingest.insert_events

    async def overtaken(*arguments: Any, **options: Any) -> int:
        return await insert(*arguments, **options) - 1

    monkeypatch.setattr(ingest, "insert_events", overtaken)
    with pytest.raises(Unavailable) as refused:
        await put(db, [event({"phone": "1"})])
    assert refused.value.retry_after == 1
    assert await value(db, "SELECT count(*) FROM event") == 0
    monkeypatch.undo()
    assert (await put(db, [event({"phone": "1"})])).accepted == 1


async def test_overlapping_batches_never_deadlock(db: Database) -> None:
    """Every batch brings traits, new and known customers, visitors to merge and duplicates, in its own order."""
    rounds = max(4, int(40 * SCALE))
    before = await deadlocks(db)
    for round_ in range(rounds):
        pool = []
        for n in range(60):
            key = f"{round_ // 2}-{n % 15}"
            identities = random.choice(
                [
                    {"external_id": key},
                    {"phone": key},
                    {"external_id": key, "phone": key},
                    {"device_id": key},
                    {"phone": key, "device_id": key},
                    {"external_id": key, "anonymous_id": f"{round_}-{n % 7}"},
                    {"member_no": key, "device_id": f"{round_}-{n % 5}"},
                ]
            )
            traits = random.choice([None, {"city": str(n)}, {"name": key}])
            pool.append(event(identities, f"{round_}-{n}", traits=traits, name=f"t{random.randrange(3 * round_ + 3)}"))
        # DeadlockDetectedError would come out of here.
        await asyncio.gather(*[put(db, random.sample(pool, 40)) for _ in range(8)])
    assert await deadlocks(db) == before


async def test_known_customers_need_no_lock_and_never_deadlock(db: Database) -> None:
    """Without traits and new identities, only message ids and stats can stand in each other's way."""
    people = [{"external_id": f"c{n}"} for n in range(200)]
    await put(db, [event(person) for person in people])
    before = await deadlocks(db)
    for round_ in range(max(3, int(30 * SCALE))):
        same = [event(person, f"{round_}-{n}") for n, person in enumerate(people)]
        await asyncio.gather(
            *[put(db, random.sample(same, len(same))) for _ in range(4)],
            *[put(db, [event(person) for person in random.sample(people, len(people))]) for _ in range(4)],
        )
    assert await deadlocks(db) == before


async def deadlocks(db: Database) -> int:
    await asyncio.sleep(0)
    return int(await value(db, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"))


@pytest.mark.faults
async def test_killed_backends_lose_nothing_acknowledged(db: Database, database_url: str, make_platform: Any) -> None:
    total = int(100_000 * SCALE)
    batch = 25
    collector = Collector(make_platform(db))
    acknowledged: list[str] = []
    numbers = iter(range(total // batch))
    errors = killed = 0

    async def client() -> None:
        nonlocal errors
        for number in numbers:
            events = []
            for n in range(number * batch, (number + 1) * batch):
                who = {"external_id": f"c{n % 997}"} if n % 3 else {"phone": f"p{n % 997}", "device_id": f"d{n % 101}"}
                events.append(event(who, f"m{n}", occurred_at=NOW - timedelta(seconds=n)))
            while True:
                try:
                    answer = await collector.submit(events, origin="token:1")
                except Unavailable:
                    errors += 1
                    await asyncio.sleep(0.01)
                    continue
                assert answer.accepted + answer.duplicate == batch
                acknowledged.extend(one.message_id for one in events)
                break

    async def kill(until: asyncio.Event) -> None:
        nonlocal killed
        killer = await asyncpg.connect(database_url)
        while not until.is_set():
            before = len(acknowledged)  # the next kill comes by what was done, however fast the machine is
            while len(acknowledged) < before + total // 40 and not until.is_set():  # noqa: ASYNC110  # a count is no event
                await asyncio.sleep(0.005)
            killed += await killer.fetchval(
                "SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle') AS gone"
            )
        await killer.close()

    done = asyncio.Event()
    killing = asyncio.create_task(kill(done))
    await asyncio.gather(*[client() for _ in range(8)])
    done.set()
    await killing
    await collector.close()
    stored = await value(db, "SELECT count(*) FROM event WHERE behaviour")
    distinct = await value(db, "SELECT count(DISTINCT message_id) FROM event WHERE message_id = ANY($1)", acknowledged)
    print(f"acknowledged {len(acknowledged)}, stored {stored}, requests that failed {errors}")
    assert len(acknowledged) == stored == distinct == total
    assert killed > 0
