"""The list of running processes, and how each learns that the plugins have changed."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import os
import socket
import uuid
from collections.abc import Awaitable, Callable

import msgspec

from zhike.errors import Unavailable
from zhike.platform import Platform

BEAT_SECONDS = 5.0
STALE_SECONDS = 15.0  # a process that has not been seen for so long is taken for dead
logger = logging.getLogger("zhike.plugins")

_BEAT = """
WITH gone AS (
  DELETE FROM process WHERE seen_at < now() - make_interval(secs => $6) AND id <> $1
), seen AS (
  INSERT INTO process (id, kind, host, pid, generation, plugins) VALUES ($1, $2, $3, $4, $5, $7)
  ON CONFLICT (id) DO UPDATE SET seen_at = now()
)
SELECT coalesce(max(generation), 0) AS present, EXISTS (
  SELECT FROM process
  WHERE host = $3 AND generation = $5 AND plugins <> $7 AND seen_at > now() - make_interval(secs => $6)
    AND started_at < coalesce((SELECT started_at FROM process WHERE id = $1), now())
) AS differs
FROM plugin_generation
"""
# Where two servers of a machine find different plugins for good, each of them has the others start anew only once.
_ALL_ANEW = """
INSERT INTO plugin_generation AS g (generation, tried) VALUES (1, ARRAY[md5($2)])
ON CONFLICT (one) DO UPDATE SET generation = g.generation + 1, tried = g.tried || excluded.tried
WHERE g.generation = $1 AND excluded.tried[1] <> ALL (g.tried)
RETURNING generation
"""


class GenerationWatch:
    """Keeps this process in the table `process`, and has it restarted when the set of plugins has changed.

    When it has found other plugins, or other code of theirs, than the processes that started on this machine before
    it, all of them start anew. It also keeps the process's circuits and what it knows of customers' fields and of
    settings up to date.

    Args:
        platform: What the process works with, loaded in some generation.
        kind: What the process does: `web` or `runner`.
        restart: Called once, when there is a newer generation.
    """

    def __init__(self, platform: Platform, kind: str, restart: Callable[[], None]) -> None:
        self._platform = platform
        self._kind = kind
        self._restart = restart
        self._plugins = msgspec.json.encode(platform.codes, order="sorted").decode()
        self._told = False
        self._id = uuid.uuid4().hex  # a process id is used again, after a crash even by its successor
        self._rung = asyncio.Event()

    def wake(self) -> None:
        """Look at the database at once."""
        self._rung.set()
        if self._platform.circuits is not None:
            self._platform.circuits.wake()

    async def run(self) -> None:
        """Beat every five seconds until cancelled, then leave the list."""
        loops = [self._beat, self._platform.config.run]
        if self._platform.circuits is not None:
            loops.append(self._platform.circuits.run)
        tasks = [asyncio.create_task(_keep_going(loop), context=contextvars.Context()) for loop in loops]
        try:
            await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()
            with contextlib.suppress(Exception):  # without it the row goes when it is stale
                async with asyncio.timeout(1), self._platform.db.connection() as connection:
                    await connection.execute("DELETE FROM process WHERE id = $1", self._id)

    async def _beat(self) -> None:
        while True:
            self._rung.clear()
            await self.step()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT_SECONDS):
                    await self._rung.wait()

    async def step(self) -> None:
        """Beat once, and have the process restarted if it runs an older generation than the present one."""
        mine = self._platform.generation
        async with self._platform.db.connection() as connection:
            [beat] = await connection.fetch(
                _BEAT, self._id, self._kind, socket.gethostname(), os.getpid(), mine, STALE_SECONDS, self._plugins
            )
            present = beat["present"]
            if beat["differs"]:
                present = await connection.fetchval(_ALL_ANEW, mine, self._plugins) or present
        await self._platform.customer_fields.renew(now=True)
        await self._platform.config.renew(now=True)
        if present > mine and not self._told:
            self._told = True
            logger.info("the plugins have changed; starting anew")
            self._restart()


async def _keep_going(run: Callable[[], Awaitable[None]]) -> None:
    """Run what has no end, and again when it fails."""
    while True:
        try:
            await run()
        except Unavailable:
            logger.debug("the database cannot be reached; trying again")
        except Exception as error:
            logger.error("the state of the plugins cannot be kept up to date; trying again", exc_info=error)
        await asyncio.sleep(BEAT_SECONDS)
