"""What staff see of jobs and schedules and do with them; the runners do the rest."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import asyncpg
import msgspec
from asyncpg import Record

from zhike import clock, contracts
from zhike.access import audit
from zhike.access.actor import Actor
from zhike.access.masking import sees_all
from zhike.api import Page, PageQuery
from zhike.errors import Conflict, NotFound, ZhikeError
from zhike.i18n import Text, text
from zhike.ids import decode_cursor, encode_cursor
from zhike.jobs.calls import call_of, give_up
from zhike.jobs.claims import COLUMNS
from zhike.jobs.schemas import Figures, Job, JobsQuery, JobWithPayload, Schedule, State
from zhike.orm import Connection, Database
from zhike.platform import Platform

SHOWN_PAYLOAD = 2048
"""Bytes up to which a payload is shown."""
COUNTED = 10_000
"""Where counting ends."""
_SECRET = re.compile(r"pass(word|wd|phrase)?|secret|token|api_?key|authorization|cookie|credential", re.IGNORECASE)

_STATES: dict[State, str] = {
    "waiting": "state = 'ready' AND lease_token IS NULL",
    "running": "lease_token IS NOT NULL",
    "failed": "state = 'failed'",
}
_SHOWN = """
  id, name, queue, key,
  CASE WHEN state = 'failed' THEN state WHEN lease_token IS NULL THEN 'waiting' ELSE 'running' END,
  (ARRAY['high', 'normal', 'low'])[priority + 1], due_at, attempts, last_error, customer_id, origin, plugin,
  name = ANY($1::text[]), leased_until, created_at
"""
_JOBS = f"""
SELECT {_SHOWN} FROM job
WHERE id < $2 AND ($3::text IS NULL OR name = $3) AND ($4::text IS NULL OR queue = $4)
  AND ($5::text IS NULL OR plugin = $5) AND {{state}}
ORDER BY id DESC LIMIT $6
"""
_JOB = f"""
SELECT {_SHOWN}, octet_length(payload::text), CASE WHEN octet_length(payload::text) <= $3 THEN payload::text END
FROM job WHERE id = $2
"""
# One look into an index for each name and priority, and never more rows than are counted.
_FIGURES = f"""
WITH RECURSIVE name AS (
  (SELECT name FROM job WHERE {_STATES["waiting"]} ORDER BY name LIMIT 1)
  UNION ALL
  SELECT (SELECT name FROM job WHERE {_STATES["waiting"]} AND name > name.name ORDER BY name LIMIT 1)
  FROM name WHERE name.name IS NOT NULL
), front AS (
  SELECT count(*) AS due, min(due_at) AS due_at
  FROM unnest($1::text[]) AS n (name) CROSS JOIN (VALUES (0::smallint), (1), (2)) AS p (priority)
  CROSS JOIN LATERAL (
    SELECT due_at FROM job
    WHERE name = n.name AND priority = p.priority AND {_STATES["waiting"]} AND due_at <= $2
    ORDER BY due_at LIMIT $3
  ) AS j
)
SELECT
  (SELECT count(*) FROM (SELECT FROM job WHERE {_STATES["waiting"]} LIMIT $3) AS j),
  (SELECT least(due, $3) FROM front),
  (SELECT count(*) FROM (SELECT FROM job WHERE {_STATES["running"]} LIMIT $3) AS j),
  (SELECT count(*) FROM (SELECT FROM job WHERE {_STATES["failed"]} LIMIT $3) AS j),
  (SELECT coalesce(extract(epoch FROM $2 - due_at), 0)::float8 FROM front),
  ARRAY(SELECT name FROM name WHERE name IS NOT NULL AND name <> ALL($1::text[]))
