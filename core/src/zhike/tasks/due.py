"""When a task is due and when to remind of it: instants, working time, and durations before it is due."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import msgspec

from zhike import wire
from zhike.calendar.hours import DAY, MINUTE
from zhike.calendar.service import calendar
from zhike.conditions import durations
from zhike.conditions.problems import BadCondition
from zhike.errors import BadRequest
from zhike.events import checks
from zhike.i18n import text

if TYPE_CHECKING:
    from zhike.contracts import Task
    from zhike.platform import Platform

AHEAD = timedelta(days=36_525)
"""How far ahead a time may lie: a hundred years."""
MOST_DAYS = 1_000
"""Working days of the longest `due_in`; as many times 24 hours if it is said in hours."""
_DAY = timedelta(days=1)
_WORKING_TIME = re.compile(r"P(?:([0-9]{1,4})D)?(?:T(?=[0-9])(?:([0-9]{1,5})H)?(?:([0-9]{1,7})M)?)?")


def instant(field: str, value: datetime, zone: ZoneInfo, now: datetime) -> datetime:
    """Return a time in UTC; one without offset is in `zone`.

    Raises:
        BadRequest: If it lies before 1970 or more than a hundred years ahead.
    """
    latest = now + AHEAD
    try:
        return checks.instant(value, zone, latest)
    except checks.BadItem:
        problem = text("out of range; expected a time from 1970 to {latest}", latest=latest.year)
        raise wire.refuse(wire.Fault(field, problem)) from None


async def after_working_time(platform: Platform, value: str, now: datetime) -> datetime:
    """Return when so much working time will have passed, by the default calendar.

    It begins when it is open. A working day later is the same time of day on the next date that has open hours; if it
    is closed at that time, when it opens next.

    Args:
        platform: Its calendar counts.
        value: ISO 8601 text of days, hours and minutes; hours are counted while it is open.
        now: From when on.

    Raises:
        BadRequest: If it is no such duration, zero, or longer than `MOST_DAYS`.
    """
    found = _WORKING_TIME.fullmatch(value)
    days, hours, minutes = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    rest = timedelta(hours=hours, minutes=minutes)
    if not timedelta() < days * _DAY + rest <= MOST_DAYS * _DAY:
        expected = text("expected working days and hours such as P3D or PT4H, at most P{days}D", days=MOST_DAYS)
        raise wire.refuse(wire.Fault("due_in", expected))
    hours_of = await calendar(platform)
    start = hours_of.next_open(now).astimezone(hours_of.zone)
    # Hours over midnight belong to the date on which they begin.
    closing = [end - DAY for _, end in hours_of.rule(start.date() - _DAY).hours]
    night = _DAY if (start.hour * 60 + start.minute) * MINUTE < max(closing, default=0) else timedelta()
    date = start.date() - night
    for _ in range(days):
        date += _DAY
        while not hours_of.rule(date).hours:
            date += _DAY
    begin = hours_of.next_open(datetime.combine(date + night, start.time(), hours_of.zone)) if days else start
    return hours_of.add_working_time(begin, rest)


def checked(reminders: Sequence[str], due_at: datetime | None, zone: ZoneInfo, now: datetime) -> tuple[str, ...]:
    """Return reminders as they are stored: each once, instants in UTC.

    Raises:
        BadRequest: If one is neither an instant nor a duration, or before a due time that there is not.
    """
    return tuple(dict.fromkeys(_checked(each, due_at, zone, now) for each in reminders))


def _checked(reminder: str, due_at: datetime | None, zone: ZoneInfo, now: datetime) -> str:
    if reminder.startswith("P"):
        try:
            durations.parse(reminder, "reminders")
        except BadCondition as error:
            raise BadRequest(error.message) from None
        if due_at is None:
            wrong = text("{value} before it is due, but the task has no due time", value=reminder)
            raise wire.refuse(wire.Fault("reminders", wrong))
        return reminder
    try:
        found = msgspec.convert(reminder, datetime)
    except msgspec.ValidationError:
        expected = text("expected a time of RFC 3339, or a duration before it is due such as PT2H")
        raise wire.refuse(wire.Fault("reminders", expected)) from None
    return instant("reminders", found, zone, now).isoformat().replace("+00:00", "Z")


def reminders_of(task: Task, zone: ZoneInfo) -> list[datetime]:
    """Return the instants at which to remind of a task, in their order.

    Months and years before it is due are steps of the calendar in `zone`, a day is 24 hours.
    """
    return sorted({_moment(each, task.due_at, zone) for each in task.reminders})


def _moment(reminder: str, due_at: datetime | None, zone: ZoneInfo) -> datetime:
    if due_at is not None and reminder.startswith("P"):
        return durations.parse(reminder, "reminders").before(due_at, zone)
    return datetime.fromisoformat(reminder)


def next_alarm(task: Task, zone: ZoneInfo, now: datetime, *, told: bool = False) -> datetime | None:
    """Return when something is to be told of a task next, or None for never.

    Args:
        task: The task.
        zone: The deployment's zone.
        now: What lies before is not made up for, except that a task is overdue.
        told: Whether that has been told.
    """
    if task.status in {"done", "cancelled"}:
        return None
    moments = [each for each in reminders_of(task, zone) if each > now]
    if task.due_at is not None and (task.due_at > now or not told):
        moments.append(max(task.due_at, now))
    return min(moments, default=None)
