"""Rebuild, backfill and replay, and that whatever happened a consumer's state is what it would be from scratch."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zhike import clock
from zhike.access.actor import Actor
from zhike.consumers import service
from zhike.consumers.engine import Consumers
from zhike.contracts import Consumer
from zhike.errors import Conflict, NotFound
from zhike.hooks import hookimpl

SCALE = float(os.environ.get("ZHIKE_FAULT_SCALE", "0.1"))
STAFF = Actor.command("test")
TALLY = "CREATE TABLE tally_count (customer_id bigint PRIMARY KEY, events bigint NOT NULL, amount numeric NOT NULL)"


class Tally:
    """Counts each customer's orders and their money; fails as often as it is told to."""

    def __init__(self, start: str = "now") -> None:
        self.start = start
        self.modes: list[str] = []
        self.trouble = 0.0
        self.random = random.Random(1)
        self.resetting: BaseException | None = None

    @hookimpl
    def register_consumers(self):
        return [Consumer(events=("order.paid",), start=self.start, batch=20, reset=self.reset)]

    async def reset(self, connection):
        await connection.execute("DELETE FROM tally_count")
        if self.resetting is not None:
            raise self.resetting

    @hookimpl
    async def on_events_recorded(self, events, mode, work):
        self.modes.append(mode)
        for event in events:
            self._perhaps_fail()
            await work.connection.execute(
                "INSERT INTO tally_count AS t VALUES ($1, 1, $2) ON CONFLICT (customer_id)"
                " DO UPDATE SET events = t.events + 1, amount = t.amount + excluded.amount",
                event.customer_id,
                event.amount or 0,
            )
        self._perhaps_fail()

    @hookimpl
    async def merge_customer_data(self, winner_id, loser_ids, work):
        await work.connection.execute(
            "WITH gone AS (DELETE FROM tally_count WHERE customer_id = ANY($2::bigint[]) RETURNING events, amount)"
            " INSERT INTO tally_count AS t SELECT $1, sum(events), sum(amount) FROM gone HAVING count(*) > 0"
            " ON CONFLICT (customer_id) DO UPDATE"
            " SET events = t.events + excluded.events, amount = t.amount + excluded.amount",
            winner_id,
            loser_ids,
        )

    def _perhaps_fail(self) -> None:
        if self.random.random() < self.trouble:
            raise ValueError


async def _tallying(stand) -> tuple[Tally, Consumers]:
    await stand.execute(TALLY)
    tally = Tally()
    return tally, await stand.registered(tally=tally)


async def _letters(stand, tally: Tally, consumers: Consumers, count: int) -> None:
    """Add events that the tally fails on, each of which becomes a dead letter."""
    tally.trouble = 1.0
    await stand.add(count)
    await stand.until(consumers)


async def _tally(stand) -> list[tuple[object, ...]]:
    async with stand.db.connection() as connection:
        return [tuple(row) for row in await connection.fetch("SELECT * FROM tally_count ORDER BY customer_id")]


async def _model(stand, name: str = "tally") -> list[tuple[object, ...]]:
    """Return what the tally should be, computed at once from the log without what was set aside."""
    query = """
        SELECT customer_id, count(*), coalesce(sum(amount), 0)::numeric / 100 FROM event AS e
        WHERE name = 'order.paid'
          AND NOT EXISTS (SELECT FROM dead_letter AS d WHERE (d.consumer, d.event_id) = ($1, e.id))
        GROUP BY customer_id ORDER BY customer_id
    """
    async with stand.db.connection() as connection:
        return [tuple(row) for row in await connection.fetch(query, name)]


async def test_rebuild_starts_over_in_mode_rebuild_until_the_head_of_then(stand) -> None:
    tally, consumers = await _tallying(stand)
    await stand.add(50, batch=10, amount=100, currency="CNY")
    await stand.until(consumers)
    before = await _tally(stand)
    await stand.execute("UPDATE tally_count SET events = 777")
    tally.modes.clear()
    assert await service.rebuild(stand.db, STAFF, "tally")
    assert not await service.rebuild(stand.db, STAFF, "tally")
    assert (await service.consumers(stand.db))[0].starting_over
    await stand.until(consumers)
    assert await _tally(stand) == before == await _model(stand)
    assert set(tally.modes) == {"rebuild"}
    await stand.add(5)
    await stand.until(consumers)
    assert tally.modes[-1] == "live"
    assert await _tally(stand) == await _model(stand)
    assert await stand.fetchval("SELECT count(*) FROM audit WHERE action = 'consumer.rebuild'") == 1


