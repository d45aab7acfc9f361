"""Events that follow their customers when these are merged or parted: few at once, many by a job, chunk by chunk.

An event belongs to the customer that its home, the customer it was first given to, is part of. `customer_settling`
says of whose events some may still stand elsewhere; whoever reads a history looks there too (`customers.places`), so
that it is right from the moment of the merge. Nothing is added where something is moved away: whoever writes events
holds the customer they belong to, who is locked by who merges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from zhike.contracts import Job, JobItem
from zhike.customers import sql
from zhike.customers.places import PLANS
from zhike.customers.settled import close
from zhike.errors import Unavailable
from zhike.i18n import text
from zhike.orm import Connection
from zhike.work import Work

CHUNK = 5_000
"""Events that one transaction moves at most."""

_ROOTS = """
WITH RECURSIVE chain AS (
  SELECT s.home_id, c.id, c.merged_into FROM customer_settling AS s JOIN customer AS c ON c.id = s.home_id
  WHERE s.place_id = $1
  UNION ALL
  SELECT chain.home_id, c.id, c.merged_into FROM chain JOIN customer AS c ON c.id = chain.merged_into
) SELECT home_id, id FROM chain WHERE merged_into IS NULL
"""
_MOVE_CHUNK = """
WITH chunk AS (
  SELECT e.batch_id, e.id, h.root_id
  FROM event AS e JOIN unnest($2::bigint[], $3::bigint[]) AS h (home_id, root_id) ON h.home_id = e.home_customer_id
  WHERE e.customer_id = $1 LIMIT $4
), moved AS (
  UPDATE event AS e SET customer_id = chunk.root_id FROM chunk WHERE e.batch_id = chunk.batch_id AND e.id = chunk.id
  RETURNING 1
) SELECT count(*) FROM moved
"""
# Jobs of one merge that end at the same time: the second waits, and sees what the first has done.
_ENDING = """
SELECT FROM customer_merge
WHERE id IN (SELECT customer_merge_id FROM customer_settling WHERE place_id = $1) ORDER BY id FOR UPDATE
"""
_END = "DELETE FROM customer_settling WHERE place_id = $1 RETURNING place_id"
_NAME = "customers.settle"


class Place(msgspec.Struct, frozen=True):
    """Payload of the job.

    Args:
        customer_id: With whom events stand that belong to others.
    """

    customer_id: int


async def settle(items: Sequence[JobItem], work: Work) -> None:
    """Move a chunk of events to the customers they belong to."""
    await go_on(work, items[0].payload.customer_id)


async def go_on(work: Work, place: int) -> None:
    """Move a chunk of the events that stand with `place` and belong to others, and have the rest moved.

    Raises:
        Unavailable: If one of them was merged or parted meanwhile.
    """
    connection = work.connection
    roots = await _roots(connection, place)
    # Whoever merges or parts one of them waits until the chunk has moved, and is waited for.
    held = {place, *roots.values()}
    await sql.lock(connection, held)
    if roots != await _roots(connection, place):
        raise Unavailable(text("other requests keep changing the same customers; try again"), retry_after=1)
    await connection.execute(PLANS)
    if await connection.fetchval(_MOVE_CHUNK, place, list(roots), list(roots.values()), CHUNK) == CHUNK:
        enqueue(work, place)
        return
    await connection.execute(_ENDING, place)
    ended = await connection.fetch(_END, place)
    await close(work, held, {row["place_id"] for row in ended})


async def _roots(connection: Connection, place: int) -> Mapping[int, int]:
    return dict(map(tuple, await connection.fetch(_ROOTS, place)))


def enqueue(work: Work, place: int) -> None:
    """Have the events that stand with a customer moved on."""
    work.enqueue(_NAME, Place(place), key=str(place), customer_id=place)


JOBS = [Job(name=_NAME, run=settle, payload=Place, label=text("Move events of merged customers"))]
