"""Wake-ups between processes, by NOTIFY and by tickets on Redis: what arrives, how often, and after what."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from zhike import transport
from zhike.errors import Refused
from zhike.settings import Settings
from zhike.transport import TOPICS, Transport, open_transport

if TYPE_CHECKING:
    from conftest import RedisServer


class Ears:
    """Counts what a transport's listener hears."""

    def __init__(self) -> None:
        self.heard: Counter[str] = Counter()

    def __call__(self, topic: str) -> None:
        """Hear one."""
        self.heard[topic] += 1

    async def until(self, ok: Callable[[Counter[str]], bool], seconds: float = 60) -> None:
        """Wait until what was heard is as wanted."""
        async with asyncio.timeout(seconds):
            while not ok(self.heard):  # noqa: ASYNC110  # the listener makes no event of it
                await asyncio.sleep(0.002)

    @asynccontextmanager
    async def on(self, opened: Transport) -> AsyncIterator[None]:
        """Listen inside the block, once the calls for every topic that follow a connect have come."""
        task = asyncio.create_task(opened.listen(self))
        await self.until(lambda heard: set(heard) == set(TOPICS))
        self.heard.clear()
        yield
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture(params=["postgres", "arq"])
def wired(request: pytest.FixtureRequest, tmp_path: Path, database_url: str) -> Settings:
    """The settings of an installation, without and with Redis."""
    url = request.getfixturevalue("redis_server").url if request.param == "arq" else None
    return Settings(data=tmp_path, database_url=database_url, redis_url=url)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Transport]:
    """Open the deployment's transport."""
    made = await open_transport(settings, settings.database_url or "")
    yield made
    await made.close()


async def test_a_wake_up_reaches_another_process(wired: Settings) -> None:
    ears = Ears()
    async with opened(wired) as sender, opened(wired) as receiver, ears.on(receiver):
        for topic in TOPICS:
            sender.announce(topic)
            await ears.until(lambda heard, topic=topic: heard[topic] > 0)  # type: ignore[misc]  # a default
        assert ears.heard == dict.fromkeys(TOPICS, 1)


async def test_a_burst_is_at_most_one_wake_up_every_ten_milliseconds_and_ends_with_one(wired: Settings) -> None:
    ears = Ears()
    async with opened(wired) as sender, opened(wired) as receiver, ears.on(receiver):
        began = time.monotonic()
        while time.monotonic() - began < 0.3 or (ears.heard["log"] < 2 and time.monotonic() - began < 30):
            for _ in range(50):
                sender.announce("log")
            await asyncio.sleep(0)
        took = time.monotonic() - began
        before = ears.heard["log"]
        assert 2 <= before <= took / 0.01 + 2
        sender.announce("log")
        await ears.until(lambda heard: heard["log"] > before)


