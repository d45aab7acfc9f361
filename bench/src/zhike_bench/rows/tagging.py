"""Rows G1 and G2: whether twenty tag rules keep up with what comes in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.request import Request, urlopen

import msgspec

from zhike_bench.bars import Row, Skipped, judge
from zhike_bench.client import Run
from zhike_bench.pairs import interleave
from zhike_bench.servers import Server
from zhike_bench.stage import Stage
from zhike_limits import sql
from zhike_limits.events import columns

SIZE = 1000
BATCHES = 60  # eight seconds or so
SHARE = 0.15  # of the raw limit of I1
PACED_SECONDS = 60
_EVENTS = "/api/v1/events"
_DAYS = (7, 30, 90, 365)
# A cursor beyond the log would be passed by what comes in, and no rule evaluated: it counts as behind, as does none.
_BEHIND = """
SELECT coalesce(bool_or(k.position <> head.position + 1), true), coalesce(extract(epoch FROM now() -
  (SELECT min(created_at) FROM log_batch WHERE position >= min(k.position))), 0)::float8
FROM consumer_cursor AS k, (SELECT coalesce(max(position), 0) AS position FROM log_batch) AS head
WHERE k.consumer = 'tagging'
"""
_UNPLACED = "SELECT EXISTS (SELECT FROM log_batch WHERE position IS NULL)"
_WAITING = "SELECT EXISTS (SELECT FROM job WHERE name = ANY('{tagging.refresh,tagging.settle}') AND state = 'ready')"


def _measured(event: str, measure: str, op: str, value: float, days: int | None = None, **more: Any) -> dict[str, Any]:
    window = {} if days is None else {"within": f"P{days}D"}
    return {"type": "event", "event": event, "measure": measure, "op": op, "value": value, **window, **more}


def rules() -> list[dict[str, Any]]:
    """Return twenty conditions as staff write them, over windows of a week to all time."""
    city = {"type": "field", "field": "customer.attributes.city", "op": "in", "value": ["city1", "city2", "city3"]}
    quiet = {"type": "not", "of": _measured("app.login", "count", "gte", 1, 30)}
    return [
        *(_measured("order.paid", "count", "gte", n, days) for n, days in zip((1, 2, 3, 5), _DAYS, strict=True)),
        *(
            _measured("order.paid", "sum", "gte", n, days, of="amount")
            for n, days in zip((1, 5, 9, 20), _DAYS, strict=True)
        ),
        *(_measured("app.login", "count", "gte", n, days) for n, days in zip((2, 3, 5, 9), _DAYS, strict=True)),
        _measured("cart.added", "count", "gte", 2, 30),
        _measured("order.paid", "days_since_last", "gte", 60),
        _measured("order.paid", "sum", "gte", 5000, of="amount"),
        _measured("page.view", "count", "gte", 8),
        {"type": "all", "of": [city, _measured("order.paid", "count", "gte", 2, 90)]},
        {"type": "all", "of": [quiet, _measured("order.paid", "count", "gte", 1, 365)]},
        _measured("app.login", "active_days", "gte", 3, 90),
        {"type": "trend", "event": "order.paid", "measure": "count", "within": "P90D", "op": "gt", "value": 0.5},
    ]


async def g1(stage: Stage) -> list[tuple[str, Row]]:
    """Batches over HTTP until the rules of all customers concerned are evaluated, against I1's limit."""
    pool = await stage.pool()
    async with _tagging(stage) as server:

        async def product(_: int) -> float:
            load, begun = stage.load(stage.leg(BATCHES), SIZE), time.perf_counter()
            await stage.client.run(
                Run(port=server.port, connections=4, token=await stage.token(), path=_EVENTS, load=load)
            )
            async with stage.owner() as connection:
                await _passed(connection)
            return load.events / (time.perf_counter() - begun)

        async def limit(_: int) -> float:
            return await sql.ingest(pool, columns(stage.load(stage.leg(BATCHES), SIZE)))

        return [("", await interleave("G1", stage.scale, stage.pairs, product, limit))]


async def g2(stage: Stage) -> list[tuple[str, Row]]:
    """How far the rules are behind at worst while events come in at `SHARE` of I1's limit."""
    pool, lags = await stage.pool(), []
    limit = await sql.ingest(pool, columns(stage.load(stage.leg(BATCHES), SIZE)))
    rate = round(limit * SHARE / SIZE)  # batches of a second
    async with _tagging(stage) as server, stage.owner() as connection:
        begun = time.perf_counter()
        for second in range(1, stage.leg(PACED_SECONDS) + 1):
            load = stage.load(max(1, rate), SIZE)
            await stage.client.run(
                Run(port=server.port, connections=1, token=await stage.token(), path=_EVENTS, load=load)
            )
            lags.append((await connection.fetch(_BEHIND))[0][1])
            await asyncio.sleep(max(0.0, begun + second - time.perf_counter()))
    half = len(lags) // 2
    worst, early = max(lags), max(*lags[:half], 0.001)
    return [("", judge("G2", stage.scale, [max(worst, 0.001)], worst, early))]


@asynccontextmanager
async def _tagging(stage: Stage) -> AsyncIterator[Server]:
    """Serve the product with the rules, once everybody is evaluated."""
    await stage.history()
    async with stage.serve() as server, stage.owner() as connection:
        if not await connection.fetchval("SELECT to_regclass('tagging_tag') IS NOT NULL"):
            raise Skipped("the plugin zhike-tagging is not installed")
        if not await connection.fetchval("SELECT EXISTS (SELECT FROM tagging_group WHERE key = 'bench')"):
            await _post(stage, server, "groups", {"key": "bench", "name": "bench"})
            for number, condition in enumerate(rules()):
                await _post(stage, server, "tags", {"group": "bench", "name": f"r{number}", "condition": condition})
        while await connection.fetchval(_WAITING):  # noqa: ASYNC110  # another process does it
            await asyncio.sleep(0.1)
        await _passed(connection)
        yield server


async def _passed(connection: sql.Connection) -> None:
    """Wait until the rules have passed all of the log."""
    while await connection.fetchval(_UNPLACED) or await connection.fetchval(_BEHIND):  # noqa: ASYNC110  # as above
        await asyncio.sleep(0.02)


async def _post(stage: Stage, server: Server, what: str, body: dict[str, Any]) -> None:
    url = f"http://127.0.0.1:{server.port}/api/v1/tagging/{what}"
    headers = {"Authorization": f"Bearer {await stage.token()}", "Content-Type": "application/json"}
    request = Request(url, msgspec.json.encode(body), headers)
    await asyncio.to_thread(lambda: urlopen(request).read())
