"""Dead letters that are offered again: once, whatever happens meanwhile, and at nobody else's expense."""

from __future__ import annotations

import asyncio
import contextlib

import asyncpg
import pytest

from zhike.access.actor import Actor
from zhike.consumers import service
from zhike.errors import Unavailable
from zhike.orm import Connection

STAFF = Actor.command("test")
PAID = ("order.paid",)


async def forget(connection: Connection) -> None:
    await connection.execute("DELETE FROM effect")


@pytest.fixture
def moody(recorder):
    """A plugin `probe` that does at each event what `mood` says."""

    class Moody(recorder):
        mood: BaseException | None = ValueError()

        async def handle(self, events, mode, work):
            await self.write(events, mode, work.connection)
            if isinstance(self.mood, BaseException):
                raise self.mood
            if self.mood:
                await work.connection.execute(self.mood)

    return Moody("probe", events=PAID, reset=forget)


@pytest.fixture
async def consumers(stand, moody):
    """Consumers whose `probe` has one dead letter that is to be offered again."""
    made = await stand.registered(probe=moody)
    await stand.add(1)
    await stand.until(made)
    assert await service.replay(stand.db, STAFF, consumer="probe") == 1
    moody.mood = None
    return made


async def letters(stand) -> list[tuple[str, int, bool]]:
    found = (await service.dead_letters(stand.db)).items
    return [(letter.error.split()[0], letter.attempts, letter.queued) for letter in found]


def meanwhile(consumers, monkeypatch, what) -> None:
    """Have something happen between taking a letter and offering it, once."""
    read = consumers.log.event
    waiting = [what]

    async def event(*place: int):
        if waiting:
            await waiting.pop()()
        return await read(*place)

    monkeypatch.setattr(consumers.log, "event", event)


async def test_a_rebuild_in_between_makes_no_event_count_twice(stand, moody, consumers, monkeypatch) -> None:
    async def rebuild() -> None:
        await service.rebuild(stand.db, STAFF, "probe")
        other = stand.consumers(probe=moody)
        assert await other.step()

    meanwhile(consumers, monkeypatch, rebuild)
    await stand.until(consumers)
    assert await stand.column("SELECT mode FROM effect") == ["rebuild"]
    assert await letters(stand) == []


async def test_a_letter_that_is_given_up_in_between_is_not_offered(stand, consumers, monkeypatch) -> None:
    async def discard() -> None:
        assert await service.discard(stand.db, STAFF, consumer="probe") == 1

    meanwhile(consumers, monkeypatch, discard)
    await stand.until(consumers)
    assert await stand.column("SELECT mode FROM effect") == []


async def test_an_outage_in_between_forgets_nobodys_wish(stand, consumers, monkeypatch) -> None:
    """The database is away also when the letter should be put back."""
    connection, refusals = consumers.platform.db.connection, iter(range(3))

    def sometimes():
        if next(refusals, None) is not None:
            raise Unavailable("away")
        return connection()

    async def outage() -> None:
        monkeypatch.setattr(consumers.platform.db, "connection", sometimes)
        raise Unavailable("away")

    async def replayed() -> bool:
        return await letters(stand) == []

    meanwhile(consumers, monkeypatch, outage)
    assert not await consumers.step()
    while next(refusals, None) is not None:
        with contextlib.suppress(Unavailable):
            await consumers.step()
    await stand.until(consumers, replayed)
    assert await stand.column("SELECT mode FROM effect") == ["replay"]


async def test_a_process_that_is_stopped_puts_the_letter_back(stand, moody, consumers, monkeypatch) -> None:
    began, hang = asyncio.Event(), asyncio.Event()

    async def handle(events, mode, work):
        began.set()
        await hang.wait()

    moody.handle = handle
    monkeypatch.setattr("zhike.consumers.engine.DRAIN_SECONDS", 0.1)
    running = asyncio.create_task(consumers.run())
    async with asyncio.timeout(30):
        await began.wait()
        await consumers.drain()
    running.cancel()
    await asyncio.wait([running])
    [(_, attempts, queued)] = await letters(stand)
    assert (attempts, queued) == (1, True)


@pytest.mark.parametrize("kind", ["lock", "statement"])
async def test_one_that_is_always_too_slow_does_not_stop_the_consumer(
    stand, moody, consumers, database_url: str, kind
) -> None:
    """It waits for locks or computes for longer than the server lets it: that is no outage."""
    holder = await asyncpg.connect(database_url)
    try:
        if kind == "lock":
            await stand.execute("CREATE TABLE held ()")
            transaction = holder.transaction()
            await transaction.start()
            await holder.execute("LOCK TABLE held")
            moody.mood = "SET LOCAL lock_timeout = '50ms'; LOCK TABLE held"
        else:
            moody.mood = "SET LOCAL statement_timeout = '50ms'; SELECT pg_sleep(60)"
        sent = await stand.add(1)

        async def tried() -> bool:
            return [attempts for _, attempts, queued in await letters(stand) if not queued] == [2]

        await stand.until(consumers, tried, seconds=20)
        moody.mood = None
        await stand.until(consumers, seconds=20)
    finally:
        await holder.close()
    assert await stand.column("SELECT message_id FROM effect") == sent
