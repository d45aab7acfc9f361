"""An installation in one process on a database of its own: its API, its imports and its runner."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import httpx

from zhike._host.plugins.load import load
from zhike._host.web.app import create_app
from zhike.access import tokens
from zhike.access.actor import Actor
from zhike.customers.search import index
from zhike.errors import Conflict
from zhike.jobs.worker import JobWorker
from zhike.orm import Database
from zhike.platform import Platform
from zhike.settings import Settings
from zhike.testing import running
from zhike.testing.databases import Server
from zhike_imports import service as imports
from zhike_imports.run import undoing
from zhike_imports.run.plan import prepare
from zhike_imports.run.rejects import RejectFile
from zhike_imports.schemas import Options, Run

API = "/api/v1"
ACTOR = Actor.command("test")
USERS, TEAMS = 5_000, 5_000
TALLY = '''
"""Counts the behaviours of every customer by itself, and anew when a history has changed."""

from zhike.contracts import Consumer
from zhike.hooks import hookimpl

_COUNT = """
SELECT count(*) FROM event AS e JOIN log_batch AS b ON b.batch_id = e.batch_id
WHERE e.customer_id = $1 AND e.behaviour AND (b.position, e.id) <= (
  (SELECT position FROM log_batch WHERE batch_id = $2), $3
)
"""
_SET = "INSERT INTO tally_count VALUES ($1, $2) ON CONFLICT (who) DO UPDATE SET n = excluded.n"
_ADD = "INSERT INTO tally_count AS t VALUES ($1, 1) ON CONFLICT (who) DO UPDATE SET n = t.n + 1"


@hookimpl
def register_consumers():
    names = ("order.paid", "page.view", "customer.history_changed")
    return [Consumer(events=names, start="beginning", batch=7)]


@hookimpl
async def on_events_recorded(events, work):
    for event in events:
        if event.behaviour:
            await work.connection.execute(_ADD, event.customer_id)
            continue
        for who in {event.customer_id, event.properties.get("loser_id")} - {None}:
            n = await work.connection.fetchval(_COUNT, who, event.batch_id, event.id)
            await work.connection.execute(_SET, who, n)


@hookimpl
async def erase_customer_data(customer_ids, work):
    await work.connection.execute("DELETE FROM tally_count WHERE who = ANY($1)", customer_ids)
'''
_PREPARE = f"""
CREATE TABLE tally_count (who bigint PRIMARY KEY, n bigint NOT NULL);
CREATE TABLE pins_pin (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer_id bigint NOT NULL, label text,
  UNIQUE (customer_id, label));
INSERT INTO customer_rows (plugin, table_name, column_name, on_merge, on_erase)
VALUES ('pins', 'pins_pin', 'customer_id', 'move', 'delete');
INSERT INTO app_user (login, name, password_hash, role)
SELECT 'u' || n, 'u' || n, 'x', 'agent' FROM generate_series(1, {USERS}) AS n ORDER BY n;
INSERT INTO team (name) SELECT 't' || n FROM generate_series(1, {TEAMS}) AS n ORDER BY n;
"""
"""The plugin `pins` is gone, and what it has declared of its table goes on to count."""


EVENT_MAPS = (
    "name=name",
    "who=identity:external_id",
    "device=identity:device_id",
    "at=occurred_at",
    "amount=amount",
    "city=trait:city",
    "stage=trait:stage",
    "source=source",
)
PEOPLE_MAPS = (
    "who=identity:external_id",
    "phone=phone",
    "device=identity:device_id",
    "name=name",
    "city=attribute:city",
    "stage=stage",
    "at=updated_at",
    "source=source",
    "owner=owner",
    "team=team",
)
_ROOTED = """
WITH RECURSIVE chain AS (
  SELECT id AS home_id, id, merged_into FROM customer
  UNION ALL
  SELECT chain.home_id, c.id, c.merged_into FROM chain JOIN customer AS c ON c.id = chain.merged_into
) SELECT home_id, id FROM chain WHERE merged_into IS NULL
"""
_REBUILT = """
SELECT customer_id, coalesce(name, '*'), coalesce(currency, ''), count(*), coalesce(sum(amount), 0)::bigint,
  min(occurred_at), max(occurred_at)
FROM event WHERE behaviour GROUP BY GROUPING SETS ((customer_id, name, currency), (customer_id, currency))
"""


class Stand:
    """What can be done to an installation.

    Args:
        platform: What its process works with.
        client: An administrator.
        folder: Where files to be imported are.
    """

    def __init__(self, platform: Platform, client: httpx.AsyncClient, folder: Path) -> None:
        self.platform = platform
        self.client = client
        self.folder = folder
        self._worker = JobWorker(platform)

    async def __call__(self, method: str, path: str, json: Any = None, **params: Any) -> tuple[int, Any]:
        """Send a request; return status and answer."""
        answer = await self.client.request(method, API + path, json=json, params=params)
        return answer.status_code, answer.json()

    async def fetch(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the database."""
        async with self.platform.db.connection() as connection:
            return [tuple(row) for row in await connection.fetch(sql, *values)]

    async def bring_in(self, content: str, kind: str, maps: Sequence[str], name: str = "file") -> Run:
        """Import a file."""
        path = self.folder / f"{name}.csv"
        await asyncio.to_thread(path.write_text, content, encoding="utf-8")
        plan = prepare(path, Options(kind=kind, maps=tuple(maps)), self.platform.settings)  # type: ignore[arg-type]  # a Literal
        with closing(RejectFile(self.folder / f"{name}.rejected.csv", plan.header, "en")) as rejects:
            run, done = await imports.run(self.platform, plan, rejects)
        assert done
        return run

    async def undo(self, number: int) -> bool:
        """Undo an import; return false if that was done before."""
        try:
            await undoing.start(self.platform, ACTOR, number, queue=False)
        except Conflict:
            return False
        await undoing.carry_out(self.platform, number, origin=ACTOR.origin)
        return True

    async def step(self) -> None:
        """Run a job or two."""
        await self._worker.step()

    async def settle(self) -> None:
        """Do whatever a runner would."""
        await running.run_until_idle(self.platform)


