"""The record of each import: how far it came and what it counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from zhike import clock
from zhike.access import audit
from zhike.access.actor import Actor
from zhike.errors import Refused
from zhike.i18n import text
from zhike.orm import Database
from zhike_imports.schemas import Plan, Run

if TYPE_CHECKING:
    import asyncpg


class Overtaken(Exception):  # no failure: the rows are decided
    """Another transaction has advanced the run meanwhile: one whose answer was lost, or another process."""


async def begin(db: Database, plan: Plan) -> Run:
    """Return the unfinished run of the same file and options, or a new one, which is audited.

    Args:
        db: The database.
        plan: The import.
    """
    actor = Actor.command("import")
    signature = msgspec.json.encode(plan.signature()).decode()
    async with db.transaction() as connection:
        found = await connection.fetchrow(
            """SELECT id, rows_done, accepted, duplicate, rejected FROM imports_run
               WHERE kind = $1 AND sha256 = $2 AND options = $3::jsonb AND finished_at IS NULL
                 AND undo_started_at IS NULL AND file_id IS NULL
               ORDER BY id DESC LIMIT 1""",
            plan.options.kind,
            plan.found.sha256,
            signature,
        )
        if found is None:
            found = await connection.fetchrow(
                """INSERT INTO imports_run (kind, file_name, sha256, options, started_at, started_by, bytes_total)
                   VALUES ($1, $2, $3, $4::jsonb, $5, $6, $7)
                   RETURNING id, rows_done, accepted, duplicate, rejected""",
                plan.options.kind,
                plan.found.path.name,
                plan.found.sha256,
                signature,
                clock.now(),
                actor.origin,
                plan.found.size,
            )
            assert found is not None  # noqa: S101  # INSERT … RETURNING gives its row
            details: dict[str, Any] = {"file": plan.found.path.name, "sha256": plan.found.sha256}
            await audit.record(connection, actor, "import.start", f"import:{found['id']}", details)
    return Run(**dict(found))


async def reload(db: Database, run: Run) -> Run:
    """Return a run as it is stored now.

    Raises:
        Refused: If somebody has cancelled it, deleted its job, or begun to undo it.
    """
    async with db.connection() as connection:
        found = await connection.fetchrow(
            """SELECT id, rows_done, accepted, duplicate, rejected FROM imports_run
               WHERE id = $1 AND undo_started_at IS NULL AND cancelled_at IS NULL AND failure IS NULL""",
            run.id,
        )
    if found is None:
        raise Refused(text("the import {id} was cancelled, or is being undone", id=run.id))
    return Run(**dict(found))


async def advance(
    connection: asyncpg.Connection[asyncpg.Record],
    run: Run,
    rows_done: int,
    *,
    position: int,
    accepted: int,
    duplicate: int,
    rejected: int,
) -> Run:
    """Count a batch inside the transaction that stores it.

    Args:
        connection: The transaction's.
        run: The run as last seen.
        rows_done: Number of the batch's last row.
        position: Bytes of the file read up to it.
        accepted: Rows stored.
        duplicate: Rows known before.
        rejected: Rows set aside.

    Raises:
        Overtaken: If the stored run is not where `run` is; nothing of the batch may be committed then.
    """
    found = await connection.fetchrow(
        """UPDATE imports_run SET rows_done = $3, accepted = accepted + $4, duplicate = duplicate + $5,
               rejected = rejected + $6,
               bytes_done = $7
           WHERE id = $1 AND rows_done = $2 AND undo_started_at IS NULL AND cancelled_at IS NULL
             AND failure IS NULL
           RETURNING id, rows_done, accepted, duplicate, rejected""",
        run.id,
        run.rows_done,
        rows_done,
        accepted,
        duplicate,
        rejected,
        position,
    )
    if found is None:
        raise Overtaken
    return Run(**dict(found))


async def finish(db: Database, run: Run) -> None:
    """Record that every row is decided: the same command starts anew from now on."""
    async with db.transaction() as connection:
        await connection.execute("UPDATE imports_run SET finished_at = $2 WHERE id = $1", run.id, clock.now())
