"""Indexes the customers of an installation from before there was search."""

from __future__ import annotations

from collections.abc import Sequence

from zhike.contracts import Job, JobItem
from zhike.customers.search.index import renew
from zhike.i18n import text
from zhike.work import Work

REFILL = "customers.index"
"""The job that indexes the customers of an installation from before there was search."""

_CHUNK = 1000
_NEXT = "SELECT id FROM customer WHERE id > $1 ORDER BY id LIMIT $2 FOR NO KEY UPDATE"


async def refill(items: Sequence[JobItem], work: Work) -> None:
    """Index the next customers of an older installation, and enqueue the rest."""
    for item in items:
        after = item.payload["after"]
        ids = [row["id"] for row in await work.connection.fetch(_NEXT, after, _CHUNK)]
        await renew(work.connection, ids)
        if ids:
            work.enqueue(REFILL, {"after": ids[-1]}, key=REFILL, cause=item)


JOBS = [Job(name=REFILL, run=refill, payload=dict[str, int], label=text("Index customers for search"))]
