"""What is said of a task that is to be made, and what may be changed of one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from zhike.api import MAX_ID
from zhike.contracts import Recurrence, TaskPriority, TaskStatus

MAX_REMINDERS = 10
MAX_ITEMS = 100
Title = Annotated[str, Meta(min_length=1, max_length=200)]
ItemText = Annotated[str, Meta(min_length=1, max_length=500)]
Words = Annotated[str, Meta(max_length=10_000)]
Id = Annotated[int, Meta(ge=1, le=MAX_ID)]
WorkingTime = Annotated[str, Meta(max_length=40)]
Reminders = Annotated[tuple[Annotated[str, Meta(max_length=40)], ...], Meta(max_length=MAX_REMINDERS)]


class NewTask(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A task that is to be made.

    Args:
        title: What is to be done, up to 200 characters.
        description: All that is to be known for it.
        customer_id: The customer it is about.
        assignee: Id of the user who is to do it.
        team: Id of the team in whose queue it is.
        priority: `low`, `normal`, `high` or `urgent`.
        due_at: Until when; without offset in the deployment's zone.
        due_in: Until when, in working time from now: days and hours such as `P3D`, `PT4H` or `P1DT2H`. A working day
            later is the same time of the next day with open hours.
        reminders: When to remind of it, at most 10: instants, or durations such as `PT2H` before it is due.
        recurrence: How it comes again, for which it needs a due time.
        items: What its checklist says, at most 100.
        key: The caller's own name of it: with the key of a task that is there already none is made, and that one is
            the answer.
    """

    title: Title
    description: Words = ""
    customer_id: Id | None = None
    assignee: Id | None = None
    team: Id | None = None
    priority: TaskPriority = "normal"
    due_at: datetime | None = None
    due_in: WorkingTime | None = None
    reminders: Reminders = ()
    recurrence: Recurrence | None = None
    items: Annotated[tuple[ItemText, ...], Meta(max_length=MAX_ITEMS)] = ()
    key: Annotated[str, Meta(min_length=1, max_length=200)] | None = None


class TaskChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be another way with a task; what is left out stays as it is. The customer stays in any case.

    Args:
        title: See `NewTask`.
        description: See `NewTask`.
        assignee: See `NewTask`; null takes it away.
        team: See `NewTask`; null takes it away.
        priority: See `NewTask`.
        due_at: See `NewTask`; null takes it away.
        due_in: See `NewTask`.
        reminders: See `NewTask`; all of them.
        recurrence: How it comes again; null ends that. When it is done or cancelled, the next one is made.
        status: `in_progress`, `done`, `cancelled`, or `open` to put it back or take it up again.
        result: What came of it, or why it is cancelled.
        version: The version that was read; if the task is at another one by now, nothing is changed (409).
    """

    title: Title | UnsetType = UNSET
    description: Words | UnsetType = UNSET
    assignee: Id | UnsetType | None = UNSET
    team: Id | UnsetType | None = UNSET
    priority: TaskPriority | UnsetType = UNSET
    due_at: datetime | UnsetType | None = UNSET
    due_in: WorkingTime | UnsetType = UNSET
    reminders: Reminders | UnsetType = UNSET
    recurrence: Recurrence | UnsetType | None = UNSET
    status: TaskStatus | UnsetType = UNSET
    result: Words | UnsetType | None = UNSET
    version: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
