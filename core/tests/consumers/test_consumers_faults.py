"""Handlers that raise, hang or break their transaction: others go on, and nothing is lost or done twice."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time

import asyncpg
import msgspec
import pytest

from zhike.access.actor import Actor
from zhike.consumers import service
from zhike.consumers.engine import Consumers
from zhike.errors import Unavailable
from zhike.hooks import hookimpl

STAFF = Actor.command("test")
PAID = ("order.paid",)


def failing(recorder, *poison: str, error: type[BaseException] = ValueError):
    """Return a plugin `probe` that writes down what it is given and fails at some message ids."""

    class Failing(recorder):
        async def handle(self, events, mode, work):
            await self.write(events, mode, work.connection)
            for event in events:
                if event.message_id in self.poison:
                    raise error("13800138000 must not be told")

    probe = Failing("probe", events=PAID)
    probe.poison = set(poison)
    return probe


@pytest.mark.faults
async def test_one_bad_event_among_many_is_set_aside_alone(stand, recorder) -> None:
    probe = failing(recorder)
    consumers = await stand.registered(probe=probe, other=recorder("other", events=PAID))
    sent = await stand.add(1000, batch=250)
    probe.poison = {sent[357]}
    await stand.until(consumers)
    for name, expected in (("other", sent), ("probe", sent[:357] + sent[358:])):
        query = "SELECT message_id FROM effect WHERE consumer = $1 ORDER BY event_id"
        assert await stand.column(query, name) == expected
    [letter] = (await service.dead_letters(stand.db)).items
    assert (letter.consumer, letter.message_id, letter.attempts) == ("probe", sent[357], 1)
    assert letter.error.startswith("ValueError at test_consumers_faults.py")
    assert "138" not in letter.error


@pytest.mark.parametrize("error", [SystemExit, asyncio.CancelledError, KeyError, TimeoutError])
async def test_whatever_is_raised_is_the_plugins_failure(stand, recorder, error, monkeypatch) -> None:
    monkeypatch.setattr("zhike.consumers.offering.LONGEST_WAIT", 0.05)
    probe = failing(recorder, error=error)
    consumers = await stand.registered(probe=probe)
    sent = await stand.add(6)
    probe.poison = {sent[2]}
    await stand.until(consumers)
    assert await stand.column("SELECT message_id FROM effect ORDER BY event_id") == sent[:2] + sent[3:]
    assert await stand.column("SELECT message_id FROM dead_letter") == [sent[2]]


async def test_a_handler_that_hangs_is_cut_and_its_event_set_aside(stand, recorder, monkeypatch) -> None:
    monkeypatch.setattr("zhike.consumers.offering.LONGEST_WAIT", 0.05)

    class Hanging(recorder):
        async def handle(self, events, mode, work):
            await self.write(events, mode, work.connection)
            if any(event.message_id == self.poison for event in events):
                await work.connection.execute("SELECT pg_sleep(60)")

    probe = Hanging("probe", events=PAID)
    probe.poison = ""
    other = recorder("other", events=PAID)
    # What does not hang must be done in it, also where the machine stalls for a moment.
    consumers = stand.consumers(hook_seconds=1.0, probe=probe, other=other)
    await consumers.step()
    sent = await stand.add(16)
    probe.poison = sent[9]
    await stand.until(consumers)
    query = "SELECT message_id FROM effect WHERE consumer = $1 ORDER BY event_id"
    assert await stand.column(query, "probe") == sent[:9] + sent[10:]
    assert await stand.column(query, "other") == sent
    assert await stand.column("SELECT message_id FROM dead_letter") == [sent[9]]
    # As a whole it was tried five times, then only in parts.
    assert [size for size, _ in probe.calls].count(16) == 5


@pytest.mark.parametrize("query", ["INSERT INTO effect VALUES ('left behind')", "SELECT pg_sleep(20)"])
async def test_a_handler_that_cannot_be_stopped_loses_its_connection(stand, recorder, monkeypatch, query) -> None:
    """It could write outside of any transaction, or into somebody else's, and its last statement would go on."""
    monkeypatch.setattr("zhike.consumers.offering.LONGEST_WAIT", 0.05)
    left_behind, servers = [], []

    class Stubborn(recorder):
        async def handle(self, events, mode, work):
            left_behind.append(asyncio.current_task())
            servers.append(await work.connection.fetchval("SELECT pg_backend_pid()"))
            for _ in range(2_000):
                with contextlib.suppress(Exception, asyncio.CancelledError):
                    await asyncio.sleep(0.0005)
                    await work.connection.execute(query)

    consumers = stand.consumers(hook_seconds=0.1, probe=Stubborn("probe", events=PAID))
    await consumers.step()
    await stand.add(1)
    await stand.until(consumers)
    await asyncio.wait(left_behind)
    assert await stand.column("SELECT message_id FROM effect") == []
    assert len(await stand.column("SELECT message_id FROM dead_letter")) == 1
    assert 2 <= len(set(servers)) == len(servers) <= 5  # a call may be cut before it has come so far
    async with asyncio.timeout(30):
        while await stand.column("SELECT pid FROM pg_stat_activity WHERE pid = ANY($1::int[])", servers):  # noqa: ASYNC110  # nobody tells us
            await asyncio.sleep(0.02)


