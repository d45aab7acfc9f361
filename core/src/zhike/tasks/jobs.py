"""Reminders and overdue tasks: a durable job per unfinished task, for when something is to be told of it next."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from zhike.contracts import Job, JobItem, Task
from zhike.i18n import text
from zhike.jobs.sql import withdraw
from zhike.tasks import due, sql, telling
from zhike.tasks.facts import tell
from zhike.work import Cause, Work

_NAME = "tasks.remind"


class Alarm(msgspec.Struct, frozen=True):
    """Payload of the job.

    Args:
        task_id: The task that something is to be told of.
    """

    task_id: int


async def schedule(work: Work, tasks: Sequence[Task], cause: Cause | None) -> None:
    """Have told in time what is to be told of tasks that are locked; what was planned before is forgotten."""
    idle = [str(task.id) for task in tasks if not plan(work, task, cause)]
    if idle:
        work.jobs[:] = [job for job in work.jobs if job.name != _NAME or job.key not in idle]
        await withdraw(work.connection, _NAME, idle)


async def remind(items: Sequence[JobItem], work: Work) -> None:
    """Tell of tasks what is to be told by now, each reminder once, also if there was nobody to do so for a while."""
    causes: dict[int, JobItem] = {item.payload.task_id: item for item in items}
    # Whoever changes a task holds it until that is known.
    rows = [row for row in await sql.lock(work.connection, None, causes) if row["status"] in sql.UNFINISHED]
    for row in rows:
        task, cause = sql.task_of(row, work.now), causes[row["id"]]
        moments = due.reminders_of(task, work.platform.settings.zone)
        now = [moment for moment in moments if row["reminded_at"] < moment <= work.now]
        for moment in now:
            tell(work, "task.reminded", task, cause, remind_at=moment)
        late = task.overdue and row["overdue_at"] is None
        if late:
            tell(work, "task.overdue", task, cause)
        if late or now:
            await telling.reminded(work, task, overdue=late)
        plan(work, task, cause, told=True)
    await sql.reminded(work.connection, [row["id"] for row in rows], work.now)


def plan(work: Work, task: Task, cause: Cause | None, *, told: bool = False) -> bool:
    """Enqueue the job for what comes next, `told` saying that an overdue task is known to be; false if nothing does."""
    at = due.next_alarm(task, work.platform.settings.zone, work.now, told=told)
    if at is not None:
        key, who = str(task.id), task.customer_id
        work.enqueue(_NAME, Alarm(task.id), key=key, due_at=at, customer_id=who, cause=cause, replace=True)
    return at is not None


JOBS = [Job(name=_NAME, run=remind, payload=Alarm, batch=100, label=text("Remind of tasks"))]
