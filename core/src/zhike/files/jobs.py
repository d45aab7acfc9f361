"""Deletes files that have expired, and what processes that were killed have left of some."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from zhike import clock
from zhike.contracts import Job, JobItem, Schedule
from zhike.i18n import text
from zhike.platform import Platform

UNFINISHED = timedelta(days=1)
"""How long a file may take to be stored."""

# One at a time: a large one has some ten thousand rows behind it.
_EXPIRE = """
DELETE FROM file WHERE id = (
  SELECT id FROM file WHERE expires_at <= $1 OR (sha256 IS NULL AND created_at < $2) LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING id
"""


class Nothing(msgspec.Struct, frozen=True):
    """Payload of the job: it is told nothing."""


async def expire(_: Sequence[JobItem], platform: Platform) -> None:
    """Delete what is kept no longer, each file in a transaction of its own."""
    now = clock.now()
    gone: int | None = 1
    while gone:
        async with platform.db.transaction() as connection:
            gone = await connection.fetchval(_EXPIRE, now, now - UNFINISHED)


JOBS = [
    Job(
        name="files.expire",
        run=expire,
        payload=Nothing,
        external=True,
        timeout=3600.0,
        label=text("Delete files that have expired"),
    )
]
SCHEDULES = [Schedule(name="files.expire", job="files.expire", cron="17 * * * *")]