async def test_an_error_that_a_handler_swallows_loses_nothing(stand, recorder) -> None:
    """PostgreSQL has given up such a transaction: its COMMIT must not count as success."""

    class Swallowing(recorder):
        broken = True

        async def handle(self, events, mode, work):
            await self.write(events, mode, work.connection)
            if self.broken:
                with contextlib.suppress(asyncpg.PostgresError):
                    await work.connection.execute("SELECT 1 / 0")

    probe = Swallowing("probe", events=PAID)
    consumers = await stand.registered(probe=probe)
    [sent] = await stand.add(1)
    await stand.until(consumers)
    assert await stand.column("SELECT message_id FROM effect") == []
    [letter] = (await service.dead_letters(stand.db)).items
    assert "InFailedSQLTransactionError" in letter.error
    probe.broken = False
    assert await service.replay(stand.db, STAFF, consumer="probe") == 1
    await stand.until(consumers)
    assert await stand.column("SELECT message_id FROM effect WHERE mode = 'replay'") == [sent]


async def test_a_bad_plugin_is_paused_and_keeps_its_place(stand, recorder) -> None:
    class Bad(recorder):
        bad = True

        async def handle(self, events, mode, work):
            if self.bad:
                raise RuntimeError
            await self.write(events, mode, work.connection)

    probe = Bad("probe", events=PAID)
    consumers = await stand.registered(probe=probe)
    sent = await stand.add(60)
    await stand.until(consumers)
    [state] = await service.consumers(stand.db)
    assert (state.state, state.dead_letters) == ("paused", 20)
    assert "mend the plugin" in (state.reason or "")
    assert (state.last_error or "").startswith("RuntimeError")
    assert state.lag_batches == 1
    # Mended, it goes on where it stood, and what was set aside is offered again.
    probe.bad = False
    await service.resume(stand.db, STAFF, "probe")
    await stand.until(consumers)
    assert await stand.column("SELECT message_id FROM effect ORDER BY event_id") == sent[20:]
    assert await service.replay(stand.db, STAFF, consumer="probe") == 20
    await stand.until(consumers)
    assert sorted(await stand.column("SELECT message_id FROM effect")) == sent


async def test_bad_events_that_are_far_apart_do_not_pause_it(stand, recorder, monkeypatch) -> None:
    monkeypatch.setattr("zhike.consumers.cursors.WINDOW", 20)
    monkeypatch.setattr("zhike.consumers.cursors.LETTERS", 3)
    probe = failing(recorder)
    consumers = await stand.registered(probe=probe)
    sent = await stand.add(100)
    probe.poison = set(sent[:70:10])
    await stand.until(consumers)
    [state] = await service.consumers(stand.db)
    assert (state.state, state.dead_letters) == ("running", 7)
    probe.poison = set(await stand.add(4))
    await stand.until(consumers)
    [state] = await service.consumers(stand.db)
    assert (state.state, state.dead_letters) == ("paused", 10)


@pytest.mark.faults
async def test_lost_connections_are_no_fault_of_the_events(stand, recorder, database_url: str) -> None:
    class Wrapping(recorder):
        async def handle(self, events, mode, work):
            try:
                await self.write(events, mode, work.connection)
                await work.connection.execute("SELECT pg_sleep(0.05)")
            except Exception as error:
                raise RuntimeError("the plugin's own") from error

    probe = Wrapping("probe", events=PAID, batch=10)
    consumers = await stand.registered(probe=probe)
    sent = await stand.add(100, batch=10)
    killer = await asyncpg.connect(database_url)
    running = asyncio.create_task(consumers.run())
    try:
        for _ in range(6):
            await asyncio.sleep(0.15)
            await killer.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        await _reached(stand, 100)
    finally:
        running.cancel()
        await asyncio.wait([running])
        await killer.close()
    assert await stand.column("SELECT message_id FROM effect ORDER BY event_id") == sent
    assert (await service.dead_letters(stand.db)).items == []


