"""A small supervisor of runners: forks them, kills them with SIGKILL at random, and starts them again.

Usage: process_runner.py URL WORKERS KILLS SEED PLUGINS, where PLUGINS is JSON: name to {"batch", "start", "how",
"poison"}. It ends when its standard input does, and prints how many processes were killed and how many ended by
themselves.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import select
import signal
import sys
import time
from pathlib import Path

from zhike.consumers.engine import Consumers
from zhike.consumers.sequencer import Sequencer
from zhike.contracts import Consumer
from zhike.hooks import hookimpl
from zhike.orm import Database
from zhike.platform import Platform, assemble, core_plugins
from zhike.settings import Settings

HANG_SECONDS = 1.0


class Probe:
    def __init__(self, name: str, batch: int = 50, start: str = "beginning", how: str = "", poison: str = "") -> None:
        self.name, self.how, self.poison = name, how, poison
        self.contract = Consumer(events=("order.paid",), start=start, batch=batch)

    @hookimpl
    def register_consumers(self):
        return [self.contract]

    @hookimpl
    async def on_events_recorded(self, events, mode, work):
        await asyncio.sleep(0.003)
        rows = [(self.name, event.id, event.message_id, mode) for event in events]
        await work.connection.executemany("INSERT INTO effect VALUES ($1, $2, $3, $4)", rows)
        if any(event.message_id == self.poison for event in events):
            await self.suffer()

    async def suffer(self):
        if self.how == "exit":
            os._exit(3)
        if self.how == "loop":
            while True:
                pass
        if self.how == "raise":
            raise ValueError
        if self.how == "hang":
            await asyncio.sleep(3600)


async def serve(url: str, plugins: dict[str, dict[str, object]]) -> None:
    db = await Database.open(url)
    assembled = assemble(
        {**core_plugins(), **{name: Probe(name, **values) for name, values in plugins.items()}},
        threads=False,
        hook_seconds=HANG_SECONDS,
    )
    platform = Platform(
        settings=Settings(data=Path("unused"), database_url=url),
        db=db,
        hooks=assembled.hooks,
        registry=assembled.registry,
    )
    consumers = Consumers(platform)
    running = [asyncio.create_task(each.run()) for each in (Sequencer(db, consumers.wake), consumers)]
    await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)


def child(url: str, plugins: dict[str, dict[str, object]]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        asyncio.run(serve(url, plugins))
    finally:
        os._exit(1)


def main(url: str, workers: int, kills: int, random_: random.Random, plugins: dict[str, dict[str, object]]) -> None:
    pids: set[int] = set()
    killed = ended = 0
    next_kill = time.monotonic() + 0.3
    while not select.select([sys.stdin], [], [], 0.02)[0]:
        while len(pids) < workers:
            pids.add(child(url, plugins))
        for pid in list(pids):
            if os.waitpid(pid, os.WNOHANG)[0]:
                pids.discard(pid)
                ended += 1
        if time.monotonic() > next_kill and killed < kills and pids:
            victim = random_.choice(sorted(pids))
            os.kill(victim, signal.SIGKILL)
            os.waitpid(victim, 0)
            pids.discard(victim)
            killed += 1
            next_kill = time.monotonic() + random_.uniform(0.2, 0.4)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    print(json.dumps({"killed": killed, "ended": ended}))


if __name__ == "__main__":
    url, workers, kills, seed, plugins = sys.argv[1:]
    main(url, int(workers), int(kills), random.Random(int(seed)), json.loads(plugins))
