"""What a consumer is given, in which order and mode, and that effects and cursor stand or fall together."""

from __future__ import annotations

import asyncio
import time

import pytest

from zhike.access.actor import Actor
from zhike.consumers import service
from zhike.contracts import Consumer, EventType
from zhike.errors import Conflict
from zhike.hooks import hookimpl

STAFF = Actor.command("test")


async def test_a_new_consumer_is_given_what_comes_from_now_on(stand, recorder) -> None:
    await stand.add(3)
    consumers = await stand.registered(probe=recorder("probe"))
    sent = await stand.add(5, name="order.paid")
    await stand.until(consumers)
    query = "SELECT message_id FROM effect WHERE message_id LIKE 'm%' ORDER BY event_id"
    assert await stand.column(query) == sent
    assert set(await stand.column("SELECT mode FROM effect")) == {"live"}


async def test_one_that_starts_at_the_beginning_is_given_the_past_as_backfill(stand, recorder) -> None:
    past = await stand.add(7, batch=2)
    probe = recorder("probe", start="beginning", events=("order.paid",), batch=3)
    consumers = await stand.registered(probe=probe)
    present = await stand.add(2)
    await stand.until(consumers)
    assert await stand.column("SELECT message_id FROM effect ORDER BY event_id") == past + present
    assert await stand.column("SELECT message_id FROM effect WHERE mode = 'backfill' ORDER BY event_id") == past
    assert max(size for size, _ in probe.calls) == 3


async def test_calls_are_as_large_as_the_contract_says(stand, recorder) -> None:
    probe = recorder("probe", batch=4, events=("order.paid",))
    consumers = await stand.registered(probe=probe)
    await stand.add(11, batch=3)
    await stand.until(consumers)
    assert [size for size, _ in probe.calls] == [4, 4, 3]


async def test_only_events_that_are_wanted_come_and_the_rest_is_passed_unread(stand, recorder, query_counter) -> None:
    probe = recorder("probe", events=("order.refunded",))
    consumers = await stand.registered(probe=probe)
    await stand.add(40, batch=2)
    query_counter.reset()
    await stand.until(consumers)
    assert not [statement for statement in query_counter.statements if "FROM event\n" in statement]
    assert probe.calls == []
    assert (await service.consumers(stand.db))[0].lag_batches == 0
    await stand.store([stand.event(), stand.event(name="order.refunded", message_id="wanted"), stand.event()])
    await stand.until(consumers)
    assert await stand.column("SELECT message_id FROM effect") == ["wanted"]


async def test_a_plugin_without_a_contract_gets_everything_from_now_on(stand) -> None:
    class Plain:
        def __init__(self) -> None:
            self.names: list[str] = []

        @hookimpl
        async def on_events_recorded(self, events):
            self.names += [event.name for event in events]

    plain = Plain()
    consumers = await stand.registered(plain=plain)
    await stand.add(2, identities=[("external_id", "one")])
    await stand.until(consumers)
    assert sorted(plain.names) == ["customer.created", "order.paid", "order.paid"]


async def test_a_changed_contract_is_taken_over(stand, recorder) -> None:
    await stand.registered(probe=recorder("probe", events=("a.b",)))
    await stand.registered(probe=recorder("probe", events=("a.c",)))
    [state] = await service.consumers(stand.db)
    assert state.events == ["a.c"]


async def test_events_carry_what_was_stored(stand) -> None:
    class Keeper:
        def __init__(self) -> None:
            self.kept: list[object] = []

        @hookimpl
        async def on_events_recorded(self, events):
            self.kept += [event for event in events if event.name == "order.paid"]

    keeper = Keeper()
    consumers = await stand.registered(keeper=keeper)
    sent = stand.event(amount=1230, currency="CNY", properties='{"sku": "a", "price": 0.1}', source="shop")
    await stand.store([sent])
    await stand.until(consumers)
    [event] = keeper.kept
    assert (event.message_id, event.name, event.behaviour) == (sent.message_id, "order.paid", True)
    assert str(event.amount) == "12.30"
    assert event.currency == "CNY"
    assert str(event.properties["price"]) == "0.1"
    assert (event.source, event.origin, event.depth, event.live) == ("shop", "test", 0, True)
    assert event.occurred_at == sent.occurred_at
    assert event.shard == event.customer_id % 64