async def test_deadlocks_are_tried_again(stand, recorder) -> None:
    """Two plugins lock the same two rows, each in its own order."""
    await stand.execute("CREATE TABLE pair (id int PRIMARY KEY)")
    await stand.execute("INSERT INTO pair VALUES (1), (2)")
    both = asyncio.Barrier(2)

    class Locking(recorder):
        order = (1, 2)

        async def handle(self, events, mode, work):
            await self.write(events, mode, work.connection)
            await work.connection.execute("SELECT FROM pair WHERE id = $1 FOR UPDATE", self.order[0])
            if len(self.calls) == 1:
                await both.wait()
            try:
                await work.connection.execute("SELECT FROM pair WHERE id = $1 FOR UPDATE", self.order[1])
            except asyncpg.DeadlockDetectedError as error:
                raise LookupError("the plugin's own") from error

    one, two = Locking("one", events=PAID), Locking("two", events=PAID)
    two.order = (2, 1)
    consumers = await stand.registered(one=one, two=two)
    sent = await stand.add(3)
    await stand.until(consumers)
    assert sorted(await stand.column("SELECT message_id FROM effect")) == sorted(sent + sent)
    assert (await service.dead_letters(stand.db)).items == []
    assert len(one.calls) + len(two.calls) > 2


async def test_a_commit_that_fails_takes_everything_back(stand, recorder) -> None:
    await stand.execute(
        "CREATE TABLE promise (id bigint PRIMARY KEY, other bigint REFERENCES promise DEFERRABLE INITIALLY DEFERRED)"
    )

    class Promising(recorder):
        async def handle(self, events, mode, work):
            await self.write(events, mode, work.connection)
            for event in events:
                other = -1 if event.message_id == self.poison else event.id
                await work.connection.execute("INSERT INTO promise VALUES ($1, $2)", event.id, other)

    probe = Promising("probe", events=PAID)
    probe.poison = ""
    consumers = await stand.registered(probe=probe)
    sent = await stand.add(8)
    probe.poison = sent[5]
    await stand.until(consumers)
    assert await stand.column("SELECT message_id FROM effect ORDER BY event_id") == sent[:5] + sent[6:]
    [letter] = (await service.dead_letters(stand.db)).items
    assert letter.error.startswith("ForeignKeyViolationError 23503")


async def test_without_a_connection_for_its_notes_nothing_is_offered(stand, recorder, monkeypatch) -> None:
    """What is tried must be known should the process end; until it can be written down nothing is tried."""
    probe = recorder("probe", events=PAID)
    consumers = await stand.registered(probe=probe)
    sent = await stand.add(3)
    real = asyncpg.connect

    async def refuse(*args, **kwargs):
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncpg, "connect", refuse)
    await consumers.step()
    assert probe.calls == []
    monkeypatch.setattr(asyncpg, "connect", real)
    await stand.until(consumers)
    assert await stand.column("SELECT message_id FROM effect ORDER BY event_id") == sent


@pytest.mark.faults
async def test_twelve_consumers_of_which_half_fail_at_random(stand, recorder) -> None:
    random_ = random.Random(7)

    class Moody(recorder):
        mood = 0.0

        async def handle(self, events, mode, work):
            await self.write(events, mode, work.connection)
            if random_.random() < self.mood:
                raise random_.choice([_outage(), asyncpg.SerializationError(), ConnectionAbortedError()])

    plugins = {f"probe{number:02}": Moody(f"probe{number:02}", events=PAID, batch=40) for number in range(12)}
    for number, plugin in enumerate(plugins.values()):
        plugin.mood = 0.2 if number % 2 else 0.0
    consumers = await stand.registered(**plugins)
    sent = await stand.add(600, batch=50)
    await stand.until(consumers)
    letters = (await service.dead_letters(stand.db, limit=1000)).items
    for name in plugins:
        got = await stand.column("SELECT message_id FROM effect WHERE consumer = $1 ORDER BY event_id", name)
        lost = {letter.message_id for letter in letters if letter.consumer == name}
        assert got == [message for message in sent if message not in lost]
        assert not lost or int(name[-2:]) % 2
    # The even ones were given each event once, in calls of full size.
    assert all(len(plugin.calls) == 15 for number, plugin in enumerate(plugins.values()) if number % 2 == 0)


def _outage() -> Unavailable:
    from zhike.i18n import text

    return Unavailable(text("try again"))


async def _reached(stand, count: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(Unavailable):
            if await stand.fetchval("SELECT count(*) FROM effect") >= count:
                return
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_a_handler_may_wait_as_long_as_calls_may_take(stand) -> None:
    """The server itself would end a transaction that waits for a minute."""
    limits: list[str] = []

    class Patient:
        @hookimpl
        async def on_events_recorded(self, events, work):
            limits.append(await work.connection.fetchval("SHOW idle_in_transaction_session_timeout"))

    for seconds, limit in ((30.0, "1min"), (120.0, "125s")):
        platform = stand.platform(patient=Patient())
        platform.settings = msgspec.structs.replace(platform.settings, hook_seconds=seconds)
        consumers = Consumers(platform)
        try:
            await consumers.step()
            await stand.add(1)
            await stand.until(consumers)
        finally:
            await consumers.drain()
        assert limits.pop() == limit
        assert not limits
