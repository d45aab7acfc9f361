"""Rows I8 and S6: what stats, the log and the plugins on it add to ingest."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from functools import partial
from unittest.mock import patch

from zhike.consumers.engine import Consumers
from zhike.consumers.sequencer import Sequencer
from zhike.events import ingest
from zhike.events.decode import decode_events
from zhike.events.grouping import Collector
from zhike.events.sql import insert_events
from zhike.orm import Database
from zhike.platform import Platform
from zhike_bench.bars import Row
from zhike_bench.engines import make_platform, running
from zhike_bench.pairs import interleave
from zhike_bench.segments import PLUGIN, Segments, prepare
from zhike_bench.stage import Stage
from zhike_limits.events import Load, bodies, columns
from zhike_limits.pipeline import identity_and_events

BATCHES = 24  # of 1000 events, two seconds or three
SIZE = 1000
_OFFERED = f"SELECT sum(offered) FROM consumer_cursor WHERE consumer = '{PLUGIN}'"


async def i8(stage: Stage) -> list[tuple[str, Row]]:
    """Batches through ingest, log and ten rules to the events these emit, against raw identity and events."""
    db, pool = await stage.db(), await stage.pool()
    platform = make_platform(stage.settings, db, **{PLUGIN: Segments()})
    async with stage.owner() as connection:
        await prepare(connection, stage.customers)

    async def product(_: int) -> float:
        return await _whole_pipeline(stage, platform)

    async def limit(_: int) -> float:
        return await identity_and_events(pool, columns(stage.load(stage.leg(BATCHES), SIZE)))

    return [("", await interleave("I8", stage.scale, stage.pairs, product, limit))]


async def s6(stage: Stage) -> list[tuple[str, Row]]:
    """The product's ingest in process with the upkeep of stats against the same without it."""
    db = await stage.db()

    async def product(_: int) -> float:
        return await _ingest(stage, db, stage.load(stage.leg(BATCHES), SIZE))

    async def limit(_: int) -> float:
        # The product itself cannot leave them out.
        with patch("zhike.events.ingest.insert_events", partial(insert_events, stats=False)):
            return await _ingest(stage, db, stage.load(stage.leg(BATCHES), SIZE))

    return [("", await interleave("S6", stage.scale, stage.pairs, product, limit))]


async def _whole_pipeline(stage: Stage, platform: Platform) -> float:
    """Store batches one after the other; return events per second, to the commit of the last consumer's call."""
    load = stage.load(stage.leg(BATCHES), SIZE)
    requests = bodies(load)
    collector, consumers = Collector(platform), Consumers(platform)
    sequencer = Sequencer(platform.db, consumers.wake)
    platform.announce = lambda _: sequencer.wake()
    await sequencer.step()
    await consumers.step()  # registers
    async with platform.db.connection() as connection:
        before = await connection.fetchval(_OFFERED)
        begun = time.perf_counter()
        async with running(sequencer.run, consumers.run):
            for body in requests:
                now = datetime.now(UTC)
                events, rejected = decode_events(body, "json", now=now, settings=stage.settings)
                stored = await collector.submit(events, origin="token:1")
                assert not rejected
                assert stored.accepted == SIZE
            while await connection.fetchval(_OFFERED) < before + load.events:  # noqa: ASYNC110  # committed, not called
                await asyncio.sleep(0.005)
            seconds = time.perf_counter() - begun
            await consumers.drain()
        await collector.close()
    return load.events / seconds


async def _ingest(stage: Stage, db: Database, load: Load) -> float:
    """Store batches one after the other and return milliseconds a batch."""
    now = datetime.now(UTC)
    batches = [decode_events(body, "json", now=now, settings=stage.settings)[0] for body in bodies(load)]
    begun = time.perf_counter()
    for events in batches:
        async with db.transaction() as connection:
            stored = await ingest.store(connection, events, origin="token:1", live=True, now=now)
        assert stored.accepted == SIZE
    return (time.perf_counter() - begun) * 1000 / len(batches)
