"""Positions: every committed batch gets one, in an order that each customer's events keep, whoever else is at work."""

from __future__ import annotations

import asyncio
import os
import random
import time

import asyncpg
import pytest

from zhike.consumers.engine import Consumers
from zhike.consumers.log import LogReader, Want
from zhike.consumers.sequencer import Sequencer
from zhike.orm import Database

SCALE = float(os.environ.get("ZHIKE_FAULT_SCALE", "0.1"))
_WRITE = """
WITH batch AS (
  INSERT INTO log_batch (names, shards, size) VALUES ('{order.paid}', 1::bigint << $1, $2) RETURNING batch_id
)
INSERT INTO event (batch_id, message_id, name, behaviour, customer_id, home_customer_id, shard, occurred_at,
  recorded_at, properties, source, origin, live)
SELECT batch_id, $3 || n, 'order.paid', true, $1, $1, $1, now(), now(), '{}', '', 'test', true
FROM batch, generate_series(1, $2::int) AS n
"""


async def _writer(url: str, customer: int, batches: int, size: int, written: list[str]) -> None:
    """Write batches of one customer one after the other, with delays around the commit; some are rolled back."""
    random_ = random.Random(customer)
    connection = await asyncpg.connect(url)
    try:
        for number in range(batches):
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(_WRITE, customer, size, f"{customer}:{number:05}:")
            if random_.random() < 0.3:
                await asyncio.sleep(random_.expovariate(200))
            if random_.random() < 0.05:
                await transaction.rollback()
                continue
            await transaction.commit()
            written += [f"{customer}:{number:05}:{n}" for n in range(1, size + 1)]
    finally:
        await connection.close()


async def _read(reader: LogReader, got: list[tuple[int, str]], place: tuple[int, int]) -> tuple[int, int]:
    await reader.look()
    while True:
        events, end = await reader.stretch(place, Want(None, 0, 63), 500)
        got += [(event.customer_id, event.message_id) for event in events]
        if end == place:
            return place
        place = end


@pytest.mark.faults
async def test_a_reader_misses_nothing_of_writers_that_commit_out_of_order(
    database: Database, database_url: str
) -> None:
    size, batches = 25, int(50_000 * SCALE / 8 / 25)
    written: list[str] = []
    got: list[tuple[int, str]] = []
    sequencers = [Sequencer(database), Sequencer(database)]
    reader, place = LogReader(database, None), (1, 0)
    placing = [asyncio.create_task(each.run()) for each in sequencers]
    writing = [asyncio.create_task(_writer(database_url, each, batches, size, written)) for each in range(8)]
    try:
        while not all(task.done() for task in writing):
            place = await _read(reader, got, place)
            await asyncio.sleep(0.005)
        await asyncio.gather(*writing)
        deadline = time.monotonic() + 60
        while len(got) < len(written) and time.monotonic() < deadline:
            place = await _read(reader, got, place)
            await asyncio.sleep(0.01)
    finally:
        for task in placing:
            task.cancel()
        await asyncio.wait(placing)
    assert len(got) == len(written)
    assert {message for _, message in got} == set(written)
    for customer in range(8):
        mine = [message for owner, message in got if owner == customer]
        # Events of one batch have ascending ids, batches of one writer ascending numbers.
        assert [message.rpartition(":")[0] for message in mine] == sorted(
            message.rpartition(":")[0] for message in mine
        )
    async with database.connection() as connection:
        row = await connection.fetchrow("SELECT count(*), count(position), min(position), max(position) FROM log_batch")
    assert row is not None
    assert row[0] == row[1] == row[3]
    assert row[2] == 1


async def test_several_sequencers_give_each_position_once(stand) -> None:
    async with stand.db.connection() as connection:
        await connection.execute(
            "INSERT INTO log_batch (names, shards, size) SELECT '{a}', 1, 1 FROM generate_series(1, 3000)"
        )
    others = [Sequencer(stand.db) for _ in range(4)]
    await asyncio.gather(*(each.step() for each in others for _ in range(3)))
    while await stand.sequencer.step():
        pass
    assert await stand.column("SELECT position FROM log_batch ORDER BY batch_id") == list(range(1, 3001))


async def test_more_batches_than_one_tick_takes_are_all_placed(stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zhike.consumers.sequencer.MOST", 7)
    async with stand.db.connection() as connection:
        await connection.execute(
            "INSERT INTO log_batch (names, shards, size) SELECT '{a}', 1, 1 FROM generate_series(1, 50)"
        )
    steps = 0
    while await stand.sequencer.step():
        steps += 1
    assert steps == 8
    assert await stand.column("SELECT position FROM log_batch ORDER BY batch_id") == list(range(1, 51))


async def test_foreign_transactions_delay_nobody(stand, recorder, database_url: str) -> None:
    """One holds a snapshot, one has written a batch it does not commit: consumers go on without either."""
    consumers: Consumers = await stand.registered(probe=recorder("probe"))
    reader, writer = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    try:
        holding = reader.transaction(isolation="repeatable_read")
        await holding.start()
        await reader.fetchval("SELECT count(*) FROM event")
        late = writer.transaction()
        await late.start()
        await writer.execute(_WRITE, 3, 2, "late:")
        running = [
            asyncio.create_task(Sequencer(stand.db, consumers.wake).run()),
            asyncio.create_task(consumers.run()),
        ]
        try:
            for _ in range(10):
                await stand.store([stand.event()])
                expected = await stand.fetchval("SELECT count(*) FROM event")
                async with asyncio.timeout(30):
                    while await stand.fetchval("SELECT count(*) FROM effect") != expected:  # noqa: ASYNC110  # nobody tells us
                        await asyncio.sleep(0.005)
            # Only now does the earlier batch commit. It is offered like any other.
            async with stand.db.connection() as connection:
                await connection.execute(
                    "INSERT INTO customer (id, created_at, updated_at) VALUES (3, now(), now()) ON CONFLICT DO NOTHING"
                )
            await late.commit()
            deadline = time.monotonic() + 20
            while await stand.fetchval("SELECT count(*) FROM effect WHERE message_id LIKE 'late:%'") != 2:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
        finally:
            for task in running:
                task.cancel()
            await asyncio.wait(running)
        await holding.rollback()
    finally:
        await reader.close()
        await writer.close()


async def test_an_idle_sequencer_is_cheap(stand, query_counter) -> None:
    task = asyncio.create_task(stand.sequencer.run())
    try:
        await asyncio.sleep(0.2)
        query_counter.reset()
        await asyncio.sleep(1.5)
    finally:
        task.cancel()
        await asyncio.wait([task])
    # It backs off to two looks a second; each is five statements.
    assert query_counter.count <= 60


async def test_it_tells_of_what_another_process_has_placed_too(stand) -> None:
    told: list[str] = []
    first = Sequencer(stand.db, placed=lambda: told.append("first"))
    second = Sequencer(stand.db, placed=lambda: told.append("second"))
    await first.step()
    await second.step()
    told.clear()
    await stand.store([stand.event()])
    assert await first.step()
    assert not await second.step()
    assert told == ["first", "second"]
    assert not await second.step()
    assert told == ["first", "second"]
