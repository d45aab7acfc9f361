"""The work of imports that is done in the background."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from zhike.contracts import Job, JobItem, Schedule
from zhike.i18n import Text, text
from zhike_imports.run import undoing, uploads

if TYPE_CHECKING:
    from zhike.platform import Platform
    from zhike.work import Work

_HOUR = 3600.0


class Nothing(msgspec.Struct, frozen=True):
    """Payload of a job that is told nothing."""


async def run(items: Sequence[JobItem], platform: Platform) -> None:
    """Run imports of files that were uploaded."""
    for item in items:
        await uploads.carry_out(platform, item.payload.import_id)


async def give_up(items: Sequence[JobItem], reason: Text, work: Work) -> None:
    """Note which imports have failed since their jobs are given up."""
    for item in items:
        # A payload that cannot be read is a reason to give a job up, too.
        await uploads.give_up(work, int(item.key or 0), reason)


async def undo(items: Sequence[JobItem], platform: Platform) -> None:
    """Carry out undos that were asked for by the API."""
    for item in items:
        await undoing.carry_out(platform, item.payload.import_id, origin=item.origin)


async def clear(_: Sequence[JobItem], platform: Platform) -> None:
    """Delete what is kept no longer."""
    await uploads.clear(platform)


JOBS = [
    Job(
        name=uploads.JOB,
        run=run,
        failed=give_up,
        payload=uploads.ToRun,
        external=True,
        timeout=24 * _HOUR,
        attempts=20,
        queue="imports",
        label=text("Import a file"),
    ),
    Job(
        name=undoing.JOB,
        run=undo,
        payload=undoing.ToUndo,
        external=True,
        timeout=_HOUR,
        attempts=1000,
        label=text("Undo an import"),
    ),
    Job(name="imports.clear", run=clear, payload=Nothing, external=True, label=text("Delete old rejected rows")),
]
SCHEDULES = [Schedule(name="imports.clear", job="imports.clear", cron="41 3 * * *")]
