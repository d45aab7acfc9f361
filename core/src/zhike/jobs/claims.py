"""The worker's SQL: which jobs are due, whose they are for a while, and what becomes of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from asyncpg import Record

from zhike.orm import Connection

# A plan that is made while a table is small is kept while it grows: it must not be one that reads the whole table.
_INDEXES_ONLY = "SET LOCAL enable_seqscan = off"

# The first waiting job of each name and priority: one look into job_waiting for each, however many wait. The row
# without a priority stands for jobs whose process has died.
_LOOK = """
SELECT n.name, p.priority, j.due_at
FROM unnest($1::text[], $2::timestamptz[]) AS n (name, since)
CROSS JOIN (VALUES (0::smallint), (1), (2)) AS p (priority)
CROSS JOIN LATERAL (
  SELECT due_at FROM job
  WHERE name = n.name AND priority = p.priority AND state = 'ready' AND lease_token IS NULL AND due_at >= n.since
  ORDER BY due_at LIMIT 1
) AS j
UNION ALL (
  SELECT name, NULL, leased_until FROM job
  WHERE $3 AND lease_token IS NOT NULL AND leased_until <= now() AND name = ANY($1) ORDER BY leased_until LIMIT 1
)
"""

COLUMNS = """
  j.id, j.key, j.payload::text, j.customer_id, j.due_at, j.attempts, j.origin, j.causation_id, j.depth, j.live,
  j.created_at, j.name
"""
"""What `zhike.jobs.calls` makes an item of."""
_RETURNING = f"RETURNING {COLUMNS}"

_CLAIM = f"""
WITH taken AS MATERIALIZED (
  SELECT w.id FROM (VALUES (0::smallint), (1), (2)) AS p (priority)
  CROSS JOIN LATERAL (
    SELECT id FROM job
    WHERE
      name = $1 AND priority = p.priority AND state = 'ready' AND lease_token IS NULL AND due_at BETWEEN $2 AND $3
    ORDER BY due_at LIMIT $4 FOR UPDATE SKIP LOCKED
  ) AS w
  LIMIT $4
)
UPDATE job AS j SET
  lease_token = $5, leased_until = now() + $6, attempts = attempts + 1,
  lease_size = greatest(2, (SELECT count(*) FROM taken))
WHERE j.id = ANY(ARRAY(SELECT id FROM taken))
{_RETURNING}
"""

# Of jobs that ran together when their process died any one may be to blame. A tenth of them is tried with nothing
# beside it, and so on down to a single one; only the attempt that a job made alone is held against it.
_CLAIM_SUSPECTS = f"""
WITH oldest AS MATERIALIZED (
  SELECT lease_token, lease_size FROM job
  WHERE lease_token IS NOT NULL AND leased_until <= now() AND name = ANY($1)
  ORDER BY leased_until LIMIT 1 FOR UPDATE SKIP LOCKED
), taken AS MATERIALIZED (
  SELECT id FROM job
  WHERE lease_token IS NOT NULL AND leased_until <= now() AND lease_token = (SELECT lease_token FROM oldest)
  ORDER BY leased_until LIMIT (SELECT (lease_size + 9) / 10 FROM oldest) FOR UPDATE SKIP LOCKED
)
UPDATE job AS j SET
  lease_token = $2, leased_until = now() + $3, attempts = attempts + (lease_size = 1)::int,
  lease_size = greatest(2, (SELECT count(*) FROM taken))
WHERE j.id = ANY(ARRAY(SELECT id FROM taken))
{_RETURNING}
"""

_ALONE = "UPDATE job SET lease_size = 1 WHERE id = $1 AND lease_token = $2"

_FINISH = "DELETE FROM job WHERE id = ANY($1::bigint[]) AND lease_token = $2"

# Rows that are locked are being finished.
_EXTEND = """
UPDATE job SET leased_until = now() + $3 WHERE id = ANY(ARRAY(
  SELECT id FROM job WHERE id = ANY($1::bigint[]) AND lease_token = ANY($2::bigint[]) FOR UPDATE SKIP LOCKED
))
"""

# The database's clock was set back: nobody may hold a lease of hours. Those who live extend it in time.
_SHORTEN = """
UPDATE job SET leased_until = now() + $1 WHERE id = ANY(ARRAY(
  SELECT id FROM job WHERE lease_token IS NOT NULL AND leased_until > now() + 2 * $1::interval FOR UPDATE SKIP LOCKED
))
"""

_GIVE_BACK = """
UPDATE job AS j SET
  state = n.state, due_at = n.due_at, attempts = n.attempts, last_error = coalesce(n.error, j.last_error),
  lease_token = NULL, lease_size = NULL, leased_until = NULL
