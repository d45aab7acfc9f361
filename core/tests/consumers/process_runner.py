"""A small supervisor of runners: forks them, kills them with SIGKILL at random, and starts them again.

Usage: process_runner.py URL WORKERS KILLS SEED PLUGINS, where PLUGINS is JSON: name to {"batch", "start", "how",
"poison"}. It ends when its standard input does, and prints how many processes were killed and how many ended by
themselves.

How often it kills goes by the calls that runners have begun, not by the time, in which a busy machine may come to
nothing; and one that has stood still in a call, which only an endless loop does for so long, is killed as well.
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
STILL_SECONDS = 2.0
CALLS = (20, 40)
BEGUN, ENDED = b"+", b"-"


class Probe:
    def __init__(self, name: str, batch: int = 50, start: str = "beginning", how: str = "", poison: str = "") -> None:
        self.name, self.how, self.poison = name, how, poison
        self.contract = Consumer(events=("order.paid",), start=start, batch=batch)

    @hookimpl
    def register_consumers(self):
        return [self.contract]

    @hookimpl
    async def on_events_recorded(self, events, mode, work):
        os.write(sys.stdout.fileno(), BEGUN)
        try:
            await asyncio.sleep(0.003)
            rows = [(self.name, event.id, event.message_id, mode) for event in events]
            await work.connection.executemany("INSERT INTO effect VALUES ($1, $2, $3, $4)", rows)
            if any(event.message_id == self.poison for event in events):
                await self.suffer()
        finally:
            os.write(sys.stdout.fileno(), ENDED)

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


class Child:
    """A runner in a process of its own, which tells of each call."""

    def __init__(self, url: str, plugins: dict[str, dict[str, object]]) -> None:
        self.calls = self.open = 0
        self.heard = time.monotonic()
        self._told, telling = os.pipe()
        os.set_blocking(self._told, False)
        self.pid = os.fork()
        if not self.pid:
            os.dup2(telling, sys.stdout.fileno())
            try:
                asyncio.run(serve(url, plugins))
            finally:
                os._exit(1)
        os.close(telling)

    def listen(self) -> int:
        """Return how many calls it has begun since."""
        try:
            told = os.read(self._told, 65_536)
        except BlockingIOError:
            return 0
        begun = told.count(BEGUN)
        self.calls += begun
        self.open += begun - told.count(ENDED)
        self.heard = time.monotonic()
        return begun

    def has_ended(self) -> bool:
        return bool(os.waitpid(self.pid, os.WNOHANG)[0])

    def stands_still(self) -> bool:
        return self.open > 0 and time.monotonic() - self.heard > STILL_SECONDS

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def close(self) -> None:
        os.close(self._told)


def main(url: str, workers: int, kills: int, random_: random.Random, plugins: dict[str, dict[str, object]]) -> None:
    children: list[Child] = []
    killed = ended = 0
    left = random_.randint(*CALLS)
    while not select.select([sys.stdin], [], [], 0.02)[0]:
        children += [Child(url, plugins) for _ in range(workers - len(children))]
        left -= sum(each.listen() for each in children)
        gone = [each for each in children if each.has_ended()]
        ended += len(gone)
        running = [each for each in children if each not in gone]
        # One that has not begun anything yet teaches nothing.
        victims = [each for each in running if each.stands_still()] or [each for each in running if each.calls]
        if killed < kills and victims and (left <= 0 or victims[0].stands_still()):
            victim = random_.choice(victims)
            victim.kill()
            gone.append(victim)
            killed += 1
            left = random_.randint(*CALLS)
        for each in gone:
            each.close()
            children.remove(each)
    for each in children:
        each.kill()
    print(json.dumps({"killed": killed, "ended": ended}))


if __name__ == "__main__":
    url, workers, kills, seed, plugins = sys.argv[1:]
    main(url, int(workers), int(kills), random.Random(int(seed)), json.loads(plugins))
