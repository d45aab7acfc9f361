"""Walks the whole audit trail in the background, and keeps what was found where the page shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from zhike.access import heads
from zhike.access.actor import Actor
from zhike.access.verify import verify
from zhike.access.walk import Verified
from zhike.contracts import Job, JobItem
from zhike.desk import progress
from zhike.errors import Refused
from zhike.i18n import Text, text

if TYPE_CHECKING:
    from zhike.platform import Platform
    from zhike.work import Work

KIND = "audit.verify"


class Asked(msgspec.Struct, frozen=True):
    """What the job is given.

    Args:
        progress: Id of the progress that shows what was found.
    """

    progress: int


class Outcome(msgspec.Struct, frozen=True):
    """What was found.

    Args:
        found: Counts.
        first: The first thing that is wrong, or None.
    """

    found: Verified
    first: Text | None


async def start(work: Work, actor: Actor) -> int:
    """Enqueue a walk along the trail, and return the id of its progress."""
    progress_id = await progress.begin(work, actor, text("Verify the audit trail"), kind=KIND)
    work.enqueue(KIND, Asked(progress_id))
    return progress_id


async def run(items: Sequence[JobItem], platform: Platform) -> Outcome:
    """Walk along the trail, also past the heads that were exported if their file is here."""
    found, first = Verified(), None
    file = heads.file_of(platform.settings)
    try:
        exported = heads.read(file) if file.exists() else []
    except Refused as error:
        return Outcome(Verified(problems=1), error.message)
    keys = await platform.vault.keys()
    async for problem in verify(platform.db, keys, exported, found):
        first = first or problem
    return Outcome(found, first)


async def done(items: Sequence[JobItem], result: Outcome, work: Work) -> None:
    """Keep what was found."""
    progress_id, found = items[0].payload.progress, result.found
    counts = {"sealed": found.sealed, "cleared": found.cleared, "problems": found.problems}
    if result.first is None:
        message = text(
            "{sealed} rows are as they were written; the details of {cleared} were cleared by erasing", **counts
        )
    else:
        message = text("{problems} {problems:problem|problems}; the first: {first}", first=result.first, **counts)
    await progress.advance(work, progress_id, done=found.sealed)
    await progress.finish(work, progress_id, "failed" if found.problems else "done", message=message, result="/audit")


JOBS = (
    Job(
        name=KIND,
        run=run,
        done=done,
        failed=progress.give_up,
        payload=Asked,
        external=True,
        timeout=3600,
        label=text("Verify the audit trail"),
    ),
)