async def test_rebuild_forgets_dead_letters_and_offers_their_events_again(stand) -> None:
    tally, consumers = await _tallying(stand)
    await _letters(stand, tally, consumers, 3)
    assert len((await service.dead_letters(stand.db)).items) == 3
    tally.trouble = 0.0
    await service.rebuild(stand.db, STAFF, "tally")
    await stand.until(consumers)
    assert (await service.dead_letters(stand.db)).items == []
    assert sum(row[1] for row in await _tally(stand)) == 3


@pytest.mark.parametrize("error", [RuntimeError(), SystemExit(3)])
async def test_a_reset_that_fails_changes_nothing_and_pauses(stand, error) -> None:
    tally, consumers = await _tallying(stand)
    await stand.add(10)
    await stand.until(consumers)
    before = await _tally(stand)
    tally.resetting = error
    await service.rebuild(stand.db, STAFF, "tally")
    await stand.until(consumers)
    [state] = await service.consumers(stand.db)
    assert state.state == "paused"
    assert "starting over" in (state.reason or "")
    assert type(error).__name__ in (state.last_error or "")
    assert await _tally(stand) == before
    tally.resetting = None
    await service.rebuild(stand.db, STAFF, "tally")
    await stand.until(consumers)
    assert (await service.consumers(stand.db))[0].state == "running"
    assert await _tally(stand) == before


async def test_a_reset_that_cannot_be_stopped_holds_nobody_up(stand, monkeypatch) -> None:
    monkeypatch.setattr("zhike.consumers.restart.SECONDS", 0.2)
    tally, consumers = await _tallying(stand)
    left = asyncio.Event()

    async def stubborn(connection):
        while not left.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await left.wait()

    monkeypatch.setattr(tally, "reset", stubborn)
    consumers = stand.consumers(tally=tally)
    await service.rebuild(stand.db, STAFF, "tally")
    try:
        async with asyncio.timeout(30):
            await stand.until(consumers)
    finally:
        left.set()
    [state] = await service.consumers(stand.db)
    assert (state.state, (state.last_error or "").split()[0]) == ("paused", "HookTimeout:")


async def test_only_what_says_how_to_delete_its_state_can_start_over(stand, recorder) -> None:
    await stand.registered(probe=recorder("probe"))
    with pytest.raises(Conflict):
        await service.rebuild(stand.db, STAFF, "probe")
    with pytest.raises(Conflict):
        await service.backfill(stand.db, STAFF, "probe", None)
    for call in (service.rebuild, service.pause, service.resume):
        with pytest.raises(NotFound):
            await call(stand.db, STAFF, "nobody")
    with pytest.raises(NotFound):
        await service.split(stand.db, STAFF, "nobody", 2)


async def test_backfill_takes_up_what_was_recorded_since_some_time(stand, frozen_now) -> None:
    await stand.execute(TALLY)
    for _ in range(4):
        await stand.add(10, batch=5)
        frozen_now.advance(days=1)
    tally = Tally()
    consumers = await stand.registered(tally=tally)
    assert await _tally(stand) == []
    assert await service.backfill(stand.db, STAFF, "tally", clock.now() - timedelta(days=2, hours=1))
    await stand.until(consumers)
    assert sum(row[1] for row in await _tally(stand)) == 20
    assert set(tally.modes) == {"backfill"}
    assert await service.backfill(stand.db, STAFF, "tally", None)
    await stand.until(consumers)
    assert await _tally(stand) == await _model(stand)
    assert sum(row[1] for row in await _tally(stand)) == 40


async def test_a_replay_that_fails_keeps_the_letter_and_one_that_works_ends_it(stand) -> None:
    tally, consumers = await _tallying(stand)
    await _letters(stand, tally, consumers, 2)
    first, second = [letter.id for letter in (await service.dead_letters(stand.db)).items]
    assert await service.replay(stand.db, STAFF, ids=[first, 10**9]) == 1
    await stand.until(consumers)
    letters = {letter.id: letter for letter in (await service.dead_letters(stand.db)).items}
    assert (letters[first].attempts, letters[second].attempts) == (2, 1)
    assert not letters[first].queued
    tally.trouble = 0.0
    tally.modes.clear()
    assert await service.replay(stand.db, STAFF, consumer="tally") == 2
    await stand.until(consumers)
    assert (await service.dead_letters(stand.db)).items == []
    assert tally.modes == ["replay", "replay"]
    assert sum(row[1] for row in await _tally(stand)) == 2