async def test_effects_and_cursor_are_one_transaction(stand, recorder) -> None:
    """The handler writes and then fails: nothing of it is left, and the events come again."""
    probe = recorder("probe", events=("order.paid",))
    failures = [RuntimeError("after writing")] * 3

    async def handle(events, mode, work) -> None:
        await probe.write(events, mode, work.connection)
        if failures:
            raise failures.pop()

    probe.handle = handle
    consumers = await stand.registered(probe=probe)
    sent = await stand.add(8)
    await stand.until(consumers)
    assert sorted(await stand.column("SELECT message_id FROM effect")) == sent
    assert not failures


async def test_what_a_plugin_emits_comes_to_the_others_with_cause_and_depth(stand) -> None:
    class Answers:
        def __init__(self) -> None:
            self.depths: list[int] = []

        @hookimpl
        def register_event_types(self):
            return [EventType(name="echo.said", kind="platform", label="Echo")]

        @hookimpl
        async def on_events_recorded(self, events, work):
            for event in events:
                if event.name != "customer.created":
                    self.depths.append(event.depth)
                    if event.depth < 8:
                        work.emit("echo.said", event.customer_id, cause=event)

    echo = Answers()
    consumers = await stand.registered(echo=echo)
    await stand.add(1)
    await stand.until(consumers)
    assert sorted(echo.depths) == list(range(9))
    assert set(await stand.column("SELECT origin FROM event WHERE name = 'echo.said'")) == {"plugin:echo"}
    chain = "SELECT count(*) FROM event AS e JOIN event AS c ON c.id = e.causation_id WHERE e.depth = c.depth + 1"
    assert await stand.fetchval(chain) == 8


async def test_a_plugin_cannot_go_in_circles_without_naming_causes(stand) -> None:
    class Circle:
        @hookimpl
        def register_event_types(self):
            return [EventType(name="circle.turned", kind="platform", label="Turn")]

        @hookimpl
        def register_consumers(self):
            return [Consumer(events=("order.paid", "circle.turned"))]

        @hookimpl
        async def on_events_recorded(self, events, work):
            for event in events:
                work.emit("circle.turned", event.customer_id)

    consumers = await stand.registered(circle=Circle())
    await stand.add(1)
    await stand.until(consumers)
    assert await stand.fetchval("SELECT max(depth) FROM event") == 8
    assert await stand.fetchval("SELECT count(*) FROM dead_letter") == 1


async def test_a_paused_consumer_keeps_its_place(stand, recorder) -> None:
    consumers = await stand.registered(probe=recorder("probe"), other=recorder("other"))
    assert await service.pause(stand.db, STAFF, "probe")
    assert not await service.pause(stand.db, STAFF, "probe")
    await stand.add(4)
    await stand.until(consumers)
    assert set(await stand.column("SELECT consumer FROM effect")) == {"other"}
    state = next(each for each in await service.consumers(stand.db) if each.name == "probe")
    assert (state.state, state.reason, state.lag_batches) == ("paused", "paused by staff", 1)
    assert await service.resume(stand.db, STAFF, "probe")
    await stand.until(consumers)
    rows = await stand.column("SELECT array_agg(event_id ORDER BY event_id) FROM effect GROUP BY consumer")
    assert rows[0] == rows[1]


