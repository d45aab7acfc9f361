"""Rows I1 to I7: taking events in."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import msgspec

from zhike.events.sql import EventRows, insert_events
from zhike_bench.app import DECODE, NOTHING, SINGLE
from zhike_bench.bars import Row
from zhike_bench.client import Result, Run
from zhike_bench.pairs import interleave
from zhike_bench.servers import BARE, Server, serving
from zhike_bench.stage import Stage
from zhike_limits import sql
from zhike_limits.events import Columns, Load, columns

EVENTS = "/api/v1/events"
_APP = (sys.executable, "-m", "zhike_bench.app")
CONNECTIONS = 16
SINGLE_CONNECTIONS = 64
BATCHES = {100: 160, 1000: 32}  # size of a batch -> batches of a leg, a second or two on two cores
SINGLES = 5000
INSERTS = 20


async def i1(stage: Stage) -> list[tuple[str, Row]]:
    """HTTP batch ingest against the same SQL in process on four connections."""
    measured = []
    pool = await stage.pool()
    async with stage.serve() as server:
        for size, count in BATCHES.items():

            async def product(_: int, size: int = size, count: int = count) -> float:
                load = stage.load(count, size)
                result = await _post(stage, server, EVENTS, load)
                return _stored(result, load) / result.seconds

            async def limit(_: int, size: int = size, count: int = count) -> float:
                batches = columns(stage.load(count, size))
                return await sql.ingest(pool, batches)

            row = await interleave("I1", stage.scale, stage.pairs, product, limit)
            measured.append((f"batches of {size}", row))
    return measured


async def i2(stage: Stage) -> list[tuple[str, Row]]:
    """The product's insert of event rows against one raw statement over the same indexes."""
    pool = await stage.pool()

    async def limit(number: int) -> float:
        return await sql.insert(pool, columns(stage.load(INSERTS, 1000, new=0)), -number)

    return [("", await interleave("I2", stage.scale, stage.pairs, lambda _: _insert(stage), limit))]


async def i3(stage: Stage) -> list[tuple[str, Row]]:
    """The product's insert of event rows against Piccolo's own."""

    async def limit(_: int) -> float:
        return await _piccolo_insert(stage)

    return [("", await interleave("I3", stage.scale, stage.pairs, lambda _: _insert(stage), limit))]


async def i4(stage: Stage) -> list[tuple[str, Row]]:
    """Single events stored durably against a POST that does nothing."""
    async with _bench_app(stage) as server:

        async def product(_: int) -> float:
            return await _single_rate(stage, server, EVENTS, SINGLES)

        async def limit(_: int) -> float:
            load = stage.load(2 * SINGLES, 1)
            run = Run(port=server.port, connections=SINGLE_CONNECTIONS, path=NOTHING, load=load)
            result = await stage.client.run(run)
            return result.requests / result.seconds

        return [("", await interleave("I4", stage.scale, stage.pairs, product, limit))]