@contextlib.asynccontextmanager
async def open_stand(
    server: Server, folder: Path, *, ranked: Mapping[str, Sequence[str]], pool_size: int = 4
) -> AsyncIterator[Stand]:
    """Set an installation up, with some users and teams, the plugin `tally`, and fields whose sources rank."""
    hooks = folder / "hooks"
    hooks.mkdir(exist_ok=True)
    (hooks / "tally.py").write_text(TALLY, encoding="utf-8")
    url = server.create(plugins=("imports",), hooks=hooks)
    settings = Settings(data=folder, database_url=url, locale="en", pool_size=pool_size, hooks=hooks)
    try:
        async with AsyncExitStack() as stack:
            database = await Database.open(url)
            stack.push_async_callback(database.close)
            async with database.connection() as connection:
                await connection.execute(_PREPARE)
            platform = await load(settings, database, threads=False)
            await running.start(platform)
            app = create_app(settings, url)
            await stack.enter_async_context(app.services.serving(platform))
            _, secret = await tokens.create(platform.db, ACTOR, "admin", "admin")
            client = httpx.AsyncClient(
                transport=httpx.ASGITransport(app),  # type: ignore[arg-type]  # two descriptions of ASGI
                base_url="http://zhike",
                headers={"authorization": f"Bearer {secret}"},
            )
            stand = Stand(platform, await stack.enter_async_context(client), folder)
            for key, sources in ranked.items():
                status, answer = await stand("POST", "/customers/fields", {"key": key, "sources": list(sources)})
                assert status < 300, answer
            yield stand
    finally:
        server.drop(url)


def equal(what: str, stored: Any, expected: Any) -> None:
    """Compare what is stored with what should be; the error tells what differs."""
    if stored == expected:
        return
    if isinstance(stored, dict) and isinstance(expected, dict):
        keys = [key for key in {**stored, **expected} if stored.get(key) != expected.get(key)]
        stored, expected = {key: stored.get(key) for key in keys}, {key: expected.get(key) for key in keys}
    raise AssertionError(f"{what}: stored {stored!r}, expected {expected!r}")


async def check_index(stand: Stand) -> None:
    """Index everybody anew, and see that nothing changes."""
    sql = "SELECT s.*, ARRAY(SELECT unnest(tokens) ORDER BY 1) FROM customer_search AS s ORDER BY customer_id"
    async with stand.platform.db.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        before = {row[0]: tuple(row)[2:] for row in await connection.fetch(sql)}
        await connection.execute("DELETE FROM customer_search")
        await index.renew(connection, [row[0] for row in await connection.fetch("SELECT id FROM customer")])
        after = {row[0]: tuple(row)[2:] for row in await connection.fetch(sql)}
        await transaction.rollback()
    equal("index", before, after)


async def check_sound(stand: Stand) -> None:
    """Compare what is derived with what it is derived from, once nothing is under way."""
    fetch = stand.fetch
    roots = dict(await fetch(_ROOTED))
    for table in ("event", "identity"):
        homes = await fetch(f"SELECT DISTINCT home_customer_id, customer_id FROM {table}")
        equal(f"homes of {table}", {home: customer for home, customer in homes if roots[home] != customer}, {})
    stats = await fetch("SELECT customer_id, name, currency, count, sum, first_at, last_at FROM customer_event_stat")
    equal("stats", {row[:3]: row[3:] for row in stats}, {row[:3]: row[3:] for row in await fetch(_REBUILT)})
    await check_index(stand)
    positions = [row[0] for row in await fetch("SELECT position FROM log_batch ORDER BY position NULLS FIRST")]
    first = positions[0] if positions else 0
    equal("positions", positions, list(range(first, first + len(positions))))
    counted = await fetch(
        "SELECT who, n FROM tally_count JOIN customer ON id = who WHERE n <> 0 AND merged_into IS NULL"
    )
    summed = await fetch("SELECT customer_id, count(*) FROM event WHERE behaviour GROUP BY 1")
    equal("tally", dict(counted), dict(summed))
    for sql in (
        "SELECT id FROM customer WHERE settling",
        "SELECT place_id FROM customer_settling",
        "SELECT id FROM customer_merge WHERE settled_at IS NULL",
        "SELECT i.value FROM identity AS i JOIN customer AS c ON c.id = i.customer_id"
        " WHERE c.merged_into IS NOT NULL OR c.erased_at IS NOT NULL",
    ):
        equal(sql, await fetch(sql), [])