async def test_the_last_wake_up_is_sent_when_a_command_ends_at_once(
    wired: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zhike.transport.announcer.FLUSH_SECONDS", 30.0)  # it has to connect first
    ears = Ears()
    async with opened(wired) as receiver, ears.on(receiver):
        async with opened(wired) as command:
            command.announce("jobs")
            command.announce("log")
        await ears.until(lambda heard: heard["jobs"] > 0 and heard["log"] > 0)


async def test_notify_is_never_part_of_the_announcers_transaction(tmp_path: Path, database_url: str) -> None:
    from zhike.orm import Database

    ears = Ears()
    db = await Database.open(database_url)
    async with opened(Settings(data=tmp_path, database_url=database_url)) as sender, ears.on(sender), db.transaction():
        sender.announce("log")
        await ears.until(lambda heard: heard["log"] > 0)
    await db.close()


async def test_lost_connections_are_made_again_and_every_topic_is_woken(tmp_path: Path, database_url: str) -> None:
    ears = Ears()
    settings = Settings(data=tmp_path, database_url=database_url)
    cut = await asyncpg.connect(database_url)
    async with opened(settings) as sender, opened(settings) as receiver, ears.on(receiver):
        for _ in range(3):
            there = "FROM pg_stat_activity WHERE application_name = 'zhike wake-ups' AND datname = current_database()"
            async with asyncio.timeout(60):
                while await cut.fetchval(f"SELECT count(*) {there}") < 2:  # noqa: ASYNC110  # nobody tells
                    await asyncio.sleep(0.02)
            ears.heard.clear()
            assert await cut.fetchval(f"SELECT count(pg_terminate_backend(pid)) {there}") == 2
            await ears.until(lambda heard: set(heard) == set(TOPICS))
            before = ears.heard["jobs"]
            sender.announce("jobs")
            await ears.until(lambda heard, before=before: heard["jobs"] > before)  # type: ignore[misc]  # a default
    await cut.close()


async def test_a_database_that_is_away_disturbs_nobody_who_announces(tmp_path: Path) -> None:
    async with asyncio.timeout(30):
        sender = await open_transport(Settings(data=tmp_path), "postgresql://nobody@127.0.0.1:1/none")
        for _ in range(10_000):
            sender.announce("log")
        await asyncio.sleep(0.05)
        await sender.close()


@pytest.mark.parametrize("fault", ["restart", "kill", "flush"])
async def test_tickets_come_again_after_redis_was_away_or_emptied(
    tmp_path: Path, redis_server: RedisServer, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    ears = Ears()
    settings = Settings(data=tmp_path, redis_url=redis_server.url)
    async with opened(settings) as sender, opened(settings) as receiver, ears.on(receiver):
        for _ in range(2):
            sender.announce("log")
            if fault == "flush":
                await flush(redis_server)
            else:
                redis_server.stop(kill=fault == "kill")
                for _ in range(100):
                    sender.announce("jobs")
                    await asyncio.sleep(0.005)
                redis_server.start()
            ears.heard.clear()
            async with asyncio.timeout(60):
                while not ears.heard["jobs"]:
                    sender.announce("jobs")
                    await asyncio.sleep(0.05)
    # At most once a minute for each of the two, not for each announcement.
    assert len([record for record in caplog.records if record.name == "zhike.transport"]) <= 2


async def test_listening_ends_though_redis_keeps_a_cancellation_to_itself(
    tmp_path: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, kept = asyncio.Event(), []

    async def heart_beat(self: object) -> None:
        begun.set()
        try:
            await asyncio.sleep(5 if not kept else 0)
        except asyncio.CancelledError:
            kept.append(self)

    monkeypatch.setattr("arq.worker.Worker.heart_beat", heart_beat)
    async with opened(Settings(data=tmp_path, redis_url=redis_server.url)) as receiver:
        task = asyncio.create_task(receiver.listen(Ears()))
        await begun.wait()
        task.cancel()
        assert (await asyncio.wait([task], timeout=20))[1] == set()
    assert task.cancelled()
    assert len(kept) == 1


async def test_a_killed_runners_ticket_holds_the_topic_up_for_a_moment_only(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    ears = Ears()
    settings = Settings(data=tmp_path, redis_url=redis_server.url)
    program = f"""
import asyncio, os, pathlib
from zhike.settings import Settings
from zhike.transport import arq, open_transport

async def die(ctx, *_):
    os._exit(9)

async def main():
    die.__qualname__ = "ticket"
    arq.ticket = die
    await (await open_transport(Settings(data=pathlib.Path(), redis_url={redis_server.url!r}), "")).listen(print)

asyncio.run(main())
"""
    victim = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.DEVNULL)
    async with opened(settings) as sender:
        async with asyncio.timeout(60):
            while victim.returncode is None:
                sender.announce("log")
                await asyncio.sleep(0.02)
        assert await victim.wait() == 9
        async with opened(settings) as receiver, ears.on(receiver):
            await ears.until(lambda heard: heard["log"] > 0, seconds=30)  # unaided it would take minutes


async def flush(server: RedisServer) -> None:
    """Empty a Redis."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"FLUSHALL\r\n")
    assert await reader.readline() == b"+OK\r\n"
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("url", ["http://127.0.0.1", "redis://127.0.0.1:geheim", "127.0.0.1:6379", "redis://[geheim"])
async def test_a_redis_url_that_is_none_is_refused_without_quoting_it(tmp_path: Path, url: str) -> None:
    settings = Settings(data=tmp_path, redis_url=url)
    with pytest.raises(Refused, match="ZHIKE_REDIS_URL") as refused:
        transport.check(settings)
    assert "geheim" not in str(refused.value)
    with pytest.raises(Refused, match="ZHIKE_REDIS_URL"):
        await open_transport(settings, "")


async def test_without_arq_the_refusal_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "arq.connections", None)
    with pytest.raises(Refused, match=r"pip install zhike\[redis\]"):
        transport.check(Settings(data=tmp_path, redis_url="redis://127.0.0.1"))