async def i5(stage: Stage) -> list[tuple[str, Row]]:
    """Single events that share transactions against one transaction each."""
    async with _bench_app(stage) as server:

        async def product(_: int) -> float:
            return await _single_rate(stage, server, EVENTS, SINGLES)

        async def limit(_: int) -> float:
            return await _single_rate(stage, server, SINGLE, SINGLES // 3)

        return [("", await interleave("I5", stage.scale, stage.pairs, product, limit))]


async def i6(stage: Stage) -> list[tuple[str, Row]]:
    """Decoding and checking bodies of 1000 events against bare ASGI with msgspec."""
    token = await stage.token()
    async with _bench_app(stage) as server, serving(*BARE) as bare:

        async def rate(port: int, path: str, token: str | None) -> float:
            load = stage.load(100, 1000)
            run = Run(port=port, connections=CONNECTIONS, token=token, path=path, load=load)
            result = await stage.client.run(run)
            return _stored(result, load) / result.seconds

        async def product(_: int) -> float:
            return await rate(server.port, DECODE, token)

        async def limit(_: int) -> float:
            return await rate(bare.port, "/", None)

        return [("", await interleave("I6", stage.scale, stage.pairs, product, limit))]


async def i7(stage: Stage) -> list[tuple[str, Row]]:
    """Batches that are stored already against fresh ones, both through the product."""
    last: list[Load] = []
    async with stage.serve() as server:

        async def limit(_: int) -> float:
            last.append(stage.load(BATCHES[1000], 1000))
            result = await _post(stage, server, EVENTS, last[-1])
            return _stored(result, last[-1]) / result.seconds

        async def product(_: int) -> float:
            if not last:
                await limit(0)
            result = await _post(stage, server, EVENTS, last[-1])
            if result.duplicate != last[-1].events:
                raise RuntimeError(f"{result.duplicate} of {last[-1].events} replayed events were called duplicate")
            return result.duplicate / result.seconds

        return [("", await interleave("I7", stage.scale, stage.pairs, product, limit))]


@asynccontextmanager
async def _bench_app(stage: Stage) -> AsyncIterator[Server]:
    url = await stage.url()
    async with serving(*_APP, "--data", str(stage.data), "--url", url) as server:
        yield server


async def _post(stage: Stage, server: Server, path: str, load: Load, connections: int = CONNECTIONS) -> Result:
    token = await stage.token()
    return await stage.client.run(Run(port=server.port, connections=connections, token=token, path=path, load=load))


def _stored(result: Result, load: Load) -> int:
    if result.accepted != load.events:
        raise RuntimeError(f"{result.accepted} of {load.events} new events were accepted")
    return result.accepted


async def _single_rate(stage: Stage, server: Server, path: str, count: int) -> float:
    load = stage.load(count, 1)
    result = await _post(stage, server, path, load, SINGLE_CONNECTIONS)
    return _stored(result, load) / result.seconds


async def _insert(stage: Stage) -> float:
    """Insert event rows on one connection, a transaction per 1000, and return rows per second."""
    now = datetime.now(UTC)
    batches = [_rows(batch) for batch in columns(stage.load(INSERTS, 1000, new=0))]
    db = await stage.db()
    begun = time.perf_counter()
    for rows in batches:
        async with db.transaction() as connection:
            await insert_events(connection, rows, recorded_at=now, stats=False)
    return INSERTS * 1000 / (time.perf_counter() - begun)


def _rows(batch: Columns) -> EventRows:
    rows = EventRows()
    size = len(batch.name)
    rows.message_ids, rows.names, rows.behaviours = batch.message_id, batch.name, [True] * size
    rows.customers = rows.homes = [int(value[1:]) for value in batch.identity]
    rows.occurred, rows.amounts, rows.currencies = batch.occurred_at, batch.amount, batch.currency
    rows.properties, rows.sources = batch.properties, batch.source
    rows.origins, rows.lives, rows.imports = ["token:1"] * size, [True] * size, [None] * size
    return rows


async def _piccolo_insert(stage: Stage) -> float:
    """Insert the same rows through Piccolo's table and return rows per second."""
    from zhike.events.tables import Event

    now = datetime.now(UTC)
    batches = columns(stage.load(INSERTS // 4, 1000, new=0))
    await stage.db()
    begun = time.perf_counter()
    for number, batch in enumerate(batches):
        rows = []
        for values in zip(*msgspec.structs.astuple(batch), strict=True):
            message_id, name, identity, occurred_at, amount, currency, properties, source = values
            customer = int(identity[1:])
            rows.append(
                Event(
                    batch_id=-number, message_id=message_id, name=name, behaviour=True, customer_id=customer,
                    home_customer_id=customer, shard=customer % 64, occurred_at=occurred_at, recorded_at=now,
                    amount=amount, currency=currency, properties=properties, source=source, origin="token:1",
                    live=True, import_id=None,
                )
            )  # fmt: skip
        await Event.insert(*rows)
    return len(batches) * 1000 / (time.perf_counter() - begun)
