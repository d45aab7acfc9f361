"""What the runner does, done in a test: until there is nothing left, and with what failed told at the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zhike.consumers.engine import Consumers
from zhike.consumers.log import LogReader
from zhike.consumers.sequencer import Sequencer
from zhike.contracts import Mode, RecordedEvent
from zhike.events import service
from zhike.ids import new_message_id
from zhike.jobs.schedules import Schedules
from zhike.jobs.worker import JobWorker

if TYPE_CHECKING:
    from zhike.platform import Platform
    from zhike.work import Work

_PLACES = """
SELECT batch_id, id FROM unnest($1::text[]) WITH ORDINALITY AS n (message_id, place) JOIN event USING (message_id)
ORDER BY place
"""
# Also when the time has come: it may have come since the consumers were last looked after.
_WAITS = """
SELECT EXISTS (
  SELECT FROM consumer_cursor AS k JOIN consumer AS c ON c.name = k.consumer
  WHERE k.retry_at IS NOT NULL AND c.state = 'running' AND c.name = ANY($1::text[])
)
"""
_FAILURES = """
SELECT format('dead letter of %s: %s: %s', consumer, event_name, error) FROM dead_letter
UNION ALL
SELECT format('the consumer %s is paused: %s', name, pause_reason) FROM consumer WHERE state = 'paused'
UNION ALL
SELECT format('job %s, attempt %s: %s', name, attempts, last_error) FROM job WHERE last_error IS NOT NULL
"""


async def start(platform: Platform) -> None:
    """Make consumers and schedules known, as a runner does when it starts: events and times count from then on."""
    for loop in (Consumers(platform), Schedules(platform)):
        await loop.step()
        await loop.drain()


async def record(platform: Platform, events: Sequence[Mapping[str, Any]]) -> list[RecordedEvent]:
    """Store events as `POST /events` does.

    Args:
        platform: Where to.
        events: With the fields of that route.

    Returns:
        The events as they are stored, in the same order.

    Raises:
        AssertionError: If one is rejected; it says why.
    """
    named = [{"message_id": new_message_id(), **event} for event in events]
    done = await service.record(platform, named, origin="token:test")
    if done.rejected:
        raise AssertionError("\n".join(each.message.render("en") for each in done.rejected))
    async with platform.db.connection() as connection:
        rows = await connection.fetch(_PLACES, [event["message_id"] for event in named])
    log = LogReader(platform.db, None)
    stored = [await log.event(row["batch_id"], row["id"]) for row in rows]
    return [event for event in stored if event is not None]


async def run_until_idle(platform: Platform, *, seconds: float = 30.0) -> None:
    """Give the log its order, offer it to consumers, enqueue what schedules want and run jobs, until all is done.

    Jobs that are due later are left alone.

    Args:
        platform: Whose plugins are run.
        seconds: How long that may take.

    Raises:
        AssertionError: If a consumer has dead letters or is paused, or a job has failed or is to be tried again; it
            says where, and the error of a consumer is its cause. Also if there is no end to it.
    """
    consumers = _Consumers(platform)
    loops = (Sequencer(platform.db), consumers, Schedules(platform), JobWorker(platform))
    ends = time.monotonic() + seconds
    while any([await loop.step() for loop in loops]) or await _waits(platform):
        if time.monotonic() > ends:
            raise AssertionError(f"there is still something to do after {seconds:g} seconds")
        await asyncio.sleep(0)
    for loop in loops:
        await loop.drain()
    async with platform.db.connection() as connection:
        failures = [row[0] for row in await connection.fetch(_FAILURES)]
    if failures:
        raise AssertionError("\n".join(failures)) from consumers.error


async def _waits(platform: Platform) -> bool:
    """Tell whether a consumer is to try something again, after a pause."""
    async with platform.db.connection() as connection:
        waits: bool = await connection.fetchval(_WAITS, platform.hooks.implementers("on_events_recorded"))
    if waits:
        await asyncio.sleep(0.02)
    return waits


class _Consumers(Consumers):
    """Consumers that keep the error itself, of which the log and the database tell no more than the place."""

    error: Exception | None = None

    async def call(self, work: Work, plugin: str, events: list[RecordedEvent], mode: Mode) -> None:
        try:
            await super().call(work, plugin, events, mode)
        except Exception as error:
            self.error = error
            raise
