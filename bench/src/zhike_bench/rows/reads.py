"""Rows O1, O2 and D3: reading customers and their timelines."""

from __future__ import annotations

import asyncio
import random
import time
import urllib.request

import msgspec

from zhike.access.actor import Actor
from zhike.customers import service as customers
from zhike.events import service as events
from zhike_bench.bars import Row
from zhike_bench.client import Run
from zhike_bench.pairs import interleave
from zhike_bench.stage import Stage
from zhike_limits import sql

READS = 1500
PAGES = 120
PAGE = 100
CONNECTIONS = 4
TIMELINES = 200
TIMELINE = 50


async def o1(stage: Stage) -> list[tuple[str, Row]]:
    """One customer after the other by id, against one row fetched by its key."""
    actor = Actor.command("bench")
    db, pool = await stage.db(), await stage.pool()
    rng = random.Random(1)

    async def product(_: int) -> float:
        wanted = [rng.randrange(stage.customers) + 1 for _ in range(READS)]
        begun = time.perf_counter()
        for customer in wanted:
            await customers.get(db, actor, customer)
        return READS / (time.perf_counter() - begun)

    async def limit(_: int) -> float:
        return await sql.get(pool, [rng.randrange(stage.customers) + 1 for _ in range(READS)])

    return [("", await interleave("O1", stage.scale, stage.pairs, product, limit))]


async def o2(stage: Stage) -> list[tuple[str, Row]]:
    """Pages of the customer list over HTTP, against the same pages fetched and encoded in process."""
    token, pool = await stage.token(), await stage.pool()
    async with stage.serve() as server:
        paths = await asyncio.to_thread(_page_paths, server.port, token)
        run = Run(port=server.port, connections=CONNECTIONS, token=token, paths=paths)

        async def product(_: int) -> float:
            result = await stage.client.run(run)
            return result.requests / result.seconds

        async def limit(_: int) -> float:
            highest = stage.customers
            before = [highest + 1 - PAGE * (number % (highest // PAGE)) for number in range(PAGES)]
            return await sql.pages(pool, before, PAGE, CONNECTIONS)

        return [("", await interleave("O2", stage.scale, stage.pairs, product, limit))]


async def d3(stage: Stage) -> list[tuple[str, Row]]:
    """The latest 50 events of a customer, against one pass over all events."""
    await stage.history()
    actor = Actor.command("bench")
    db, pool = await stage.db(), await stage.pool()
    rng = random.Random(2)
    # The same customers in every pair: like the scan's, their pages are warm from the second time on.
    wanted = [rng.randrange(stage.customers // 100) + 1 for _ in range(TIMELINES)]

    async def product(_: int) -> float:
        begun = time.perf_counter()
        for customer in wanted:
            page = await events.timeline(db, actor, customer, limit=TIMELINE, cursor=None)
            assert len(page.items) == TIMELINE
        return (time.perf_counter() - begun) * 1000 / TIMELINES

    async def limit(_: int) -> float:
        return await sql.scan(pool, stage.events) * 1000

    return [("", await interleave("D3", stage.scale, stage.pairs, product, limit))]


def _page_paths(port: int, token: str) -> list[str]:
    """Follow the list's cursors from its start and return the addresses of its pages."""
    first = f"/api/v1/customers?limit={PAGE}"
    paths = [first]
    while len(paths) < PAGES:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{paths[-1]}", headers={"authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request) as answer:
            page = msgspec.json.decode(answer.read())
        paths.append(f"{first}&cursor={page['next']}" if page["next"] else first)
    return paths
