"""Consumers are given no event of an erased customer, wherever they are in the log, and leave nothing of it."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from zhike.consumers.engine import Consumers
from zhike.consumers.sequencer import Sequencer
from zhike.work import begin

OURS = {"geng-0", "geng-1", "geng-2"}


@pytest.fixture
async def consumers(platform):
    """The consumers of one process, which drain in the end."""
    made = Consumers(platform)
    yield made
    await made.drain()


async def place(platform):
    sequencer = Sequencer(platform.db)
    while await sequencer.step():
        pass


async def test_a_consumer_that_lags_behind_gets_none_of_them(api, geng, platform, watcher, consumers):
    await place(platform)
    await consumers.step()  # two events; the others are read by now and kept
    assert len(watcher.SEEN) <= 2
    kept = {event.message_id for events in consumers.log._events.values() for event in events}
    assert kept >= OURS
    before = set(watcher.SEEN)
    await api.erase(geng)
    while await consumers.step():
        pass
    assert OURS.isdisjoint(set(watcher.SEEN) - before)
    assert "other-1" in watcher.SEEN


async def test_what_a_consumer_does_while_the_customer_is_erased_is_undone(api, geng, platform, watcher, consumers):
    await place(platform)
    async with platform.db.connection() as connection:
        await connection.execute("CREATE TABLE effect (event_id bigint)")
    done = []

    async def erase_now(events, work):
        await work.connection.execute("INSERT INTO effect SELECT unnest($1::bigint[])", [each.id for each in events])
        if not done and any(event.customer_id == geng for event in events):
            # In a context of its own: a request is no part of the consumer's work.
            done.append(await asyncio.create_task(api.erase(geng), context=contextvars.Context()))

    watcher.BEFORE.append(erase_now)
    while await consumers.step():
        pass
    assert done
    async with platform.db.connection() as connection:
        effects = {row[0] for row in await connection.fetch("SELECT event_id FROM effect")}
        erased = {row[0] for row in await connection.fetch("SELECT id FROM event WHERE customer_id = $1", geng)}
    assert effects
    assert effects.isdisjoint(erased)
    assert "other-1" in watcher.SEEN


async def test_a_dead_letter_of_an_erased_customer_is_not_offered_again(api, geng, platform, watcher, consumers):
    await place(platform)
    while await consumers.step():
        pass
    async with platform.db.connection() as connection:
        await connection.execute(
            "INSERT INTO dead_letter"
            " (consumer, batch_id, event_id, message_id, event_name, customer_id, shard, error, offered, replay_at)"
            " SELECT 'watcher', batch_id, id, message_id, name, customer_id, shard, 'x', 1, now() FROM event"
            " WHERE message_id = 'geng-1'"
        )
    watcher.SEEN.clear()
    await api.erase(geng)
    while await consumers.step():
        pass
    assert watcher.SEEN == []


async def test_nothing_is_told_of_an_erased_customer(api, geng, platform, run_until_idle):
    await api.erase(geng)
    async with begin(platform, origin="system") as work:
        work.emit("customer.history_changed", geng, properties={"reason": "retention"})
    await run_until_idle()
    async with platform.db.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM event WHERE customer_id = $1", geng) == 0
        names = [row["name"] for row in await connection.fetch("SELECT DISTINCT name FROM event")]
    assert not [name for name in names if "eras" in name]
