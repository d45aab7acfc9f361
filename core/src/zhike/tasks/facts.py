"""The events that tasks leave on their customers' timelines; a task without a customer leaves none."""

from __future__ import annotations

from datetime import datetime

import msgspec

from zhike.contracts import EventType, Task, TaskPriority
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
    """

    task_id: int
    title: str
    assignee: int | None = None
    team: int | None = None
    priority: TaskPriority
    due_at: datetime | None = None
    remind_at: datetime | None = None


_LABELS = {
    "task.created": text("Task made"),
    "task.assigned": text("Task assigned"),
    "task.completed": text("Task done"),
    "task.cancelled": text("Task cancelled"),
    "task.reopened": text("Task taken up again"),
    "task.reminded": text("Reminder of a task"),
    "task.overdue": text("Task overdue"),
}
EVENT_TYPES = [EventType(name=name, kind="platform", label=label, payload=TaskFacts) for name, label in _LABELS.items()]
_SAME = ("title", "assignee", "team", "priority", "due_at")


def tell(work: Work, name: str, task: Task, cause: Cause | None, remind_at: datetime | None = None) -> None:
    """Emit an event about a task, if it has a customer."""
    if task.customer_id is None:
        return
    facts = TaskFacts(task_id=task.id, remind_at=remind_at, **{field: getattr(task, field) for field in _SAME})
    # The event type is ours, whoever's unit of work this is part of.
    plugin, work.plugin = work.plugin, ""
    try:
        key = f"{task.id}:{remind_at or task.version}"
        work.emit(name, task.customer_id, cause=cause, key=key, properties=facts)
    finally:
        work.plugin = plugin
