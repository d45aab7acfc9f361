"""Tasks at a glance: the columns of a board, and the counts for somebody's home page, each by one statement."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import get_args
from zoneinfo import ZoneInfo

import msgspec

from zhike import clock
from zhike.access.actor import Actor
from zhike.contracts import Task, TaskStatus
from zhike.orm import Database
from zhike.tasks import sql
from zhike.tasks.query import Span, TasksQuery, Values, filters, mine, of_team, span

RECENT = timedelta(days=14)
"""For how long a board shows what was done or cancelled."""
MOST = 1_000
"""Up to which tasks of a column are counted."""
_COLUMN = """
SELECT * FROM (
  SELECT t.*, least({most}, (SELECT count(*) FROM (SELECT FROM task AS t WHERE {where} LIMIT {most}) AS n)) AS total
  FROM task AS t WHERE {where} ORDER BY {order} LIMIT {limit}
) AS shown
"""
_COUNTS = """
SELECT {counts} FROM (SELECT t.*, {mine} AS mine, {team} AS team_too FROM task AS t
WHERE {unfinished} AND {visible} AND ({mine} OR {team})) AS t
"""


class BoardColumn(msgspec.Struct, frozen=True, kw_only=True):
    """The tasks with one status.

    Args:
        status: `open`, `in_progress`, `done` or `cancelled`.
        total: How many there are; 1,000 stands for more.
        tasks: The first of them: by due time, what is finished from the last on.
    """

    status: TaskStatus
    total: int
    tasks: list[Task]


class Board(msgspec.Struct, frozen=True):
    """Tasks by their status; of those that are finished, what changed in the last 14 days.

    Args:
        columns: In the order of the statuses.
    """

    columns: list[BoardColumn]


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many tasks there are that are not finished.

    Args:
        unfinished: All of them.
        in_progress: Those that somebody works on.
        overdue: Those whose due time has come.
        today: Those due today, the overdue among them included.
        week: Those due from Monday to Sunday of this week.
        urgent: Those of the highest priority.
        unassigned: Those that nobody has taken yet.
    """

    unfinished: int
    in_progress: int
    overdue: int
    today: int
    week: int
    urgent: int
    unassigned: int


class TaskCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The counts for somebody's home page.

    Args:
        mine: Of one's own tasks.
        team: Of those of one's team and the teams below it, and of their members.
    """

    mine: Counts
    team: Counts


async def board(db: Database, actor: Actor, query: TasksQuery, *, zone: ZoneInfo) -> Board:
    """Return the tasks that `actor` sees as the columns of a board.

    Args:
        db: Where they are.
        actor: Who asks.
        query: Which tasks, `limit` of each column; its order and cursor do not count.
        zone: The zone of instants without offset.

    Raises:
        BadRequest: If an instant is out of range.
    """
    now, values = clock.now(), Values()
    where = [sql.visible(actor), *filters(query, actor, zone, values)]
    recent, limit = values.add(now - RECENT), values.add(query.size)
    columns = []
    for status in get_args(TaskStatus):
        finished = status not in sql.UNFINISHED
        wanted = [f"t.status = '{status}'", *where, *([f"t.updated_at >= {recent}"] if finished else [])]
        order = "t.updated_at DESC, t.id DESC" if finished else f"{sql.DUE}, t.id"
        columns.append(_COLUMN.format(where=" AND ".join(wanted), order=order, limit=limit, most=MOST))
    rows = await db.fetch("UNION ALL".join(columns), *values)
    shown = {status: [row for row in rows if row["status"] == status] for status in get_args(TaskStatus)}
    return Board(
        [
            BoardColumn(status=status, total=each[0]["total"] if each else 0, tasks=[sql.task_of(r, now) for r in each])
            for status, each in shown.items()
        ]
    )


async def counts(db: Database, actor: Actor, *, zone: ZoneInfo) -> TaskCounts:
    """Count the tasks that concern `actor` and that they see; days are those of `zone`."""
    values = Values()
    wanted = _wanted(values, zone, clock.now())
    columns = [f"count(*) FILTER (WHERE {whose} AND {what})" for whose in ("mine", "team_too") for what in wanted]
    statement = _COUNTS.format(
        counts=", ".join(columns),
        mine=mine(actor),
        team=of_team(actor),
        unfinished=sql.IS_UNFINISHED,
        visible=sql.visible(actor),
    )
    [row] = await db.fetch(statement, *values)
    own, others = row[: len(wanted)], row[len(wanted) :]
    return TaskCounts(mine=_counts(own), team=_counts(others))


def _counts(figures: Sequence[int]) -> Counts:
    return Counts(**dict(zip(Counts.__struct_fields__, figures, strict=True)))


def _wanted(values: Values, zone: ZoneInfo, now: datetime) -> list[str]:
    """Return the predicates of `Counts`, in its order."""
    spans = []
    for word in get_args(Span):
        start, end = (values.add(instant) for instant in span(word, zone, now))
        spans.append(f"{sql.DUE} >= {start} AND {sql.DUE} < {end}")
    overdue = f"{sql.DUE} <= {values.add(now)}"
    return ["TRUE", "t.status = 'in_progress'", overdue, *spans, "t.priority = 0", "t.assignee IS NULL"]
