"""Schedules: jobs that are enqueued at the times of a crontab line, once each, however many processes there are."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta
from zoneinfo import ZoneInfo

import msgspec

from zhike import clock
from zhike.access import audit
from zhike.access.actor import Actor
from zhike.contracts import Schedule
from zhike.cron import next_time
from zhike.errors import NotFound, Unavailable, ZhikeError
from zhike.i18n import text
from zhike.platform import Platform
from zhike.work import begin

TICK = 1.0
"""Most seconds between two looks."""
_log = logging.getLogger("zhike.jobs")
_CORRECTED = timedelta(hours=3)
"""A next time that is further ahead than this was computed by a clock that ran ahead; see cron(8)."""

_STORE = """
INSERT INTO schedule AS s (name, job, cron, zone, payload, plugin, next_at)
SELECT name, job, cron, zone, payload::jsonb, plugin, next_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
  AS n (name, job, cron, zone, payload, plugin, next_at)
ORDER BY name COLLATE "C"
ON CONFLICT (name) DO UPDATE SET
  job = excluded.job, cron = excluded.cron, zone = excluded.zone, payload = excluded.payload, plugin = excluded.plugin,
  next_at = CASE
    WHEN s.cron <> excluded.cron OR s.zone <> excluded.zone OR s.next_at > excluded.next_at + $8::interval
    THEN excluded.next_at ELSE s.next_at
  END
"""
# Those of a plugin that is to run and does not run here, such as one in quarantine, are another process's to remove.
_REMOVE = """
DELETE FROM schedule AS s WHERE name <> ALL($1::text[])
  AND (plugin = ANY($2::text[]) OR NOT EXISTS (SELECT FROM plugin WHERE name = s.plugin AND enabled))
"""
_DUE = """
SELECT name, next_at FROM schedule WHERE next_at <= $1 AND name = ANY($2::text[])
ORDER BY name FOR UPDATE SKIP LOCKED
"""
_MOVE = "UPDATE schedule SET last_at = $2, next_at = $3 WHERE name = $1"


async def run_now(platform: Platform, actor: Actor, name: str) -> None:
    """Enqueue the job of a schedule at once; its next time stays as it is.

    Args:
        platform: The process's platform.
        actor: Who asks for it.
        name: The schedule.

    Raises:
        NotFound: If no plugin that runs has such a schedule.
    """
    schedule = platform.registry.schedules.get(name)
    if schedule is None:
        raise NotFound(text("There is no schedule {name}, or its plugin does not run", name=name))
    async with begin(platform, origin=actor.origin) as work:
        work.enqueue(schedule.job, schedule.payload, key=f"{name}@now", priority="high")
        await audit.record(work.connection, actor, "schedule.run", f"schedule:{name}", {"job": schedule.job})


class Schedules:
    """Enqueues the jobs of schedules when they are due.

    Runs that were missed while no process was there become one. A clock that is set back by less than three hours
    repeats no run; a schedule's next time stays where it was.

    Args:
        platform: The process's platform; its schedules replace the stored ones when the loop begins.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._schedules = platform.registry.schedules
        self._news = asyncio.Event()
        self._busy = asyncio.Lock()
        self._stored = False
        self._draining = False

    def wake(self) -> None:
        """Look at once instead of at the next tick."""
        self._news.set()

    async def run(self) -> None:
        """Work until cancelled, also through outages of the database."""
        while True:
            self._news.clear()
            with suppress(Unavailable):
                await self.step()
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK):
                    await self._news.wait()

    async def step(self) -> bool:
        """Enqueue what is due now; return whether there was anything."""
        async with self._busy:
            if self._draining:
                return False
            if not self._stored:
                await self._store()
            return bool(self._schedules) and await self._enqueue()

    async def drain(self) -> None:
        """Begin nothing more, and finish what has begun."""
        self._draining = True
        async with self._busy:
            pass

    async def _store(self) -> None:
        """Take over what is registered; the next time of a schedule that stayed as it was is kept."""
        now, registry = clock.now(), self._platform.registry
        rows = [
            (
                schedule.name,
                schedule.job,
                schedule.cron,
                self._zone(schedule).key,
                msgspec.json.encode(schedule.payload).decode(),
                registry.owner("schedules", schedule.name) or "",
                next_time(schedule.cron, self._zone(schedule), now),
            )
            for schedule in self._schedules.values()
        ]
        async with self._platform.db.transaction() as connection:
            await connection.execute(_REMOVE, list(self._schedules), list(self._platform.plugins))
            if rows:
                await connection.execute(_STORE, *map(list, zip(*rows, strict=True)), _CORRECTED)
        self._stored = True

    async def _enqueue(self) -> bool:
        now = clock.now()
        async with begin(self._platform, origin="system", now=now) as work:
            due = await work.connection.fetch(_DUE, now, list(self._schedules))
            for name, at in due:
                schedule = self._schedules[name]
                try:
                    work.enqueue(schedule.job, schedule.payload, key=f"{name}@{at.isoformat()}", due_at=at)
                except ZhikeError:  # such as a payload that is too large
                    _log.exception("the schedule %s cannot enqueue its job", name)
                following = next_time(schedule.cron, self._zone(schedule), max(now, at))
                await work.connection.execute(_MOVE, name, at, following)
        return bool(due)

    def _zone(self, schedule: Schedule) -> ZoneInfo:
        return ZoneInfo(schedule.zone or self._platform.settings.timezone)
