"""Storing jobs: what a unit of work writes just before it commits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from zhike.errors import TooLarge
from zhike.i18n import text
from zhike.orm import Connection

MAX_PAYLOAD = 1024 * 1024
"""Most bytes of one job's payload as JSON; what is larger belongs in a table or a file that the job names."""


class JobRow(msgspec.Struct, gc=False):
    """A job to be stored.

    Args:
        name: The job's name.
        queue: The queue it is registered for.
        key: Its unique key among the ready jobs of that name, or None.
        payload: JSON text, checked against the job's payload type.
        customer_id: The customer it is about, or None.
        priority: 0 is high, 1 normal, 2 low.
        due_at: Not before this instant of `zhike.clock`.
        origin: Who caused it.
        plugin: The plugin that registered it.
        causation_id: The event that caused it, or None.
        depth: The depth of what it does.
        live: Whether what it does may start something.
        replace: Whether it takes the place of a job with its key that has not begun.
    """

    name: str
    queue: str
    key: str | None
    payload: str
    customer_id: int | None
    priority: int
    due_at: datetime
    origin: str
    plugin: str
    causation_id: int | None
    depth: int
    live: bool
    replace: bool = False


_COLUMNS = JobRow.__struct_fields__[:-1]
_NAMED = ", ".join(_COLUMNS)

# In the order of the key, so that two transactions with the same keys wait for each other instead of deadlocking.
_INSERT = f"""
INSERT INTO job AS j ({_NAMED})
SELECT {_NAMED.replace("payload", "payload::jsonb")}
FROM unnest(
  $1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::smallint[], $7::timestamptz[], $8::text[],
  $9::text[], $10::bigint[], $11::smallint[], $12::boolean[]
) WITH ORDINALITY AS n ({_NAMED}, place)
ORDER BY name COLLATE "C", key COLLATE "C", place
ON CONFLICT (name, key) WHERE key IS NOT NULL AND state = 'ready' DO
"""
_KEEP = _INSERT + "NOTHING"
_REPLACE = f"""{_INSERT} UPDATE SET
  payload = excluded.payload, priority = excluded.priority, due_at = excluded.due_at, attempts = 0, last_error = NULL,
  customer_id = excluded.customer_id, origin = excluded.origin, causation_id = excluded.causation_id,
  depth = greatest(j.depth, excluded.depth), live = excluded.live
WHERE j.lease_token IS NULL
RETURNING name, key
"""
_DETACH = """
UPDATE job AS j SET key = NULL
FROM unnest($1::text[], $2::text[]) AS n (name, key)
WHERE j.name = n.name AND j.key = n.key AND j.state = 'ready' AND j.lease_token IS NOT NULL
"""
_WITHDRAW = """
DELETE FROM job WHERE name = $1 AND key = ANY($2::text[]) AND state = 'ready' AND lease_token IS NULL
"""


async def insert(connection: Connection, rows: Sequence[JobRow]) -> None:
    """Store jobs in the caller's transaction; they can be claimed once it has committed.

    Of jobs with one name and key the one that is stored already stays, and of several new ones the first. With
    `replace` the stored one becomes the new one. If it has begun, it can no longer be changed: it loses its key
    and the new one is stored beside it, so that whatever the new one was enqueued for is seen by a run that starts
    afterwards. Without `replace` a job that has begun counts as stored. A job that has failed for good holds its
    key no longer.

    Args:
        connection: In a transaction; keys are locked until it ends.
        rows: The jobs.

    Raises:
        TooLarge: If a payload is larger than `MAX_PAYLOAD`.
    """
    for row in rows:
        # Short text need not be encoded to know that it fits.
        if len(row.payload) * 4 > MAX_PAYLOAD and (size := len(row.payload.encode())) > MAX_PAYLOAD:
            message = text(
                "The payload of the job {name} has {size} bytes; expected at most {limit}",
                name=row.name,
                size=size,
                limit=MAX_PAYLOAD,
            )
            raise TooLarge(message)
    if kept := [row for row in rows if not row.replace or row.key is None]:
        await connection.execute(_KEEP, *_columns(kept))
    replacing = {(row.name, row.key): row for row in rows if row.replace and row.key is not None}
    while replacing:
        for name, key in await connection.fetch(_REPLACE, *_columns(list(replacing.values()))):
            del replacing[name, key]
        if replacing:  # these have begun
            await connection.execute(_DETACH, [name for name, _ in replacing], [key for _, key in replacing])


async def withdraw(connection: Connection, name: str, keys: Sequence[str]) -> None:
    """Delete jobs that wait under these keys; one that has begun goes on, and has to see that it is not needed."""
    await connection.execute(_WITHDRAW, name, keys)


def _columns(rows: Sequence[JobRow]) -> list[list[object]]:
    return [[getattr(row, column) for row in rows] for column in _COLUMNS]
