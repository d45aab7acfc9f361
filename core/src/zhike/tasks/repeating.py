"""Tasks that come again: when one is done or cancelled, the next is made in the same transaction.

So none is lost and none doubled, whenever the process is killed, and a task nobody has done does not pile up. The
recurrence goes from the one to the next: who takes the old one up again and finishes it makes no further one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from zhike.calendar.service import calendar
from zhike.contracts import Task
from zhike.events.emit import hold
from zhike.tasks import sql
from zhike.tasks.facts import causation
from zhike.tasks.recurrence import following
from zhike.work import Cause, Work


async def passed_on(work: Work, tasks: Sequence[Task], cause: Cause | None) -> tuple[list[Task], dict[int, Task]]:
    """Take their recurrence from tasks that are finished and hand it on to the next ones.

    Args:
        work: The unit of work that has locked them.
        tasks: As they are to be.
        cause: What made it necessary.

    Returns:
        The tasks, and by the id of one the next, which is to be stored.
    """
    ending = [task for task in tasks if task.recurrence is not None and task.status not in sql.UNFINISHED]
    if not ending:
        return list(tasks), {}
    ended = {task.id: msgspec.structs.replace(task, recurrence=None) for task in ending}
    # A merge in flight would leave behind what it has not seen.
    winners = await hold(work.connection, {task.customer_id for task in ending if task.customer_id is not None})
    there = [task for task in ending if task.customer_id is None or task.customer_id in winners]
    kept = [(task, due_at) for task in there if (due_at := await _due(work, task)) is not None]
    again = {}
    for (task, due_at), task_id in zip(kept, await sql.new_ids(work.connection, len(kept)), strict=True):
        customer = None if task.customer_id is None else winners[task.customer_id]
        again[task.id] = _next(work, task, cause, id=task_id, due_at=due_at, customer_id=customer)
    return [ended.get(task.id, task) for task in tasks], again


async def _due(work: Work, task: Task) -> datetime | None:
    if task.recurrence is None or task.due_at is None:
        return None
    hours = await calendar(work.platform)
    return following(task.recurrence, task.due_at, work.now, work.platform.settings.zone, hours)


def _next(work: Work, task: Task, cause: Cause | None, **new: int | datetime | None) -> Task:
    """Return a task like another one; reminders at an instant have had their time."""
    return msgspec.structs.replace(
        task,
        **new,
        status="open",
        overdue=False,
        reminders=tuple(each for each in task.reminders if each.startswith("P")),
        items_done=0,
        comments=0,
        result=None,
        key=None,
        origin=work.origin,
        causation_id=causation(cause),
        version=1,
        created_at=work.now,
        updated_at=work.now,
        completed_at=None,
    )
