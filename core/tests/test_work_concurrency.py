"""Units of work beside ingest: nothing emitted is lost to a merge in flight, nobody deadlocks, figures stay right."""

from __future__ import annotations

import asyncio
import contextvars
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from zhike.contracts import CustomerRows, EventType, RecordedEvent
from zhike.errors import Unavailable
from zhike.events.ingest import store
from zhike.events.schemas import CheckedEvent
from zhike.hooks import hookimpl
from zhike.ids import new_message_id
from zhike.orm import Database
from zhike.platform import Platform
from zhike.plugins.rows import declare
from zhike.work import begin

NOW = datetime(2026, 3, 14, 8, tzinfo=UTC)
SCALE = float(os.environ.get("ZHIKE_FAULT_SCALE", "0.1"))

# What the figures beside the log would be if they were made anew.
REBUILT = """
SELECT customer_id, coalesce(name, '*') AS name, coalesce(currency, '') AS currency, count(*)::bigint,
       coalesce(sum(amount), 0)::bigint, min(occurred_at), max(occurred_at)
FROM event WHERE behaviour
GROUP BY GROUPING SETS ((customer_id, name, currency), (customer_id, currency))
"""


class Stamps:
    """A plugin that records behaviours and facts."""

    @hookimpl
    def register_event_types(self) -> list[EventType]:
        """Register one type of each kind."""
        return [
            EventType(name="stamps.given", kind="platform", label="Given"),
            EventType(name="stamps.used", kind="behaviour", label="Used"),
        ]


@pytest_asyncio.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    """Eight connections; whatever a test does, the figures must be right and nobody may have deadlocked."""
    opened = await Database.open(database_url, max_size=8)
    yield opened
    async with opened.connection() as connection:
        assert not await connection.fetch(
            f"({REBUILT} EXCEPT SELECT * FROM customer_event_stat)"
            f" UNION ALL (SELECT * FROM customer_event_stat EXCEPT {REBUILT})"
        )
        for table in ("event", "identity", "customer_event_stat"):
            assert not await connection.fetch(
                f"SELECT FROM {table} JOIN customer c ON c.id = customer_id WHERE c.merged_into IS NOT NULL"
            ), table
        assert (
            await connection.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 0
        )
    await opened.close()


@pytest.fixture
def platform(db: Database, make_platform: Any) -> Platform:
    made: Platform = make_platform(db, stamps=Stamps())
    return made


def event(identities: dict[str, str], message_id: str | None = None, **fields: Any) -> CheckedEvent:
    given = {"index": 0, "name": "page.view", "message_id": message_id or new_message_id(), "occurred_at": NOW} | fields
    return CheckedEvent(**given, identities=list(identities.items()))


async def put(platform: Platform, events: Sequence[CheckedEvent]) -> None:
    async with platform.db.transaction() as connection:
        await store(connection, events, origin="token:1", live=True, now=NOW, platform=platform)


async def value(db: Database, sql: str, *arguments: Any) -> Any:
    async with db.connection() as connection:
        return await connection.fetchval(sql, *arguments)


def cause(message_id: str, customer: int) -> RecordedEvent:
    return RecordedEvent(
        id=1, batch_id=1, message_id=message_id, name="page.view", behaviour=True, customer_id=customer, shard=1,
        occurred_at=NOW, recorded_at=NOW,
    )  # fmt: skip


async def until_taken(attempt: Callable[[], Awaitable[None]]) -> int:
    """Do as everybody who is told to come back does; return how often it was told."""
    for times in range(20):
        try:
            await attempt()
        except Unavailable:
            await asyncio.sleep(random.random() / 20)
        else:
            return times
    raise AssertionError("it is never taken")


async def visitors(platform: Platform, names: Sequence[str]) -> dict[str, int]:
    """Let people come whom we do not know, and others whom we do."""
    await put(platform, [event({"device_id": name}) for name in names] + [event({"phone": name}) for name in names])
    async with platform.db.connection() as connection:
        rows = await connection.fetch(
            "SELECT value, customer_id FROM identity WHERE namespace = 'device_id' AND value = ANY($1)", names
        )
    return dict(map(tuple, rows))


