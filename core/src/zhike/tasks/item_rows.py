"""The SQL by which checklists are read and written; their task is locked by whoever writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from asyncpg import Record

from zhike.contracts import Task
from zhike.orm import Connection

_READ = "SELECT id, text, done_at, done_by FROM task_item WHERE task_id = $1 ORDER BY position, id"
_INSERT = """
INSERT INTO task_item (task_id, customer_id, position, text)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::text[])
"""
_COPY = """
INSERT INTO task_item (task_id, customer_id, position, text)
SELECT n.task_id, n.customer_id, i.position, i.text
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS n (old_id, task_id, customer_id)
JOIN task_item AS i ON i.task_id = n.old_id ORDER BY n.task_id, i.position
"""
_ADD = "INSERT INTO task_item (task_id, customer_id, position, text) VALUES ($1, $2, $3, $4) RETURNING id"
_WRITE = "UPDATE task_item SET text = $3, done_at = $4, done_by = $5 WHERE task_id = $1 AND id = $2"
_DELETE = "DELETE FROM task_item WHERE task_id = $1 AND id = $2 RETURNING id"
_ORDER = """
UPDATE task_item AS i SET position = n.place - 1
FROM unnest($2::bigint[]) WITH ORDINALITY AS n (id, place)
WHERE i.task_id = $1 AND i.id = n.id AND i.position <> n.place - 1
"""
_COUNT = """
UPDATE task SET items = n.items, items_done = n.done
FROM (SELECT count(*) AS items, count(done_at) AS done FROM task_item WHERE task_id = $1) AS n WHERE id = $1
"""


async def read(connection: Connection, task_id: int) -> list[Record]:
    """Return a task's checklist in its order."""
    return await connection.fetch(_READ, task_id)


async def insert(connection: Connection, tasks: Iterable[Task], items: Mapping[int, Sequence[str]]) -> None:
    """Store the checklists of new tasks; `items` says by their ids what stands on them."""
    rows = [(task.id, task.customer_id, *each) for task in tasks for each in enumerate(items[task.id])]
    if rows:
        await connection.execute(_INSERT, *map(list, zip(*rows, strict=True)))


async def copy(connection: Connection, again: Mapping[int, Task]) -> None:
    """Give new tasks the checklists of those they follow, by whose ids they are given, with nothing done."""
    tasks = again.values()
    await connection.execute(_COPY, [*again], [task.id for task in tasks], [task.customer_id for task in tasks])


async def add(connection: Connection, task: Task, words: str) -> int:
    """Store one more thing at the end of a checklist and return its id; `settle` counts it."""
    item_id: int = await connection.fetchval(_ADD, task.id, task.customer_id, task.items, words)
    return item_id


async def write(
    connection: Connection, task_id: int, item_id: int, words: str, done_at: datetime | None, done_by: int | None
) -> None:
    """Write what one thing says, and when and by whom it was done."""
    await connection.execute(_WRITE, task_id, item_id, words, done_at, done_by)


async def delete(connection: Connection, task_id: int, item_id: int) -> bool:
    """Take one thing off a checklist; return whether it was on it."""
    return await connection.fetchval(_DELETE, task_id, item_id) is not None


async def settle(connection: Connection, task_id: int, order: Sequence[int]) -> None:
    """Put a checklist into an order of ids, and note with the task how much stands on it."""
    await connection.execute(_ORDER, task_id, order)
    await connection.execute(_COUNT, task_id)
