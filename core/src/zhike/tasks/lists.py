"""Reading tasks: one by id, and lists by what is known of them."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from zhike import clock
from zhike.access.actor import Actor
from zhike.api import Page
from zhike.contracts import Task
from zhike.customers.service import winner_of
from zhike.ids import decode_cursor, encode_cursor
from zhike.orm import Database
from zhike.tasks import sql
from zhike.tasks.query import TasksQuery, Values, filters
from zhike.tasks.service import not_found

_ONE = "SELECT t.* FROM task AS t WHERE t.id = $1 AND {visible}"
_LIST = "SELECT t.* FROM task AS t WHERE {where} ORDER BY {order} LIMIT {limit}"
_ORDER = ("t.priority", sql.DUE, "t.id")
_PLACE = ("{}::smallint", "coalesce({}::timestamptz, 'infinity')", "{}::bigint")
_SORTS = {"priority": 0, "due_at": 1, "created_at": 2}
"""Where in `_ORDER` each way of sorting begins."""


async def get(db: Database, actor: Actor, task_id: int) -> Task:
    """Return a task.

    Raises:
        NotFound: If there is none, or `actor` does not see its customer.
    """
    async with db.connection() as connection:
        row = await connection.fetchrow(_ONE.format(visible=sql.visible(actor)), task_id)
    if row is None:
        raise not_found(task_id)
    return sql.task_of(row, clock.now())


async def list_(db: Database, actor: Actor, query: TasksQuery, *, zone: ZoneInfo, key: bytes = b"") -> Page[Task]:
    """Return a page of the tasks that `actor` sees.

    Args:
        db: Where they are; inside a unit of work its own tasks are seen too.
        actor: Who asks.
        query: Which tasks, and in which order.
        zone: The zone of instants without offset.
        key: The deployment's secret that signs cursors.

    Raises:
        BadRequest: If an instant is out of range, or the cursor was not made for this list.
    """
    now, values = clock.now(), Values()
    scope = f"tasks:{msgspec.json.encode(msgspec.structs.replace(query, limit=1, cursor=None)).decode()}"
    start, downwards = _SORTS[query.sort.removeprefix("-")], query.sort.startswith("-")
    order = [f"{column} DESC" if downwards else column for column in _ORDER[start:]]
    async with db.connection() as connection:
        if query.customer_id is not None:
            query = msgspec.structs.replace(query, customer_id=await winner_of(connection, query.customer_id) or 0)
        where = [sql.visible(actor), *filters(query, actor, zone, values)]
        if query.cursor is not None:
            end = decode_cursor(query.cursor, key, tuple[int, datetime | None, int], scope=scope)
            place = [form.format(values.add(value)) for form, value in zip(_PLACE[start:], end[start:], strict=True)]
            where.append(f"({', '.join(_ORDER[start:])}) {'<' if downwards else '>'} ({', '.join(place)})")
        limit = values.add(query.size + 1)
        statement = _LIST.format(where=" AND ".join(where), order=", ".join(order), limit=limit)
        rows = await connection.fetch(statement, *values)
    items = [sql.task_of(row, now) for row in rows[: query.size]]
    if len(rows) <= query.size:
        return Page(items, None)
    last = rows[query.size - 1]
    return Page(items, encode_cursor((last["priority"], last["due_at"], last["id"]), key, scope=scope))