async def test_a_plugin_that_is_off_keeps_its_place(stand, recorder) -> None:
    await stand.registered(probe=recorder("probe"))
    sent = await stand.add(4)
    others = await stand.registered(other=recorder("other"))
    await stand.until(others, seconds=20, done=_always)
    [probe, other] = sorted(await service.consumers(stand.db, loaded=["other"]), key=lambda each: each.name != "probe")
    assert (probe.state, probe.lag_batches, other.state) == ("off", 1, "running")
    back = await stand.registered(probe=recorder("probe"), other=recorder("other"))
    await stand.until(back)
    query = "SELECT message_id FROM effect WHERE consumer = 'probe' AND message_id LIKE 'm%' ORDER BY event_id"
    assert await stand.column(query) == sent


async def test_one_that_is_switched_on_from_now_leaves_out_what_was_before(stand, recorder) -> None:
    await stand.registered(probe=recorder("probe"))
    await stand.add(4)
    async with stand.db.transaction() as connection:
        await service.skip_to_now(connection, "probe")
    consumers = await stand.registered(probe=recorder("probe"))
    sent = await stand.add(2)
    await stand.until(consumers)
    assert await stand.column("SELECT message_id FROM effect WHERE message_id LIKE 'm%' ORDER BY event_id") == sent


async def test_a_merge_that_a_handler_did_not_see_has_it_called_again(stand, recorder) -> None:
    """The event was the visitor's when it was read, and is the customer's when its effects commit."""
    called, merged = asyncio.Event(), asyncio.Event()

    class Slow(recorder):
        def __init__(self, *args, **kwargs) -> None:
            super().__init__(*args, **kwargs)
            self.owners: list[int] = []

        async def handle(self, events, mode, work):
            await self.write(events, mode, work.connection)
            self.owners.append(events[0].customer_id)
            called.set()
            await merged.wait()

    probe = Slow("probe", events=("page.viewed",))
    consumers = await stand.registered(probe=probe)
    await stand.add(1, identities=[("external_id", "known")])
    [sent] = await stand.add(1, name="page.viewed", identities=[("device_id", "browser")])
    step = asyncio.create_task(consumers.step())
    await asyncio.wait_for(called.wait(), 20)
    await stand.store([stand.event(identities=[("external_id", "known"), ("device_id", "browser")])])
    merged.set()
    await step
    await stand.until(consumers)
    winner = await stand.fetchval("SELECT winner_id FROM customer_merge")
    assert probe.owners[-1] == winner != probe.owners[0]
    assert await stand.column("SELECT message_id FROM effect") == [sent]


async def test_a_process_that_wants_other_events_leaves_the_cursor_alone(stand, recorder) -> None:
    """While processes of an old and a new version run side by side, the old one must not pass by what is new."""
    old = await stand.registered(probe=recorder("probe", events=("order.paid",)))
    new = await stand.registered(probe=recorder("probe", events=("order.paid", "order.refunded")))
    sent = await stand.add(1) + await stand.add(1, name="order.refunded")
    for _ in range(3):
        await old.step()
    assert await stand.column("SELECT message_id FROM effect") == []
    await stand.until(new)
    assert await stand.column("SELECT message_id FROM effect ORDER BY event_id") == sent


async def test_ranges_of_shards_share_the_work(stand, recorder) -> None:
    probe = recorder("probe", events=("order.paid",), batch=10)
    consumers = await stand.registered(probe=probe)
    await stand.add(60, batch=20)
    await stand.until(consumers)
    assert await service.split(stand.db, STAFF, "probe", 4)
    assert not await service.split(stand.db, STAFF, "probe", 4)
    await stand.add(60, batch=20)
    await stand.until(consumers)
    assert sorted(await stand.column("SELECT event_id FROM effect")) == sorted(
        await stand.column("SELECT id FROM event WHERE name = 'order.paid'")
    )
    [state] = await service.consumers(stand.db)
    assert [(each.shard_from, each.shard_to) for each in state.ranges] == [(0, 15), (16, 31), (32, 47), (48, 63)]
    # Ranges can be split further wherever they stand, but joined only where they have met.
    await stand.execute("UPDATE consumer_cursor SET position = position - 1 WHERE shard_from = 16")
    with pytest.raises(Conflict):
        await service.split(stand.db, STAFF, "probe", 1)
    assert await service.split(stand.db, STAFF, "probe", 8)
    places = await stand.column("SELECT position FROM consumer_cursor ORDER BY shard_from")
    assert [each - max(places) for each in places] == [0, 0, -1, -1, 0, 0, 0, 0]
    await stand.execute("UPDATE consumer_cursor SET position = (SELECT max(position) FROM consumer_cursor)")
    assert await service.split(stand.db, STAFF, "probe", 1)