async def test_a_replay_also_works_while_the_consumer_is_paused(stand) -> None:
    tally, consumers = await _tallying(stand)
    await _letters(stand, tally, consumers, 1)
    await service.pause(stand.db, STAFF, "tally")
    tally.trouble = 0.0
    await service.replay(stand.db, STAFF, consumer="tally")
    await stand.until(consumers)
    assert (await service.dead_letters(stand.db)).items == []


async def test_discarded_letters_are_gone(stand) -> None:
    tally, consumers = await _tallying(stand)
    await _letters(stand, tally, consumers, 3)
    some = [letter.id for letter in (await service.dead_letters(stand.db)).items][:2]
    assert await service.discard(stand.db, STAFF, ids=some) == 2
    assert len((await service.dead_letters(stand.db)).items) == 1
    assert await service.discard(stand.db, STAFF, consumer="tally") == 1


# --- whatever happens -------------------------------------------------------------------------------------------------

STRONG = [f"e{n}" for n in range(4)]
WEAK = [f"d{n}" for n in range(4)]
who = st.sampled_from([(s, None) for s in STRONG] + [(None, w) for w in WEAK] + [(s, w) for s in STRONG for w in WEAK])
people = st.lists(who, min_size=1, max_size=12)
happening = st.one_of(
    st.tuples(st.just("events"), people),
    st.tuples(st.just("at once"), people),
    st.tuples(st.just("consume"), st.integers(1, 3)),
    st.tuples(st.just("crash"), st.floats(0, 0.02)),
    st.tuples(st.just("trouble"), st.sampled_from([0.0, 0.02, 0.2])),
    st.tuples(st.just("split"), st.sampled_from([1, 2, 4])),
)


@pytest.mark.faults
@given(happenings=st.lists(happening, min_size=5, max_size=30), seed=st.integers(0, 10**6))
@settings(
    max_examples=max(3, int(60 * SCALE)),
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_whatever_happens_the_state_is_what_a_rebuild_makes(stand, happenings, seed) -> None:
    """Random events, merges of visitors, crashes and failures; the tally equals a naive count and a rebuild.

    All examples go on in one log, each with customers of its own.
    """
    await stand.execute(TALLY.replace("TABLE", "TABLE IF NOT EXISTS"))
    tally = Tally("beginning")
    tally.random = random.Random(seed)
    era = next(stand.eras)
    consumers = await stand.registered(tally=tally)
    for what, value in happenings:
        if what == "events":
            await _store(stand, consumers, era, value)
        elif what == "at once":  # so that merges meet effects
            await stand.sequencer.step()
            await asyncio.gather(_store(stand, consumers, era, value), consumers.step())
        elif what == "consume":
            await stand.sequencer.step()
            for _ in range(value):
                await consumers.step()
        elif what == "crash":
            await stand.sequencer.step()
            await _crash(consumers, value)
            consumers = stand.consumers(tally=tally)
        elif what == "trouble":
            tally.trouble = value
        else:
            with contextlib.suppress(Conflict):
                await service.split(stand.db, STAFF, "tally", value)
    tally.trouble = 0.0
    await service.resume(stand.db, STAFF, "tally")
    await stand.until(consumers)
    # What was set aside during trouble is offered again.
    await service.replay(stand.db, STAFF, consumer="tally")
    await stand.until(consumers)
    assert (await service.dead_letters(stand.db)).items == []
    incremental = await _tally(stand)
    assert incremental == await _model(stand)
    await service.rebuild(stand.db, STAFF, "tally")
    await stand.until(consumers)
    assert await _tally(stand) == incremental


async def _store(stand, consumers, era: int, whose) -> None:
    events = [
        stand.event(
            identities=[
                (namespace, f"{era}{value}")
                for namespace, value in zip(("external_id", "device_id"), pair, strict=True)
                if value
            ],
            amount=150,
            currency="CNY",
        )
        for pair in whose
    ]
    await stand.store(events, consumers.platform)


async def _crash(consumers, delay: float) -> None:
    """End all work at some moment, as far as that can be done inside this process: nothing is settled."""
    consumers._attempts.settle = _nothing
    task = asyncio.create_task(consumers.run())
    await asyncio.sleep(delay)
    task.cancel()
    await asyncio.wait([task])


async def _nothing(*_: object) -> None:
    """Stand for what a process that has died does not do."""
