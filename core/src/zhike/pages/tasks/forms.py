"""What is asked for to make or change a task, and what becomes of it."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from zhike.api import Id
from zhike.contracts import Recurrence, Task, TaskPriority
from zhike.i18n import text
from zhike.pages.tasks.words import local
from zhike.ui import Form, FormError, asked

_REMINDERS = {
    "PT30M": "30 minutes before",
    "PT2H": "2 hours before",
    "P1D": "A day before",
    "P3D": "3 days before",
}
_PRIORITIES = {"urgent": "Urgent", "high": "High", "normal": "Normal", "low": "Low"}
_EVERY = {
    **{"day": "Every day", "working_day": "Every working day", "week": "Every week"},
    **{"month": "Every month", "quarter": "Every quarter", "year": "Every year"},
}
_WEEKDAYS = {
    **{"1": "Monday", "2": "Tuesday", "3": "Wednesday", "4": "Thursday"},
    **{"5": "Friday", "6": "Saturday", "7": "Sunday"},
}
_NTH = {"1": "The first", "2": "The second", "3": "The third", "4": "The fourth", "-1": "The last"}
_CLOSED = {"keep": "Keep the date", "next": "The next working day", "previous": "The working day before"}
_MONTHLY = ("month", "quarter", "year")
BESIDE = {"customer_id": "customer", "recurrence": "every"}
"""What the service calls parts of a task that the forms ask for by another name."""


class WorkForm(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for of every task.

    Args:
        title: What is to be done.
        description: All that is to be known for it.
        assignee: Who is to do it.
        team: In whose queue it is.
        priority: How urgent it is.
        due_at: Until when, in the reader's zone.
        reminders: How long before to remind of it.
        every: How it comes again.
        interval: Every how many.
        weekdays: On which days of the week; with `nth` the one that is meant.
        nth: Which of these days of a month.
        closed: What becomes of dates without open hours.
        until: The last date.
    """

    title: Annotated[str, asked("What is to be done", min_length=1, max_length=200)]
    description: Annotated[str, asked("Description", kind="textarea", max_length=10_000)] = ""
    assignee: Annotated[Id | None, asked("Assignee", kind="user")] = None
    team: Annotated[Id | None, asked("Team", kind="team", help="Whoever of the team has time takes it")] = None
    priority: Annotated[TaskPriority, asked("Priority", options=_PRIORITIES)] = "normal"
    due_at: Annotated[str, asked("Due", kind="instant", max_length=40)] = ""
    reminders: Annotated[list[Literal["PT30M", "PT2H", "P1D", "P3D"]], asked("Remind", options=_REMINDERS)] = []
    every: Annotated[
        Literal["day", "working_day", "week", "month", "quarter", "year"] | None,
        asked("Repeat", options=_EVERY, help="The next one is made when this one is done or cancelled"),
    ] = None
    interval: Annotated[int, asked("Every how many of these", ge=1, le=99)] = 1
    weekdays: Annotated[
        list[Literal["1", "2", "3", "4", "5", "6", "7"]],
        asked("On these days", options=_WEEKDAYS, help="Of a week; the day it is due when none is chosen"),
    ] = []
    nth: Annotated[
        Literal["1", "2", "3", "4", "-1"] | None,
        asked("Which one of the month", options=_NTH, help="Of the day chosen above; else the same date each time"),
    ] = None
    closed: Annotated[Literal["keep", "next", "previous"], asked("If that is a day off", options=_CLOSED)] = "keep"
    until: Annotated[date | None, asked("Until")] = None


class NewForm(WorkForm, frozen=True, kw_only=True):
    """What is asked for when a task is made.

    Args:
        customer: Whom it is about.
        items: Its checklist, a line each.
    """

    customer: Annotated[Id | None, asked("Customer", kind="customer")] = None
    items: Annotated[str, asked("Checklist", kind="textarea", help="A line each", max_length=50_000)] = ""


class EditForm(WorkForm, frozen=True, kw_only=True):
    """What is asked for when a task is changed."""


def due_of(form: WorkForm, zone: ZoneInfo) -> datetime | None:
    """Return until when, as it was typed in a zone.

    Raises:
        FormError: If it is no date and time.
    """
    if not form.due_at:
        return None
    try:
        return datetime.fromisoformat(form.due_at).replace(tzinfo=zone)
    except ValueError:
        wrong = {"due_at": text("A date and time is expected")}
        raise FormError(Form(type(form), form, wrong)) from None


def recurrence_of(form: WorkForm) -> Recurrence | None:
    """Return how a task comes again; what is left over from another way to repeat counts no more."""
    if form.every is None:
        return None
    nth = int(form.nth) if form.nth is not None and form.every in _MONTHLY else None
    days = tuple(map(int, form.weekdays)) if form.every == "week" or nth is not None else ()
    given = {"every": form.every, "interval": form.interval, "weekdays": days, "nth": nth}
    return msgspec.convert({**given, "closed": form.closed, "until": form.until}, Recurrence)


def filled(task: Task, zone: ZoneInfo) -> dict[str, Any]:
    """Return what the form holds of a task."""
    rule = task.recurrence
    again: dict[str, Any] = {}
    if rule is not None:
        again = {name: getattr(rule, name) for name in ("every", "interval", "nth", "closed", "until")}
        again["weekdays"] = [str(day) for day in rule.weekdays]
    names = ("title", "description", "assignee", "team", "priority", "version")
    return {
        **{name: getattr(task, name) for name in names},
        "due_at": local(task.due_at, zone),
        "reminders": [each for each in task.reminders if each in _REMINDERS],
        **again,
    }


def reminders_of(form: WorkForm, before: Task | None = None) -> tuple[str, ...]:
    """Return when to remind; what the form cannot show stays as it was."""
    kept = [each for each in before.reminders if each not in _REMINDERS] if before is not None else []
    return (*kept, *form.reminders)
