"""When a task that comes again is due next."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import msgspec

from zhike import wire
from zhike.contracts import Recurrence
from zhike.i18n import Text, text
from zhike.tasks import due

if TYPE_CHECKING:
    from zhike.calendar.working import WorkingCalendar

_DAY = timedelta(days=1)
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
_FARTHEST = 31
"""Days that a date is moved at most to one with open hours."""


def settled(rule: Recurrence, due_at: datetime | None, zone: ZoneInfo, now: datetime) -> Recurrence:
    """Return a rule as it is stored: with its start, in UTC.

    Raises:
        BadRequest: If its parts do not fit together, or the task has no due time.
    """
    if due_at is None:
        raise wire.refuse(wire.Fault("recurrence", text("a task without a due time cannot come again")))
    if problem := _problem(rule):
        raise wire.refuse(wire.Fault("recurrence", problem))
    start = due_at if rule.start is None else due.instant("recurrence.start", rule.start, zone, now)
    return msgspec.structs.replace(rule, start=start, weekdays=tuple(sorted(set(rule.weekdays))))


def _problem(rule: Recurrence) -> Text | None:
    if rule.nth is not None and (rule.every not in _MONTHS or len(rule.weekdays) != 1):
        return text("nth needs month, quarter or year and one weekday")
    if rule.weekdays and rule.every != "week" and rule.nth is None:
        return text("weekdays are for every week, or with nth for months")
    return None


def following(
    rule: Recurrence, due_at: datetime, now: datetime, zone: ZoneInfo, calendar: WorkingCalendar
) -> datetime | None:
    """Return the first due time of a rule after both the one before and now, or None after the last.

    What would have been due meanwhile is left out: nobody is served by a heap of the same task.

    Args:
        rule: As `settled` returns it.
        due_at: When the task was due before.
        now: The present instant.
        zone: The deployment's zone, in which its dates and its time of day are.
        calendar: Which days have open hours.
    """
    after, start = max(due_at, now), (rule.start or due_at).astimezone(zone)
    # The date on which it was due has had its turn, also if it is one that would be moved.
    before = max(due_at.astimezone(zone).date(), after.astimezone(zone).date() - _FARTHEST * _DAY)
    latest = min(rule.until or date.max, (now + due.AHEAD).date())
    for day in _dates(rule, start.date(), calendar):
        if day > latest:
            break
        if day > before:
            at = datetime.combine(_moved(day, rule, calendar), start.time(), zone).astimezone(UTC)
            if at > after:
                return at
    return None


def _dates(rule: Recurrence, start: date, calendar: WorkingCalendar) -> Iterator[date]:
    """Yield the dates of a rule from its start on, before they are moved to days with open hours."""
    if rule.every == "working_day":
        working = (day for day in _days(start, 1) if calendar.rule(day).hours)
        yield from (day for number, day in enumerate(working) if number % rule.interval == 0)
    elif rule.every == "day":
        yield from _days(start, rule.interval)
    elif rule.every == "week":
        weekdays = rule.weekdays or (start.isoweekday(),)
        for monday in _days(start - (start.isoweekday() - 1) * _DAY, 7 * rule.interval):
            yield from (day for weekday in weekdays if (day := monday + (weekday - 1) * _DAY) >= start)
    else:
        for month in count(12 * start.year + start.month - 1, _MONTHS[rule.every] * rule.interval):
            day = _in_month(*divmod(month, 12), rule, start.day)
            if day >= start:
                yield day


def _days(start: date, step: int) -> Iterator[date]:
    return (start + number * step * _DAY for number in count())


def _in_month(year: int, month: int, rule: Recurrence, number: int) -> date:
    weekday, length = monthrange(year, month + 1)
    if rule.nth is not None:
        number = 1 + (rule.weekdays[0] - 1 - weekday) % 7
        number += 7 * ((length - number) // 7 if rule.nth < 0 else rule.nth - 1)
    return date(year, month + 1, min(number, length))


def _moved(day: date, rule: Recurrence, calendar: WorkingCalendar) -> date:
    """Return a date, or the next or previous with open hours; the date itself if there is none near it."""
    if rule.closed == "keep":
        return day
    step = _DAY if rule.closed == "next" else -_DAY
    near = (day + number * step for number in range(_FARTHEST))
    return next((each for each in near if calendar.rule(each).hours), day)