async def test_two_processes_never_offer_the_same(stand, recorder) -> None:
    class Slow(recorder):
        async def handle(self, events, mode, work):
            await asyncio.sleep(0.005)
            await self.write(events, mode, work.connection)

    first = await stand.registered(probe=Slow("probe", batch=5, events=("order.paid",)))
    second = await stand.registered(probe=Slow("probe", batch=5, events=("order.paid",)))
    sent = await stand.add(150, batch=7)
    tasks = [asyncio.create_task(each.run()) for each in (first, second)]
    try:
        await _counted(stand, 150)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    assert await stand.column("SELECT message_id FROM effect ORDER BY event_id") == sent


async def test_no_more_transactions_at_once_than_the_pool_can_spare(stand, recorder) -> None:
    open_now = most = 0
    full = asyncio.Event()

    class Counting(recorder):
        async def handle(self, events, mode, work):
            nonlocal open_now, most
            open_now += 1
            most = max(most, open_now)
            if most == 3:
                full.set()
            async with asyncio.timeout(20):  # they come one after the other, on a busy machine slowly
                await full.wait()
            await asyncio.sleep(0.02)  # in which a fourth would come
            open_now -= 1

    plugins = {f"probe{number}": Counting(f"probe{number}") for number in range(12)}
    from zhike.consumers.engine import Consumers

    consumers = Consumers(stand.platform(pool_size=5, **plugins))
    await consumers.step()
    await stand.add(3)
    await stand.until(consumers)
    await consumers.drain()
    assert most == 3


async def test_a_clock_that_is_set_back_stops_nothing(stand, recorder, frozen_now) -> None:
    probe = recorder("probe", events=("order.paid",))
    consumers = await stand.registered(probe=probe)
    first = await stand.add(3)
    frozen_now.advance(hours=-1)
    second = await stand.add(3)
    # A wait that was set by the clock of before is not waited for.
    await stand.execute("UPDATE consumer_cursor SET failures = 1, retry_at = now() + interval '1 hour'")
    frozen_now.advance(days=400)
    third = await stand.add(3)
    frozen_now.advance(hours=-1)
    await stand.until(consumers)
    assert await stand.column("SELECT message_id FROM effect ORDER BY event_id") == first + second + third
    [state] = await service.consumers(stand.db)
    assert state.lag_seconds >= 0


async def test_draining_finishes_what_has_begun_and_begins_nothing(stand, recorder) -> None:
    begun = asyncio.Event()

    class Slow(recorder):
        async def handle(self, events, mode, work):
            begun.set()
            await asyncio.sleep(0.3)
            await self.write(events, mode, work.connection)

    probe = Slow("probe", batch=2, events=("order.paid",))
    consumers = await stand.registered(probe=probe)
    await stand.add(10)
    task = asyncio.create_task(consumers.run())
    await asyncio.wait_for(begun.wait(), 20)
    await consumers.drain()
    task.cancel()
    await asyncio.wait([task])
    assert await stand.fetchval("SELECT count(*) FROM effect") == 2
    assert await stand.column("SELECT process FROM consumer_attempt WHERE process = ''") == []


async def _always() -> bool:
    return True


async def _counted(stand, wanted: int) -> None:
    deadline = time.monotonic() + 60
    while await stand.fetchval("SELECT count(*) FROM effect") < wanted:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
