"""Which tasks a list shows."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from zhike import clock
from zhike.api import PageQuery
from zhike.contracts import TaskPriority, TaskStatus
from zhike.tasks import due, sql
from zhike.tasks.schemas import Id

Sort = Literal["-created_at", "due_at", "priority"]


class TasksQuery(PageQuery, frozen=True, kw_only=True):
    """The query parameters of `GET /tasks`.

    Args:
        status: `open`, `done` or `cancelled`.
        assignee: Id of a user.
        team: Id of a team.
        customer_id: Id of a customer.
        priority: `low`, `normal`, `high` or `urgent`.
        due_after: Due then or later; without offset in the deployment's zone.
        due_before: Due earlier than that.
        overdue: Open and due by now, or not.
        sort: `-created_at` for the newest first, `due_at` for the first due, `priority` for the most urgent.
        limit: Entries of a page; more than 1,000 count as 1,000.
        cursor: The `next` of the page before.
    """

    status: TaskStatus | None = None
    assignee: Id | None = None
    team: Id | None = None
    customer_id: Id | None = None
    priority: TaskPriority | None = None
    due_after: datetime | None = None
    due_before: datetime | None = None
    overdue: bool | None = None
    sort: Sort = "-created_at"


class Values(list[Any]):
    """The values that are bound in a statement."""

    def add(self, value: object) -> str:
        """Add one and return what stands for it."""
        self.append(value)
        return f"${len(self)}"


def filters(query: TasksQuery, zone: ZoneInfo, values: Values) -> list[str]:
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
