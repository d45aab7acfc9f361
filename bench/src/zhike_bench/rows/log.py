"""Rows L1 to L3: what the log costs those whom it does not concern, and how long it keeps others waiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from zhike.consumers.engine import Consumers
from zhike.consumers.sequencer import Sequencer
from zhike.contracts import Consumer, RecordedEvent
from zhike.events.decode import decode_events
from zhike.events.grouping import Collector
from zhike.orm import Connection
from zhike.platform import Platform, assemble
from zhike_bench.bars import Row, judge, middle
from zhike_bench.client import Run
from zhike_bench.engines import PLUGIN, Listener, make_platform, running
from zhike_bench.pairs import interleave
from zhike_bench.stage import Stage
from zhike_limits.events import bodies

PLUGINS = 12
REQUESTS = 160
SIZE = 100
CONNECTIONS = 16
LOG = 20_000  # batches of the log that are passed by
SETTLE_SECONDS = 0.5
PLACE_SECONDS = 60
APART = 0.02
FOREIGN_SECONDS = 60
CALLS = 5_000
# Copies of what the last requests have left; nobody reads the events of batches that are passed by.
_LENGTHEN = """
INSERT INTO log_batch (names, shards, size)
SELECT names, shards, size FROM (SELECT * FROM log_batch ORDER BY batch_id DESC LIMIT 20) AS b
CROSS JOIN generate_series(1, $1::int / 20)
"""
_HEAD = "SELECT coalesce(max(position), 0) FROM log_batch"
_SIZE = "SELECT sum(size) FROM log_batch WHERE position > $1"
_BACK = "UPDATE consumer_cursor SET position = $1::bigint + 1, event_id = 0 WHERE consumer LIKE 'passing%'"
_UNPLACED = "SELECT count(*) FROM log_batch WHERE position IS NULL"
_PASSED = "SELECT count(*) FROM consumer_cursor WHERE consumer LIKE 'passing%' AND position > $1"


async def l1(stage: Stage) -> list[tuple[str, Row]]:
    """A log that concerns none of twelve plugins, passed by each of them, against HTTP ingest in the same run."""
    token, db = await stage.token(), await stage.db()
    contract = Consumer(events=("nothing.happens",))
    passing = {f"passing{number}": Listener(contract, _refuse) for number in range(PLUGINS)}
    platform = make_platform(stage.settings, db, **passing)
    async with stage.serve() as server:

        async def limit(_: int) -> float:
            load = stage.load(stage.leg(REQUESTS), SIZE)
            run = Run(port=server.port, connections=CONNECTIONS, token=token, path="/api/v1/events", load=load)
            result = await stage.client.run(run)
            return result.accepted / result.seconds

        async def product(_: int) -> float:
            return await _pass_by(platform, stage.leg(LOG))

        return [("batches of 100", await interleave("L1", stage.scale, stage.pairs, product, limit))]


async def l2(stage: Stage) -> list[tuple[str, Row]]:
    """From the commit of an event to its consumer, while somebody else's ingest hangs before its own commit."""
    seconds = max(FOREIGN_SECONDS * stage.scale, 1.0)
    usual = max(await _delays(stage, seconds / stage.pairs))
    async with stage.owner() as foreign:  # which is rolled back when this connection closes
        await foreign.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await foreign.execute("INSERT INTO log_batch (names, shards, size) VALUES ('{}', 0, 0)")
        worst = [max(await _delays(stage, seconds / stage.pairs)) for _ in range(stage.pairs)]
    row = judge("L2", stage.scale, worst, middle(worst), usual)
    return [("", msgspec.structs.replace(row, value=max(worst)))]


