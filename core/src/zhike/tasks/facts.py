"""The events that tasks leave on their customers' timelines; a task without a customer leaves none."""

from __future__ import annotations

from datetime import datetime
from functools import partial

import msgspec

from zhike.contracts import EventType, JobItem, Task, TaskPriority
from zhike.i18n import text
from zhike.work import Cause, Work


class TaskFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The properties of all events of tasks.

    Args:
        task_id: The task.
        title: What is to be done.
        assignee: Id of the user who is to do it.
        team: Id of the team in whose queue it is.
        priority: `low`, `normal`, `high` or `urgent`.
        due_at: Until when.
        remind_at: The reminder whose time has come; of `task.reminded` only.
        comment_id: What was said; of `task.commented` only.
    """

    task_id: int
    title: str
    assignee: int | None = None
    team: int | None = None
    priority: TaskPriority
    due_at: datetime | None = None
    remind_at: datetime | None = None
    comment_id: int | None = None


_LABELS = {
    "task.created": text("Task made"),
    "task.assigned": text("Task assigned"),
    "task.started": text("Task begun"),
    "task.commented": text("Comment on a task"),
    "task.completed": text("Task done"),
    "task.cancelled": text("Task cancelled"),
    "task.reopened": text("Task taken up again"),
    "task.reminded": text("Reminder of a task"),
    "task.overdue": text("Task overdue"),
}
_made = partial(EventType, kind="platform", payload=TaskFacts, summary="{title}")
EVENT_TYPES = [_made(name=name, label=label) for name, label in _LABELS.items()]
_SAME = ("title", "assignee", "team", "priority", "due_at")


def tell(
    work: Work,
    name: str,
    task: Task,
    cause: Cause | None,
    *,
    remind_at: datetime | None = None,
    comment_id: int | None = None,
) -> None:
    """Emit an event about a task, if it has a customer."""
    if task.customer_id is None:
        return
    same = {field: getattr(task, field) for field in _SAME}
    facts = TaskFacts(task_id=task.id, remind_at=remind_at, comment_id=comment_id, **same)
    # The event type is ours, whoever's unit of work this is part of.
    plugin, work.plugin = work.plugin, ""
    try:
        key = f"{task.id}:{remind_at or comment_id or task.version}"
        work.emit(name, task.customer_id, cause=cause, key=key, properties=facts)
    finally:
        work.plugin = plugin


def causation(cause: Cause | None) -> int | None:
    """Return the id of the event behind a cause."""
    return cause.causation_id if isinstance(cause, JobItem) else cause.id if cause else None
