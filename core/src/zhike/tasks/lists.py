"""Reading tasks: one by id, and lists by what is known of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from zhike import clock
from zhike.access.actor import Actor
from zhike.api import Page
from zhike.contracts import Task
from zhike.customers.service import winner_of
from zhike.ids import decode_cursor, encode_cursor
from zhike.orm import Database
from zhike.tasks import due, sql
from zhike.tasks.schemas import TasksQuery
from zhike.tasks.service import not_found

_ONE = "SELECT t.* FROM task AS t WHERE t.id = $1 AND {visible}"
_LIST = "SELECT t.* FROM task AS t WHERE {where} ORDER BY {order} LIMIT {limit}"
_ORDER = ("t.priority", sql.DUE, "t.id")
_PLACE = ("{}::smallint", "coalesce({}::timestamptz, 'infinity')", "{}::bigint")
_SORTS = {"priority": 0, "due_at": 1, "-created_at": 2}
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
    now, values = clock.now(), _Values()
    scope = f"tasks:{msgspec.json.encode(msgspec.structs.replace(query, limit=1, cursor=None)).decode()}"
    start, newest = _SORTS[query.sort], query.sort == "-created_at"
    order = [f"{column} DESC" if newest else column for column in _ORDER[start:]]
    async with db.connection() as connection:
        if query.customer_id is not None:
            query = msgspec.structs.replace(query, customer_id=await winner_of(connection, query.customer_id) or 0)
        where = [sql.visible(actor), *_filters(query, zone, values)]
        if query.cursor is not None:
            end = decode_cursor(query.cursor, key, tuple[int, datetime | None, int], scope=scope)
            place = [form.format(values.add(value)) for form, value in zip(_PLACE[start:], end[start:], strict=True)]
            where.append(f"({', '.join(_ORDER[start:])}) {'<' if newest else '>'} ({', '.join(place)})")
        limit = values.add(query.size + 1)
        statement = _LIST.format(where=" AND ".join(where), order=", ".join(order), limit=limit)
        rows = await connection.fetch(statement, *values)
    items = [sql.task_of(row, now) for row in rows[: query.size]]
    if len(rows) <= query.size:
        return Page(items, None)
    last = rows[query.size - 1]
    return Page(items, encode_cursor((last["priority"], last["due_at"], last["id"]), key, scope=scope))


class _Values(list[Any]):
    """The values that are bound in a statement."""

    def add(self, value: object) -> str:
        """Add one and return what stands for it."""
        self.append(value)
        return f"${len(self)}"


def _filters(query: TasksQuery, zone: ZoneInfo, values: _Values) -> list[str]:
    """Return the conditions of a query."""
    now, dated = clock.now(), query.due_after is not None or query.due_before is not None
    names = ("assignee", "team", "customer_id")
    where = [f"t.{name} = {values.add(value)}" for name in names if (value := getattr(query, name)) is not None]
    if query.priority is not None:
        where.append(f"t.priority = {values.add(sql.PRIORITIES.index(query.priority))}")
    if query.due_after is not None:
        after = due.instant("due_after", query.due_after, zone, now)
        where.append(f"{sql.DUE} >= {values.add(after)} AND t.due_at IS NOT NULL")
    if query.due_before is not None:
        where.append(f"{sql.DUE} < {values.add(due.instant('due_before', query.due_before, zone, now))}")
    if query.overdue is not None:
        where.append(f"{'' if query.overdue else 'NOT '}(t.status = 'open' AND {sql.DUE} <= {values.add(now)})")
    if query.status is not None:
        where.append(f"t.status = '{query.status}'")
    elif dated:  # the index begins with the status
        where.append("t.status IN ('open', 'done', 'cancelled')")
    return where
