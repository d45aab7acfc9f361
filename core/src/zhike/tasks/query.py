"""Which tasks a list shows."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from msgspec import Meta

from zhike import clock
from zhike.access.actor import Actor
from zhike.access.scope import owned
from zhike.api import MAX_ID, PageQuery
from zhike.contracts import TaskPriority, TaskStatus
from zhike.tasks import due, sql
from zhike.tasks.schemas import Id

Span = Literal["today", "week"]
Sort = Literal["-created_at", "created_at", "due_at", "-due_at", "priority", "-priority"]


class TasksQuery(PageQuery, frozen=True, kw_only=True):
    """The query parameters of `GET /tasks`.

    Args:
        q: Part of a title, or a task's id.
        status: `open`, `in_progress`, `done` or `cancelled`.
        finished: Whether it is done or cancelled.
        whose: `me` for one's own tasks, `team` for those of one's team and the teams below it, and of their members.
        assignee: Id of a user.
        team: Id of a team.
        customer_id: Id of a customer.
        series: Id of the first of tasks that follow each other.
        priority: `low`, `normal`, `high` or `urgent`.
        due_after: Due then or later; without offset in the deployment's zone.
        due_before: Due earlier than that.
        due: Not finished and due `today`, or this `week` from Monday to Sunday.
        overdue: Not finished and due by now, or the others.
        sort: `-created_at` for the newest first, `due_at` for the first due, `priority` for the most urgent; the other
            way round with the minus sign put or taken away.
        limit: Entries of a page; more than 1,000 count as 1,000.
        cursor: The `next` of the page before.
    """

    q: Annotated[str, Meta(max_length=200, pattern=r"\A[^\0]*\Z")] = ""
    status: TaskStatus | None = None
    finished: bool | None = None
    whose: Literal["me", "team"] | None = None
    assignee: Id | None = None
    team: Id | None = None
    customer_id: Id | None = None
    series: Id | None = None
    priority: TaskPriority | None = None
    due_after: datetime | None = None
    due_before: datetime | None = None
    due: Span | None = None
    overdue: bool | None = None
    sort: Sort = "-created_at"


class Values(list[Any]):
    """The values that are bound in a statement."""

    def add(self, value: object) -> str:
        """Add one and return what stands for it."""
        self.append(value)
        return f"${len(self)}"


def filters(query: TasksQuery, actor: Actor, zone: ZoneInfo, values: Values) -> list[str]:
    """Return the conditions of a query that `actor` asks."""
    now, dated = clock.now(), query.due_after is not None or query.due_before is not None
    names = ("assignee", "team", "customer_id", "series")
    where = [f"t.{name} = {values.add(value)}" for name in names if (value := getattr(query, name)) is not None]
    if q := query.q.strip():
        number = int(q) if q.isascii() and q.isdigit() and int(q) <= MAX_ID else 0
        where.append(f"(t.id = {values.add(number)} OR strpos(lower(t.title), lower({values.add(q)})) > 0)")
    if query.whose is not None:
        where.append(mine(actor) if query.whose == "me" else of_team(actor))
    if query.priority is not None:
        where.append(f"t.priority = {values.add(sql.PRIORITIES.index(query.priority))}")
    if query.due_after is not None:
        after = due.instant("due_after", query.due_after, zone, now)
        where.append(f"{sql.DUE} >= {values.add(after)} AND t.due_at IS NOT NULL")
    if query.due_before is not None:
        where.append(f"{sql.DUE} < {values.add(due.instant('due_before', query.due_before, zone, now))}")
    if query.due is not None:
        start, end = (values.add(instant) for instant in span(query.due, zone, now))
        where.append(f"{sql.IS_UNFINISHED} AND {sql.DUE} >= {start} AND {sql.DUE} < {end}")
    if query.overdue is not None:
        where.append(f"{'' if query.overdue else 'NOT '}({sql.IS_UNFINISHED} AND {sql.DUE} <= {values.add(now)})")
    if query.finished is not None:
        where.append(sql.IS_FINISHED if query.finished else sql.IS_UNFINISHED)
    if query.status is not None:
        where.append(f"t.status = '{query.status}'")
    elif dated:  # the index begins with the status
        where.append("t.status IN ('open', 'in_progress', 'done', 'cancelled')")
    return where


def mine(actor: Actor) -> str:
    """Return the predicate over the tasks that are the actor's own."""
    return owned(actor, "own", "t.assignee", "t.team")


def of_team(actor: Actor) -> str:
    """Return the predicate over the tasks of the actor's teams and of their members."""
    teams = ", ".join(str(int(each)) for each in sorted(actor.teams))
    members = f"SELECT u.id FROM app_user AS u WHERE u.team_id IN ({teams})"
    return f"(t.team IN ({teams}) OR t.assignee IN ({members}))" if teams else "FALSE"


def span(word: Span, zone: ZoneInfo, now: datetime) -> tuple[datetime, datetime]:
    """Return when today or this week begins and ends, by the dates of a zone."""
    today = now.astimezone(zone).date()
    monday = today - timedelta(days=today.weekday())
    first, days = (today, 1) if word == "today" else (monday, 7)
    return _midnight(first, zone), _midnight(first + timedelta(days=days), zone)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, datetime.min.time(), zone)
