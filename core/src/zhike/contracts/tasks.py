"""A task as hooks and the API show it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

TaskPriority = Literal["low", "normal", "high", "urgent"]
TaskStatus = Literal["open", "done", "cancelled"]


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """Something that somebody is to do.

    Args:
        id: Its id.
        title: What is to be done.
        description: All that is to be known for it.
        customer_id: The customer it is about, or None.
        assignee: Id of the user who is to do it, or None.
        team: Id of the team in whose queue it is, or None.
        priority: `low`, `normal`, `high` or `urgent`.
        status: `open`, `done` or `cancelled`.
        due_at: Until when, in UTC, or None.
        overdue: Whether it is open although that time has come.
        reminders: When to remind of it: instants, or durations such as `PT2H` before it is due.
        result: What came of it, or why it was cancelled; None while it is open.
        key: The caller's own name of it, which no other task has, or None.
        origin: Who made it: `user:7`, `token:3`, `plugin:ticketing` …
        causation_id: The event that made it necessary, or None.
        version: Counts its changes, from 1.
        created_at: When it was made.
        updated_at: When it was changed last.
        completed_at: When it was done, or None.
    """

    id: int
    title: str
    description: str
    customer_id: int | None
    assignee: int | None
    team: int | None
    priority: TaskPriority
    status: TaskStatus
    due_at: datetime | None
    overdue: bool
    reminders: tuple[str, ...]
    result: str | None
    key: str | None
    origin: str
    causation_id: int | None
    version: int
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
