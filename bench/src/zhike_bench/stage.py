"""What rows run on: a temporary cluster with the product's database and the limits' one, filled alike."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from zhike._host.database import attach
from zhike._host.db.migrate import forwards
from zhike.orm import Database
from zhike.settings import Settings, load
from zhike_bench.client import Client
from zhike_bench.servers import Server, run, serving, zhike
from zhike_limits import sql
from zhike_limits.events import Load

LIMITS = "zhike_limits"
# Positions of the log begin at one again: consumers that stood further on would take nothing from it.
_ANEW = "TRUNCATE consumer, consumer_cursor, consumer_attempt CASCADE"
_TYPES = "INSERT INTO event_type SELECT DISTINCT name, behaviour FROM event ON CONFLICT DO NOTHING"
_TOTALS = """
INSERT INTO customer_event_stat (customer_id, name, currency, count, sum, first_at, last_at)
SELECT customer_id, coalesce(name, '*'), unit, count(*), coalesce(sum(amount), 0), min(occurred_at), max(occurred_at)
FROM event, LATERAL coalesce(currency, '') AS unit WHERE behaviour
GROUP BY GROUPING SETS ((customer_id, name, unit), (customer_id, unit))
"""
STOP_SECONDS = 30
LEAST_SCALE = 0.02  # at smaller ones nothing is measured; tests use them


class Stage:
    """One run of the bench; everything is made when a row first asks for it.

    Args:
        scale: 1 is 1 M customers and 10 M events.
        pairs: Interleaved pairs of a row.
    """

    def __init__(self, scale: float, pairs: int) -> None:
        self.scale = scale
        self.pairs = pairs
        self.customers = max(1000, round(1_000_000 * scale))
        self.events = self.customers * 10
        self.client = Client()
        self._resources = contextlib.AsyncExitStack()
        self._folder = Path(tempfile.mkdtemp(prefix="zb-"))
        self._seed = secrets.randbits(20) << 10
        self._databases: tuple[str, Database, sql.Pool] | None = None
        self._others: dict[str, Database] = {}
        self._history = False
        self._token = ""
        self._empty_folders = 0
        self._customers_taken = 0

    async def __aenter__(self) -> Stage:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.close()
        await self._resources.aclose()
        await self.stopped(self._folder)
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    @property
    def data(self) -> Path:
        """The data folder of the product's installation."""
        return self._folder / "data"

    @property
    def settings(self) -> Settings:
        """The installation's settings, untouched by the user's environment."""
        return load(self.data, {})

    def folder(self) -> Path:
        """Return a new empty folder."""
        self._empty_folders += 1
        folder = self._folder / str(self._empty_folders)
        folder.mkdir()
        return folder

    def leg(self, count: int) -> int:
        """Return how much of something one leg does: `count`, but less at scales that only try a row out."""
        return max(2, round(count * min(1.0, self.scale / LEAST_SCALE)))

    def customer(self, count: int) -> int:
        """Return the first of `count` customers, whose ids follow each other, whom nobody else is given here."""
        self._customers_taken += count
        return self._customers_taken - count + 1

    def load(self, batches: int, size: int, *, new: float = 0.05) -> Load:
        """Return events that no other load of this run has."""
        self._seed += 1
        return Load(seed=self._seed, batches=batches, size=size, population=self.customers, new=new, now=time.time())

    async def url(self) -> str:
        """Return the URL of the product's database, migrated and filled with customers."""
        return (await self._open())[0]

    async def db(self) -> Database:
        """Return the product's connections in this process."""
        return (await self._open())[1]

    async def pool(self) -> sql.Pool:
        """Return the limits' connections, to a database with the same customers."""
        return (await self._open())[2]

    async def token(self) -> str:
        """Return an API token that may do everything."""
        await self._open()
        if not self._token:
            printed = await run(*zhike(self.data, "token", "create", "bench", "--role", "admin"))
            self._token = printed.split()[-1]
        return self._token

    @contextlib.asynccontextmanager
    async def owner(self) -> AsyncIterator[sql.Connection]:
        """Yield a connection to the product's database that has none of the product's time limits."""
        async with _owner(await self.url()) as connection:
            yield connection

    async def another(self, name: str) -> tuple[Database, bool]:
        """Return another database with the product's schema, and whether it is new and so empty."""
        new = name not in self._others
        if new:
            url = await self.url()
            async with _owner(url) as connection:
                await connection.execute(f'CREATE DATABASE "{name}"')
            await forwards(_other(url, name))
            self._others[name] = await Database.open(_other(url, name))
            self._resources.push_async_callback(self._others[name].close)
        return self._others[name], new

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[Server]:
        """Run `zhike serve` on the installation until the block ends."""
        await self._open()
        async with serving(*zhike(self.data, "serve")) as server:
            yield server

    async def history(self) -> None:
        """Replace the events of both databases by the same `events` rows; the product has their totals too."""
        if self._history:
            return
        url = await self.url()
        for one in url, _other(url):
            async with _owner(one) as connection:
                await _refill(connection, self.events, self.customers)
        async with _owner(url) as connection:
            for statement in _ANEW, _TYPES, _TOTALS, "VACUUM (ANALYZE) event_type, customer_event_stat":
                await connection.execute(statement)
        self._history = True

    async def _open(self) -> tuple[str, Database, sql.Pool]:
        if self._databases is None:
            self.data.mkdir()
            url = self._resources.enter_context(attach(self.data))
            await run(*zhike(self.data, "migrate"))
            other = _other(url)
            async with _owner(url) as connection:
                await connection.execute(f'CREATE DATABASE "{LIMITS}"')
            await sql.make_schema(other)
            for one in url, other:
                async with _owner(one) as connection:
                    await _fill(connection, self.customers)
            db = await Database.open(url)
            self._resources.push_async_callback(db.close)
            pool = await sql.open_pool(other)
            self._resources.push_async_callback(pool.close)
            self._databases = url, db, pool
        return self._databases

    async def stopped(self, folder: Path) -> None:
        """Wait until no PostgreSQL below `folder` runs; its keeper stops it after the last client left."""
        await asyncio.to_thread(_wait_stopped, folder)


