"""The job that deletes what is stored of an erased customer, chunk after chunk, each in a transaction of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from zhike.access import audit
from zhike.contracts import Job, JobItem
from zhike.customers import settling
from zhike.customers.erase import JOB, Obstacle
from zhike.customers.erased import message_hashes
from zhike.events.sql import DELETE_EVENTS, KEEP_MESSAGES
from zhike.i18n import text
from zhike.orm import Connection
from zhike.plugins.personal import erase_rows, hook_rows
from zhike.work import Work

SECONDS = 1.0
"""How long one transaction goes on with further chunks, or waits for others."""
CHUNK = 1_000
"""Events that are deleted by one statement."""
AGAIN = timedelta(minutes=1)
"""When what is blocked is tried again."""

_TAKE = "SELECT customers, begun_at FROM erasure WHERE id = $1 AND state <> 'done' FOR UPDATE"
_BEGIN = "UPDATE erasure SET state = 'running', begun_at = clock_timestamp() WHERE id = $1"
# Whatever began before the erasure was committed may still write for the customers: it has to end first.
_WAITS = """
SELECT EXISTS (
  SELECT FROM pg_stat_activity
  WHERE datname = current_database() AND application_name = current_setting('application_name')
    AND pid <> pg_backend_pid() AND xact_start < $1
)
"""
# Until events have moved after a merge or its undoing nobody can tell by an event's row whose it is.
_SETTLING = (
    "SELECT place_id FROM customer_settling WHERE place_id = ANY($1::bigint[]) OR home_id = ANY($1::bigint[]) LIMIT 1"
)
_EVENTS = "SELECT batch_id, id, message_id FROM event WHERE customer_id = ANY($1::bigint[]) LIMIT $2"
# Of merges that took place it stays known who was merged into whom.
_DELETE = (
    "DELETE FROM customer_event_stat WHERE customer_id = ANY($1::bigint[])",
    "DELETE FROM duplicate_candidate WHERE low_id = ANY($1::bigint[]) OR high_id = ANY($1::bigint[])",
    "DELETE FROM customer_match WHERE customer_id = ANY($1::bigint[])",
    "DELETE FROM import_change WHERE customer_id = ANY($1::bigint[])",
    "DELETE FROM dead_letter WHERE customer_id = ANY($1::bigint[])",
    "DELETE FROM job WHERE customer_id = ANY($1::bigint[])",
    """
    DELETE FROM customer_merge_row AS r USING customer_merge AS m
    WHERE m.id = r.customer_merge_id AND (m.winner_id = ANY($1::bigint[]) OR m.loser_id = ANY($1::bigint[]))
    """,
    """
    UPDATE customer_merge SET taken = DEFAULT
    WHERE (winner_id = ANY($1::bigint[]) OR loser_id = ANY($1::bigint[])) AND taken <> '{}'
    """,
)
_BLOCK = "UPDATE erasure SET state = 'blocked', blocked = $2 WHERE id = $1"
_DONE = "UPDATE erasure SET state = 'done', blocked = '[]', done_at = $2 WHERE id = $1"


class Step(msgspec.Struct, frozen=True):
    """Payload of the job.

    Args:
        erasure_id: The erasure that is gone on with.
    """

    erasure_id: int


async def erase(items: Sequence[JobItem], work: Work) -> None:
    """Go on with an erasure: do what can be done in `SECONDS`, and have the rest done by the next job."""
    [item] = items
    number, connection = item.payload.erasure_id, work.connection
    row = await connection.fetchrow(_TAKE, number)
    if row is None:
        return
    customers = row["customers"]
    if row["begun_at"] is None:
        # Committed before anybody waits, so that of two erasures at most one waits for the other.
        await connection.execute(_BEGIN, number)
        work.enqueue(JOB, item.payload, key=item.key)
    elif not await _alone(connection, row["begun_at"]):
        work.enqueue(JOB, item.payload, key=item.key)
    elif (place := await connection.fetchval(_SETTLING, customers)) is not None:
        # Done here: the job that would do it may wait for the place of this one.
        await settling.go_on(work, place)
        work.enqueue(JOB, item.payload, key=item.key)
    elif not await _erase_chunks(work, customers):
        work.enqueue(JOB, item.payload, key=item.key)
    elif obstacles := await _erase_by_hooks(work, customers):
        await connection.execute(_BLOCK, number, msgspec.json.encode(obstacles).decode())
        work.enqueue(JOB, item.payload, key=item.key, due_at=work.now + AGAIN)
    else:
        await audit.clear(connection, [f"customer:{customer}" for customer in customers])
        await connection.execute(_DONE, number, work.now)


async def _alone(connection: Connection, begun_at: datetime) -> bool:
    """Wait until nobody else can write for the customers; return whether that has come."""
    ends = time.monotonic() + SECONDS
    while True:
        await connection.execute("SELECT pg_stat_clear_snapshot()")
        if not await connection.fetchval(_WAITS, begun_at):
            return True
        if time.monotonic() > ends:
            return False
        await asyncio.sleep(0.02)


async def _erase_chunks(work: Work, customers: Sequence[int]) -> bool:
    """Delete what needs no hook, as much as there is time for; return whether that was all."""
    connection, keys = work.connection, await work.platform.vault.keys()
    await connection.execute("SET LOCAL enable_seqscan = off")
    ends = time.monotonic() + SECONDS
    while events := await connection.fetch(_EVENTS, customers, CHUNK):
        batch_ids, ids, messages = zip(*events, strict=True)
        await connection.execute(KEEP_MESSAGES, message_hashes(keys, messages))
        await connection.execute(DELETE_EVENTS, batch_ids, ids)
        if time.monotonic() > ends:
            return False
    part = await erase_rows(connection, customers)
    await audit.clear(connection, part.objects)
    if part.more:
        return False
    for statement in _DELETE:
        await connection.execute(statement, customers)
    return True


async def _erase_by_hooks(work: Work, customers: Sequence[int]) -> list[Obstacle]:
    """Have plugins do their duty, and return what is left because one of them is not there."""
    await work.platform.hooks.duty("erase_customer_data", customer_ids=customers, work=work)
    return [Obstacle(plugin, table) for plugin, table in sorted(await hook_rows(work.connection, customers))]


# However often it fails, it is tried again: nobody else would finish what somebody was promised.
JOBS = [Job(name=JOB, run=erase, payload=Step, attempts=1_000_000, label=text("Erase customers"))]
