"""Retention: events are deleted when no purpose needs them any longer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from zhike import clock
from zhike.contracts import Job, JobItem, Schedule
from zhike.events.retention import count_old, delete_old
from zhike.events.sql import REWRITTEN
from zhike.i18n import text
from zhike_privacy.schemas import Outdated, Preview

if TYPE_CHECKING:
    from zhike.orm import Connection, Database
    from zhike.work import Work

_JOB = "privacy.retain"
# What one purpose keeps without end is kept.
_RULES = """
SELECT event, max(retention_days) AS days FROM privacy_purpose, unnest(events) AS event
GROUP BY event HAVING bool_and(retention_days IS NOT NULL) ORDER BY event
"""


class _Rule(NamedTuple):
    event: str
    days: int
    before: datetime


async def preview(db: Database) -> Preview:
    """Count what the next run would delete."""
    async with db.connection() as connection:
        found = [(rule, await count_old(connection, rule.event, rule.before)) for rule in await _rules(connection)]
    return Preview([Outdated(*rule, *old) for rule, old in found])


async def retain(items: Sequence[JobItem], work: Work) -> None:
    """Delete a chunk of events that are kept no longer; the next job goes on."""
    for rule in await _rules(work.connection):
        if await delete_old(work, rule.event, rule.before):
            work.enqueue(_JOB, key=items[0].key or _JOB)
            return
    # What the jobs before this one have deleted is committed.
    await work.connection.execute(REWRITTEN)


async def _rules(connection: Connection) -> list[_Rule]:
    now = clock.now()
    return [_Rule(event, days, now - timedelta(days=days)) for event, days in await connection.fetch(_RULES)]


JOBS = [Job(name=_JOB, run=retain, label=text("Delete events that are kept no longer"))]
SCHEDULES = [Schedule(name="privacy.retention", job=_JOB, cron="20 3 * * *")]