FROM unnest($1::bigint[], $2::text[], $3::timestamptz[], $4::int[], $5::text[])
  AS n (id, state, due_at, attempts, error)
WHERE j.id = n.id AND j.lease_token = $6
"""


class Heads(NamedTuple):
    """What waits, seen from the front.

    Args:
        waiting: For each name and priority (0 is high) when its first job is due, in the order to run them.
        suspects: Whether there are jobs whose process has died.
    """

    waiting: list[tuple[int, datetime, str]]
    suspects: bool


class Verdict(NamedTuple):
    """What becomes of a job that is not done.

    Args:
        id: The job.
        state: `ready` or `failed`.
        due_at: When it is tried again.
        attempts: How many attempts count.
        error: What went wrong, or None to leave what is written there.
    """

    id: int
    state: str
    due_at: datetime
    attempts: int
    error: str | None


async def look(connection: Connection, since: Mapping[str, datetime], *, suspects: bool) -> Heads:
    """Return which jobs come first; must precede the other functions in their transaction.

    Args:
        connection: In a transaction.
        since: The names to look for, each with the instant before which nothing of it is due.
        suspects: Whether to look for jobs whose process has died.
    """
    await connection.execute(_INDEXES_ONLY)
    rows = await connection.fetch(_LOOK, list(since), list(since.values()), suspects)
    waiting = sorted((priority, due_at, name) for name, priority, due_at in rows if priority is not None)
    return Heads(waiting, len(waiting) < len(rows))


async def claim(
    connection: Connection, name: str, since: datetime, now: datetime, *, limit: int, token: int, lease: timedelta
) -> list[Record]:
    """Lease due jobs of one name and count the attempt; see `_RETURNING` for the columns.

    Args:
        connection: In a transaction after `look`.
        name: Of which jobs.
        since: As given to `look`.
        now: What is due until now; by `zhike.clock`, as `due_at` is.
        limit: How many at most.
        token: A number that is never used again.
        lease: How long they are the caller's, by the database's clock, which is one for all processes.
    """
    return await connection.fetch(_CLAIM, name, since, now, limit, token, lease)


async def claim_suspects(connection: Connection, names: Sequence[str], *, token: int, lease: timedelta) -> list[Record]:
    """Lease some jobs of one name whose process has died; they are to be run with nothing beside them."""
    return await connection.fetch(_CLAIM_SUSPECTS, names, token, lease)


async def alone(connection: Connection, job_id: int, token: int) -> None:
    """Note that a job now runs with nothing beside it, so that the process's death would be its doing."""
    await connection.execute(_INDEXES_ONLY)
    await connection.execute(_ALONE, job_id, token)


async def finish(connection: Connection, ids: Sequence[int], token: int) -> bool:
    """Delete jobs that are done, in the transaction of their effects; false if some are no longer the caller's."""
    await connection.execute(_INDEXES_ONLY)
    return await connection.execute(_FINISH, ids, token) == f"DELETE {len(ids)}"


async def extend(connection: Connection, leases: dict[int, int], lease: timedelta) -> None:
    """Keep leases alive.

    Args:
        connection: In a transaction.
        leases: Job to token.
        lease: How long from now.
    """
    await connection.execute(_INDEXES_ONLY)
    await connection.execute(_EXTEND, list(leases), list(set(leases.values())), lease)
    await connection.execute(_SHORTEN, lease)


async def give_back(connection: Connection, verdicts: Collection[Verdict], token: int) -> bool:
    """End the lease of jobs that are not done; those no longer the caller's are left alone, and false is returned."""
    await connection.execute(_INDEXES_ONLY)
    written = await connection.execute(_GIVE_BACK, *map(list, zip(*verdicts, strict=True)), token)
    return written == f"UPDATE {len(verdicts)}"
