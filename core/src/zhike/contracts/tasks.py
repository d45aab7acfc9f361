"""A task as hooks and the API show it."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

TaskPriority = Literal["low", "normal", "high", "urgent"]
TaskStatus = Literal["open", "in_progress", "done", "cancelled"]
Weekday = Annotated[int, Meta(ge=1, le=7)]


class Recurrence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a task comes again, on dates in the deployment's zone and at the time of day of `start`.

    Args:
        every: `day`, `week`, `month`, `quarter`, `year`, or `working_day` for days with open hours.
        interval: Every how many of them.
        weekdays: From 1 for Monday to 7: on which days of a week; with `nth` the one that is meant.
        nth: That weekday of the month counts: the first to the fourth, or -1 for the last. Without it, it is the day
            of the month on which `start` is; in a shorter month its last day.
        closed: What becomes of a date without open hours: `keep` it, or take the `next` or `previous` with some.
        until: The last date.
        start: From when it is counted; the task's due time when absent.
    """

    every: Literal["day", "working_day", "week", "month", "quarter", "year"]
    interval: Annotated[int, Meta(ge=1, le=99)] = 1
    weekdays: Annotated[tuple[Weekday, ...], Meta(max_length=7)] = ()
    nth: Literal[1, 2, 3, 4, -1] | None = None
    closed: Literal["keep", "next", "previous"] = "keep"
    until: date | None = None
    start: datetime | None = None


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
        status: `open`, `in_progress`, `done` or `cancelled`.
        due_at: Until when, in UTC, or None.
        overdue: Whether it is neither done nor cancelled although that time has come.
        reminders: When to remind of it: instants, or durations such as `PT2H` before it is due.
        recurrence: How it comes again, or None; once it is done or cancelled, the next one has it.
        series: Id of the first of the tasks that follow each other so, or None.
        items: Number of things on its checklist.
        items_done: Number of those that are done.
        comments: Number of its comments.
        result: What came of it, or why it was cancelled; None before that.
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
    recurrence: Recurrence | None
    series: int | None
    items: int
    items_done: int
    comments: int
    result: str | None
    key: str | None
    origin: str
    causation_id: int | None
    version: int
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
