"""A runner whose database says no for a while: nothing is lost or done twice, and nobody has to restart it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest

from under_load import PROBE, TABLES, effects
from zhike import orm
from zhike._host.opening import Opened
from zhike._host.runner.main import run
from zhike._host.web.app import create_app
from zhike.access import tokens
from zhike.access.actor import Actor
from zhike.settings import Settings


class Serving:
    """Web and runner in the test's process, as under `serve --single`.

    Args:
        client: Asks the web side.
        owner: A connection that is not the product's.
    """

    def __init__(self, url: str, client: httpx.AsyncClient, owner: asyncpg.Connection[asyncpg.Record]) -> None:
        self.url = url
        self.client = client
        self.owner = owner
        self.stored = 0

    async def post(self, events: int) -> None:
        """Store events, again until they are taken."""
        body = [
            {"name": "app.login", "message_id": f"m{self.stored + n}", "identities": {"external_id": f"c{n % 7}"}}
            for n in range(events)
        ]
        async with asyncio.timeout(30):
            while (answer := await self.client.post("/api/v1/events", json={"events": body})).status_code != 200:
                assert answer.status_code == 503, answer.text
                assert "retry-after" in answer.headers
                await asyncio.sleep(0.1)
        self.stored += events

    async def done(self) -> None:
        """Wait until every event has had its effects, once."""
        async with asyncio.timeout(90):  # a job whose claim was cut as it was committed is left alone for 30 s
            while not (count := await effects(self.url)).are(self.stored):
                assert max(count.seen, count.noted) <= self.stored, count
                await asyncio.sleep(0.05)

    async def cut(self) -> None:
        """End all connections of the product, and wait until they have ended."""
        await self.owner.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


@asynccontextmanager
async def serving(data: Path, url: str) -> AsyncIterator[Serving]:
    (data / "hooks").mkdir()
    (data / "hooks" / "probe.py").write_text(PROBE)
    owner = await asyncpg.connect(url)
    await owner.execute(TABLES)
    stop = asyncio.Event()
    app = create_app(Settings(data=data, database_url=url, locale="en", hooks=data / "hooks"), url)

    async def work(opened: Opened) -> None:
        await run(opened, stop)

    app.services.beside = work
    async with app.services.running():
        _, secret = await tokens.create(app.services.db, Actor.command("test"), "load", "manager", expires_at=None)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://zhike",
            headers={"authorization": f"Bearer {secret}"},
        ) as client:
            yield Serving(url, client, owner)
        stop.set()
    await owner.close()


@pytest.mark.parametrize("limit", ["lock_timeout", "statement_timeout"])
async def test_t18_somebody_holds_a_lock(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    async with serving(tmp_path, database_url) as server:
        await server.post(100)
        await server.done()
        with monkeypatch.context() as short:
            short.setitem(orm.SERVER_SETTINGS, limit, "250ms")
            await server.cut()
            async with server.owner.transaction():
                await server.owner.execute("LOCK TABLE probe_seen, probe_noted IN ACCESS EXCLUSIVE MODE")
                await server.post(100)
                async with asyncio.timeout(30):
                    while not await server.owner.fetchval("SELECT max(failures) FROM consumer_cursor"):  # noqa: ASYNC110  # nobody tells us
                        await asyncio.sleep(0.02)
        await server.cut()
        await server.post(100)
        await server.done()


async def test_t18_the_database_is_read_only_for_a_while(tmp_path: Path, database_url: str) -> None:
    async with serving(tmp_path, database_url) as server:
        name = await server.owner.fetchval("SELECT current_database()")
        await server.post(300)
        await server.owner.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        await server.cut()
        await asyncio.sleep(1)
        assert (
            await server.client.post("/api/v1/events", json={"events": [{"name": "a", "identities": {"x": "y"}}]})
        ).status_code == 503
        await server.owner.execute("SET default_transaction_read_only = off")
        await server.owner.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        await server.cut()
        await server.post(100)
        await server.done()


async def test_connections_are_cut_again_and_again(tmp_path: Path, database_url: str) -> None:
    async with serving(tmp_path, database_url) as server:
        for _ in range(10):
            await server.post(50)
            await server.cut()
            await asyncio.sleep(0.05)
        await server.done()