@pytest.mark.faults
async def test_what_is_emitted_for_visitors_who_are_being_merged_is_the_winners(
    db: Database, platform: Platform
) -> None:
    rounds, together = int(1_000 * SCALE), 20
    given_up = 0
    for round_ in range(rounds // together):
        names = [f"{round_}-{n}" for n in range(together)]
        ids = await visitors(platform, names)

        async def log_in(names: list[str] = names) -> None:
            for name in random.sample(names, len(names)):
                await put(platform, [event({"phone": name, "device_id": name})])

        async def answer(names: list[str] = names, ids: dict[str, int] = ids) -> None:
            nonlocal given_up
            for start in range(0, together, 5):
                chosen = random.sample(names[start : start + 5], 5)

                async def record(chosen: list[str] = chosen) -> None:
                    async with begin(platform, origin="plugin:stamps", plugin="stamps", now=NOW) as work:
                        for name in chosen:
                            work.emit("stamps.given", ids[name], cause=cause(name, ids[name]))
                            work.emit("stamps.used", ids[name], cause=cause(name, ids[name]), amount=Decimal(2))

                given_up += await until_taken(record)

        # The same causes are answered by two, as if a process was thought to be dead and is not.
        await asyncio.gather(log_in(), log_in(), answer(), answer(), answer(names[::-1]))
    merged = await value(db, "SELECT count(*) FROM customer_merge")
    events = await value(db, "SELECT count(*) FROM event WHERE name LIKE 'stamps.%'")
    print(f"{merged} visitors merged, {events} events emitted for them, {given_up} units of work begun again")
    assert merged == rounds
    assert events == 2 * rounds
    # Also those that were emitted before the merge are the winner's, whose phone it is.
    assert (
        await value(
            db,
            "SELECT count(*) FROM event e JOIN identity i ON i.customer_id = e.customer_id AND i.namespace = 'phone'"
            " WHERE e.name LIKE 'stamps.%'",
        )
        == 2 * rounds
    )


@pytest.mark.faults
async def test_of_a_merge_and_a_work_that_wait_for_each_other_the_merge_goes_on(
    db: Database, platform: Platform
) -> None:
    """The work has changed a row that the merge has to move, and emits for the customer that is being merged."""
    async with db.transaction() as connection:
        await connection.execute("CREATE TABLE stamps_stamp (customer_id bigint PRIMARY KEY, number int NOT NULL)")
        await declare(connection, "stamps", [CustomerRows(table="stamps_stamp")])
    ids = await visitors(platform, ["x"])
    async with db.transaction() as connection:
        await connection.execute("INSERT INTO stamps_stamp VALUES ($1, 0)", ids["x"])
    merging: asyncio.Task[None] | None = None
    with pytest.raises(Unavailable):
        async with begin(platform, origin="plugin:stamps", plugin="stamps") as work:
            await work.connection.execute("UPDATE stamps_stamp SET number = number + 1")
            merging = asyncio.create_task(log_in(platform), context=contextvars.Context())
            await somebody_waits(db)
            work.emit("stamps.used", ids["x"])
    assert merging is not None
    await merging
    async with begin(platform, origin="plugin:stamps", plugin="stamps", now=NOW) as work:
        await work.connection.execute("UPDATE stamps_stamp SET number = number + 1")
        work.emit("stamps.used", ids["x"])
    assert await value(db, "SELECT count(*) FROM customer_merge") == 1
    assert await value(db, "SELECT count(*) FROM duplicate_candidate") == 0
    row = "SELECT number FROM stamps_stamp JOIN customer ON id = customer_id WHERE merged_into IS NULL"
    assert await value(db, row) == 1


async def log_in(platform: Platform) -> None:
    await put(platform, [event({"phone": "x", "device_id": "x"})])


async def somebody_waits(db: Database) -> None:
    """Return when a transaction waits for a row."""
    connection = await asyncpg.connect(db.engine.config["dsn"])
    try:
        for _ in range(2_000):
            # Of this database: tests that run beside this one may have theirs on the same server.
            waits = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            if await connection.fetch(waits):
                return
            await asyncio.sleep(0.01)
        raise AssertionError("nobody waits")
    finally:
        await connection.close()


@pytest.mark.faults
async def test_figures_kept_on_the_way_are_those_of_a_rebuild(db: Database, platform: Platform) -> None:
    """Late, repeated and out-of-order events, visitors who log in, and plugins that answer, all at the same time."""
    total, size = int(100_000 * SCALE), 250
    rng = random.Random(20260314)
    people = total // 50
    stream = []
    for number in range(total):
        person, device = str(rng.randrange(people)), str(rng.randrange(people))
        who = rng.choices(
            [{"external_id": person}, {"device_id": device}, {"external_id": person, "device_id": device},
             {"phone": person, "anonymous_id": device}],
            [70, 20, 5, 5],
        )[0]  # fmt: skip
        amount = rng.choice([None, None, rng.randrange(-500, 100_000)])
        late = timedelta(seconds=rng.choice([0, 0, 1, 60, 86_400 * 40]) * rng.random())
        stream.append(
            event(
                who, f"m{number}", name=f"t{rng.randrange(5)}", occurred_at=NOW - late, amount=amount,
                currency=None if amount is None else rng.choice(["CNY", "CNY", "USD"]),
            )
        )  # fmt: skip
    # A tenth comes a second time, some of it beside the first.
    sent = stream + rng.sample(stream, total // 10)
    order = sorted(range(len(sent)), key=lambda place: place + rng.randrange(2_000))
    batches = [[sent[place] for place in order[start : start + size]] for start in range(0, len(order), size)]
    answered: set[str] = set()

    async def bring() -> None:
        while batches:
            batch = batches.pop()
            await until_taken(partial(put, platform, batch))
            async with db.connection() as connection:
                rows = await connection.fetch(
                    "SELECT message_id, customer_id FROM event WHERE message_id = ANY($1)",
                    [one.message_id for one in rng.sample(batch, 20)],
                )

            async def answer(rows: list[asyncpg.Record] = rows) -> None:
                async with begin(platform, origin="plugin:stamps", plugin="stamps", now=NOW) as work:
                    for message_id, customer in rows:
                        work.emit(
                            "stamps.used", customer, cause=cause(message_id, customer), amount=Decimal("0.5"),
                            occurred_at=NOW - timedelta(days=rng.randrange(100)),
                        )  # fmt: skip

            await until_taken(answer)
            answered.update(row[0] for row in rows)

    await asyncio.gather(*[bring() for _ in range(6)])
    merged = await value(db, "SELECT count(*) FROM customer_merge")
    print(f"{len(sent)} events of {total} sent, {merged} visitors merged, {len(answered)} answered")
    assert merged > people / 20
    assert await value(db, "SELECT count(*) FROM event WHERE name LIKE 't_'") == total
    assert await value(db, "SELECT count(*) FROM event WHERE name = 'stamps.used'") == len(answered)