"""
_RETRY = """
UPDATE job SET state = 'ready', due_at = $2, attempts = 0 WHERE id = $1 AND state = 'failed' RETURNING name
"""
_STORED = f"SELECT {COLUMNS} FROM job AS j WHERE id = $1"
# Whose process has died may be cancelled, so that what ends processes can be stopped.
_CANCEL = "DELETE FROM job WHERE id = $1 AND (lease_token IS NULL OR leased_until < now()) RETURNING name, state"
_SCHEDULES = """
SELECT name, job, cron, zone, plugin, next_at, last_at FROM schedule WHERE name > $1 COLLATE "C" ORDER BY name LIMIT $2
"""


async def list_(db: Database, known: Collection[str], query: JobsQuery, key: bytes = b"") -> Page[Job]:
    """Return a page of jobs, the newest first.

    Args:
        db: Where they are.
        known: Names of registered jobs.
        query: Which of them.
        key: The deployment's secret that signs cursors.

    Raises:
        BadRequest: If the cursor was not made for this list.
    """
    scope = f"jobs:{query.state}:{query.name}:{query.queue}:{query.plugin}"
    before = 2**63 - 1 if query.cursor is None else decode_cursor(query.cursor, key, int, scope=scope)
    statement = _JOBS.format(state=_STATES[query.state] if query.state else "true")
    narrowing = (query.name, query.queue, query.plugin)
    rows = await db.fetch(statement, list(known), before, *narrowing, query.size + 1)
    items = [Job(**_fields(row)) for row in rows[: query.size]]
    return Page(items, encode_cursor(items[-1].id, key, scope=scope) if len(rows) > query.size else None)


async def get(db: Database, actor: Actor, known: Collection[str], job_id: int) -> JobWithPayload:
    """Return one job; its payload, which may say anything of customers, only to whoever sees all of them whole.

    Raises:
        NotFound: If there is none, or it is done.
    """
    async with db.connection() as connection:
        row = await connection.fetchrow(_JOB, list(known), job_id, SHOWN_PAYLOAD)
    if row is None:
        raise _not_found(job_id)
    shown = row[-1] is not None and sees_all(actor)
    payload = _without_secrets(msgspec.json.decode(row[-1])) if shown else None
    return JobWithPayload(**_fields(row), payload_bytes=row[-2], payload=payload)


async def figures(db: Database, known: Collection[str]) -> Figures:
    """Return how much there is to do; takes some milliseconds however many jobs wait."""
    async with db.transaction() as connection:
        await connection.execute("SET LOCAL enable_seqscan = off")
        row = await connection.fetchrow(_FIGURES, list(known), clock.now(), COUNTED)
    assert row is not None  # noqa: S101  # a SELECT without FROM
    return Figures(**dict(zip(Figures.__struct_fields__, row, strict=True)))


async def retry(platform: Platform, actor: Actor, job_id: int) -> None:
    """Let a job that has failed be tried again now, with all its attempts.

    Raises:
        NotFound: If there is none, or it is done.
        Conflict: If it has not failed, or another job with its key waits.
    """
    async with platform.db.transaction() as connection:
        try:
            name = await connection.fetchval(_RETRY, job_id, clock.now())
        except asyncpg.UniqueViolationError:
            raise Conflict(text("Another job with the same key is waiting")) from None
        if name is None:
            raise await _conflict(connection, job_id, text("The job {id} has not failed", id=job_id))
        await audit.record(connection, actor, "job.retry", f"job:{job_id}", {"name": name})


async def cancel(platform: Platform, actor: Actor, job_id: int) -> None:
    """Delete a job that is not running.

    Raises:
        NotFound: If there is none, or it is done.
        Conflict: If it is running.
    """
    async with platform.db.connection() as connection:
        stored = await connection.fetchrow(_STORED, job_id)
    if stored is None:
        raise _not_found(job_id)

    async def write(connection: Connection) -> bool:
        row = await connection.fetchrow(_CANCEL, job_id)
        if row is not None:
            await audit.record(connection, actor, "job.cancel", f"job:{job_id}", dict(row))
        return row is not None

    kind = platform.registry.jobs.get(stored["name"]) or contracts.Job(name=stored["name"], run=cancel)
    if not await give_up(platform, call_of(stored, kind), text("Its job was deleted"), write):
        async with platform.db.connection() as connection:
            raise await _conflict(connection, job_id, text("The job {id} is running", id=job_id))


async def schedules(db: Database, query: PageQuery, key: bytes = b"") -> Page[Schedule]:
    """Return a page of schedules, by name.

    Args:
        db: Where they are.
        query: Which page.
        key: The deployment's secret that signs cursors.

    Raises:
        BadRequest: If the cursor was not made for this list.
    """
    after = "" if query.cursor is None else decode_cursor(query.cursor, key, str, scope="schedules")
    rows = await db.fetch(_SCHEDULES, after, query.size + 1)
    items = [Schedule(**dict(row)) for row in rows[: query.size]]
    return Page(items, encode_cursor(items[-1].name, key, scope="schedules") if len(rows) > query.size else None)


def _fields(row: Record) -> dict[str, Any]:
    return dict(zip(Job.__struct_fields__, row, strict=False))


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: "…" if _SECRET.search(key) else _without_secrets(part) for key, part in value.items()}
    return [_without_secrets(part) for part in value] if isinstance(value, list) else value


async def _conflict(connection: Connection, job_id: int, message: Text) -> ZhikeError:
    there = await connection.fetchval("SELECT id FROM job WHERE id = $1", job_id) is not None
    return Conflict(message) if there else _not_found(job_id)


def _not_found(job_id: int) -> NotFound:
    return NotFound(text("There is no job with the id {id}; it may be done", id=job_id))
