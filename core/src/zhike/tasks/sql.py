"""The SQL by which tasks are read and written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from asyncpg import Record

from zhike.access.actor import Actor
from zhike.access.roles import TASKS_READ, TASKS_WRITE
from zhike.access.scope import owned, visible_customers
from zhike.contracts import Recurrence, Task
from zhike.orm import Connection

PRIORITIES = ("urgent", "high", "normal", "low")
"""In the order in which they are stored, from 0."""
DUE = "coalesce(t.due_at, 'infinity')"
"""The due time as it is indexed; tasks without one come last."""

UNFINISHED = ("open", "in_progress")
"""The statuses of what is still to be done."""
IS_UNFINISHED = f"t.status IN {UNFINISHED}"
IS_FINISHED = "t.status IN ('done', 'cancelled')"
"""As the indexes have them."""

_STORED = [name for name in Task.__struct_fields__ if name != "overdue"]
_ROWS = "jsonb_populate_recordset(NULL::task, $1::jsonb)"
_IDS = "SELECT nextval(pg_get_serial_sequence('task', 'id')) FROM generate_series(1, $1)"
_LOCK = "SELECT t.* FROM task AS t WHERE t.id = ANY($1::bigint[]) AND {visible} ORDER BY t.id FOR UPDATE OF t"
_BY_KEY = "SELECT t.*, {visible} AS visible FROM task AS t WHERE t.key = ANY($1::text[])"
# By key, so that two who make tasks with the same keys wait for each other instead of deadlocking.
_INSERT = f"""
INSERT INTO task SELECT * FROM {_ROWS} ORDER BY key
ON CONFLICT (key) WHERE key IS NOT NULL DO NOTHING RETURNING id
"""
# When the due time moves, reminders of before are not made up for, and it can be overdue once more.
_UPDATE = f"""
UPDATE task AS t SET {", ".join(f"{name} = n.{name}" for name in _STORED[1:])},
  reminded_at = CASE WHEN t.id = ANY($2::bigint[]) THEN n.updated_at ELSE t.reminded_at END,
  overdue_at = CASE WHEN n.due_at <= n.updated_at THEN t.overdue_at END
FROM {_ROWS} AS n WHERE t.id = n.id
"""
_REMINDED = """
UPDATE task SET reminded_at = $2, overdue_at = coalesce(overdue_at, CASE WHEN due_at <= $2 THEN $2 END)
WHERE id = ANY($1::bigint[])
"""


def visible(actor: Actor | None, permission: str = TASKS_READ) -> str:
    """Return the SQL predicate over the tasks for which `actor` holds a permission.

    These are their own, and those of customers that they see; with the scope `all` also those of no customer, with
    `team` also those of their teams.

    Args:
        actor: Who asks; None for the system, which sees all.
        permission: That for reading or for writing tasks.
    """
    if actor is None:
        return "TRUE"
    if (scope := actor.scope(permission)) is None:
        return "FALSE"
    mine = owned(actor, "team" if scope == "team" else "own", "t.assignee", "t.team")
    theirs = f"SELECT TRUE FROM customer AS c WHERE c.id = t.customer_id AND {customers(actor, permission)}"
    # Of EXISTS the planner makes a hash of the customers that are seen: good for a few, but not for all there are.
    return f"(t.customer_id IS NULL OR {mine} OR ({theirs}))" if scope == "all" else f"({mine} OR EXISTS ({theirs}))"


def customers(actor: Actor | None, permission: str) -> str:
    """Return the predicate over the customers `c` whose tasks are seen: `actor` reads them, and their tasks."""
    if actor is None:
        return "TRUE"
    return f"{visible_customers(actor, 'c')} AND {visible_customers(actor, 'c', permission)}"


def task_of(row: Record, now: datetime) -> Task:
    """Return a row, which may have more columns, as a task."""
    late = row["status"] in UNFINISHED and row["due_at"] is not None and row["due_at"] <= now
    shown = {"priority": PRIORITIES[row["priority"]], "reminders": tuple(row["reminders"]), "overdue": late}
    shown["recurrence"] = row["recurrence"] and msgspec.json.decode(row["recurrence"], type=Recurrence)
    return Task(**{**{name: row[name] for name in _STORED}, **shown})


async def new_ids(connection: Connection, count: int) -> list[int]:
    """Return ids that no task has had."""
    return [row[0] for row in await connection.fetch(_IDS, count)]


async def lock(connection: Connection, actor: Actor | None, ids: Iterable[int]) -> list[Record]:
    """Return those of some tasks that `actor` sees, by id, locked until the transaction ends."""
    return await connection.fetch(_LOCK.format(visible=visible(actor, TASKS_WRITE)), list(ids))


async def by_key(connection: Connection, actor: Actor | None, keys: Sequence[str]) -> list[Record]:
    """Return the tasks that have one of these keys; `visible` says of each whether `actor` sees it."""
    return await connection.fetch(_BY_KEY.format(visible=visible(actor, TASKS_WRITE)), keys) if keys else []


async def insert(connection: Connection, tasks: Iterable[Task]) -> set[int]:
    """Store tasks and return the ids of those whose key nobody else has stored meanwhile."""
    return {row[0] for row in await connection.fetch(_INSERT, _encoded(tasks))}


async def update(connection: Connection, tasks: Iterable[Task], again: Sequence[int]) -> None:
    """Write tasks that are locked; reminders of those in `again` count from now on."""
    await connection.execute(_UPDATE, _encoded(tasks), again)


async def reminded(connection: Connection, ids: Sequence[int], now: datetime) -> None:
    """Note that all has been told of these tasks that was to be told by now."""
    await connection.execute(_REMINDED, ids, now)


def _encoded(tasks: Iterable[Task]) -> str:
    rows = []
    for task in tasks:
        number = PRIORITIES.index(task.priority)
        rows.append(msgspec.structs.asdict(task) | {"priority": number, "reminded_at": task.created_at})
    return msgspec.json.encode(rows).decode()