def _wait_stopped(folder: Path) -> None:
    until = time.monotonic() + STOP_SECONDS
    while any(folder.rglob("postmaster.pid")) and time.monotonic() < until:
        time.sleep(0.1)


def _other(url: str, name: str = LIMITS) -> str:
    """Return the URL of another database on the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@contextlib.asynccontextmanager
async def _owner(url: str) -> AsyncIterator[sql.Connection]:
    """Yield a connection without the product's time limits."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def _fill(connection: sql.Connection, customers: int) -> None:
    async with connection.transaction():
        for statement in sql.SEED_CUSTOMERS:
            await connection.execute(statement, customers)
        await connection.execute("SELECT setval(pg_get_serial_sequence('customer', 'id'), $1)", customers)
    await connection.execute("VACUUM (ANALYZE) customer, identity")


async def _refill(connection: sql.Connection, events: int, customers: int) -> None:
    """Fill `event` without its secondary indexes, then make those again, which is faster."""
    async with connection.transaction():
        await connection.execute("TRUNCATE event, customer_event_stat, log_batch")
        indexes = await connection.fetch(
            """
            SELECT i.indexrelid::regclass::text AS name, pg_get_indexdef(i.indexrelid) AS definition
            FROM pg_index i WHERE i.indrelid = 'event'::regclass AND NOT i.indisprimary
            """
        )
        for index in indexes:
            await connection.execute(f"DROP INDEX {index['name']}")
        await connection.execute(sql.SEED_EVENTS, events, customers)
        for index in indexes:
            await connection.execute(index["definition"])
    await connection.execute("VACUUM (ANALYZE) event")