async def l3(stage: Stage) -> list[tuple[str, Row]]:
    """The call of a hook that no plugin implements, of the slowest family, against that of an empty function."""
    hooks = assemble({}).hooks
    calls = (
        lambda: hooks.notify("nobody", "on_events_recorded", events=(), mode="live", work=None),
        lambda: hooks.veto("before_tokens_create", actor=None, tokens=()),
        lambda: hooks.amend("amend_incoming_events", "events", copy=list, check=_accept, events=[]),
        lambda: hooks.first("resolve_actor", authorization=""),
        lambda: hooks.gather("provide_health"),
        lambda: hooks.duty("merge_customer_data", winner_id=1, loser_ids=(), work=None),
    )

    costs = [max([await _microseconds(call) for call in calls]) for _ in range(stage.pairs)]
    least = [await _microseconds(_nothing) for _ in range(stage.pairs)]
    return [("", judge("L3", stage.scale, costs, middle(costs), middle(least)))]


async def _pass_by(platform: Platform, batches: int) -> float:
    """Lengthen the log and return the events a second that all plugins, side by side, get past."""
    db = platform.db
    known = Consumers(platform)
    await known.step()  # registers them
    await known.drain()
    async with db.connection() as connection:
        await _place(connection)
        head = await connection.fetchval(_HEAD)
        await connection.execute(_LENGTHEN, batches)
        await _place(connection)
        await connection.execute(_BACK, head)
        end, size = await connection.fetchval(_HEAD), await connection.fetchval(_SIZE, head)
        await asyncio.sleep(SETTLE_SECONDS)  # the server's own runner reads the log too
        consumers = Consumers(platform)
        begun = time.perf_counter()
        while await consumers.step():
            pass
        await consumers.drain()
        seconds = time.perf_counter() - begun
        if await connection.fetchval(_PASSED, end) != PLUGINS:
            raise RuntimeError("not every plugin has passed the whole log")
    return float(size) / seconds


async def _place(connection: Connection) -> None:
    """Return when every batch has its position; the server's own runner gives them."""
    async with asyncio.timeout(PLACE_SECONDS):
        while await connection.fetchval(_UNPLACED):  # noqa: ASYNC110  # by another process
            await asyncio.sleep(0.01)


async def _delays(stage: Stage, seconds: float) -> list[float]:
    """Store one event after the other and return the seconds from each commit to its consumer."""
    committed: dict[str, float] = {}
    heard: dict[str, float] = {}

    load = stage.load(round(seconds / APART), 1, new=0)
    done = asyncio.Event()

    def hear(events: Sequence[RecordedEvent]) -> None:
        now = time.perf_counter()
        heard.update({event.message_id: now for event in events})
        if len(heard) == load.events:
            done.set()

    listener = Listener(Consumer(), hear)
    platform = make_platform(stage.settings, await stage.db(), **{PLUGIN: listener})
    collector, consumers = Collector(platform), Consumers(platform)
    sequencer = Sequencer(platform.db, consumers.wake)
    platform.announce = lambda _: sequencer.wake()
    while await sequencer.step():
        pass
    await consumers.step()  # registers it at the end of the log
    async with running(sequencer.run, consumers.run):
        for body in bodies(load):
            await asyncio.sleep(APART)
            events, _ = decode_events(body, "json", now=datetime.now(UTC), settings=stage.settings)
            await collector.submit(events, origin="token:1")
            committed[events[0].message_id] = time.perf_counter()
        await done.wait()
        await consumers.drain()
    await collector.close()
    # Some are heard of before the commit is known here.
    return [max(1e-6, heard[each] - at) for each, at in committed.items()]


async def _microseconds(call: Callable[[], Awaitable[Any]]) -> float:
    """Return what a call costs at best."""
    best = float("inf")
    for _ in range(5):
        begun = time.perf_counter()
        for _ in range(CALLS):
            await call()
        best = min(best, (time.perf_counter() - begun) / CALLS)
    return best * 1_000_000


async def _nothing() -> None:
    """Do nothing."""


def _accept(_before: object, _after: object) -> None:
    """Accept everything."""


def _refuse(_: Sequence[RecordedEvent]) -> None:
    raise AssertionError("an event was given to a plugin that it does not concern")
