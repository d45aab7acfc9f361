"""The calendar of tasks: a month or a week of due times in the reader's zone, with holidays and make-up days."""

from __future__ import annotations

from calendar import Calendar
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Literal

import msgspec

from zhike import clock
from zhike.calendar.service import calendar
from zhike.calendar.working import FIRST_YEAR, LAST_YEAR
from zhike.errors import BadRequest
from zhike.i18n import Text, text
from zhike.pages.tasks.narrowing import Narrowing, around, filters
from zhike.pages.tasks.words import Shown, shown
from zhike.tasks import lists
from zhike.ui import Html, PageCall
from zhike.ui.rendering import url
from zhike.ui.tables import Table

if TYPE_CHECKING:
    from zhike.calendar.working import WorkingCalendar

_DAY = timedelta(days=1)
_MOST = 500
_FEW = 4


class CalendarQuery(Narrowing, frozen=True, kw_only=True):
    """The calendar's address.

    Args:
        span: A month or a week.
        on: A date in it; today when absent.
    """

    span: Literal["month", "week"] = "month"
    on: date | None = None


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """A day of the calendar.

    Args:
        date: Its date.
        beside: Whether it belongs to another month.
        today: Whether it is today.
        closed: Whether nobody works.
        mark: What is special about it: the name of a holiday, that it is worked to make up for one, or what the
            working calendar calls it; None for nothing.
        tasks: What is due.
        more: How many more there are.
    """

    date: date
    beside: bool
    today: bool
    closed: bool
    mark: Text | str | None
    tasks: list[Shown]
    more: int


async def show(call: PageCall, query: CalendarQuery) -> Html:
    """Show what is due when."""
    today = clock.now().astimezone(call.zone).date()
    on = query.on or today
    if not FIRST_YEAR < on.year < LAST_YEAR:
        raise BadRequest(
            text("The calendar knows the years {first} to {last}", first=FIRST_YEAR + 1, last=LAST_YEAR - 1)
        )
    dates = _dates(query.span, on)
    start, end = (datetime.combine(each, time(), call.zone) for each in (dates[0], dates[-1] + _DAY))
    wanted = query.wanted(due_after=start, due_before=end, sort="due_at", limit=_MOST)
    page = await lists.list_(call.db, call.actor, wanted, zone=call.zone, key=call.host.cursor_key)
    tasks = await shown(call, [task for task in page.items if task.status != "cancelled"])
    hours = await calendar(call.host.platform)
    days = [_day(call, query, each, today, on, tasks, hours) for each in dates]
    before, after = (dates[0] - _DAY, dates[-1] + _DAY) if query.span == "week" else _months(on)
    narrowed = query.parameters
    tools = Table(
        id="calendar",
        path="/tasks/calendar",
        columns=(),
        rows=(),
        query=narrowed,
        filters=await filters(call, query),
    )
    steps = {
        name: url("/tasks/calendar", **{**narrowed, "on": at})
        for name, at in (("before", before), ("today", None), ("after", after))
    }
    spans = [
        {"label": label, "path": url("/tasks/calendar", **{**narrowed, "span": key}), "active": query.span == key}
        for key, label in (("month", text("Month")), ("week", text("Week")))
    ]
    return await call.render(
        "tasks/calendar.html",
        fragment="calendar",
        days=days,
        heading=_heading(query.span, on, dates, call.locale),
        steps=steps,
        spans=spans,
        tools=tools,
        cut=page.next is not None,
        week=query.span == "week",
        **await around(call, query, "/tasks/calendar"),
    )


def _day(
    call: PageCall,
    query: CalendarQuery,
    day: date,
    today: date,
    on: date,
    tasks: list[Shown],
    hours: WorkingCalendar,
) -> Day:
    rule = hours.rule(day, call.locale)
    marks: dict[str, Text | str | None] = {"make_up": text("Working day"), "weekly": None}
    due = [each for each in tasks if each.task.due_at and each.task.due_at.astimezone(call.zone).date() == day]
    due.sort(key=lambda each: each.task.status == "done")
    most = _MOST if query.span == "week" else _FEW
    return Day(
        date=day,
        beside=query.span == "month" and day.month != on.month,
        today=day == today,
        closed=not rule.hours,
        mark=marks.get(rule.why, rule.name or None),
        tasks=due[:most],
        more=max(len(due) - most, 0),
    )


def _dates(span: str, on: date) -> list[date]:
    """Return the dates that are shown, in whole weeks from Monday."""
    if span == "week":
        monday = on - timedelta(days=on.weekday())
        return [monday + number * _DAY for number in range(7)]
    return list(Calendar().itermonthdates(on.year, on.month))


def _months(on: date) -> tuple[date, date]:
    first = on.replace(day=1)
    return (first - _DAY).replace(day=1), (first + 31 * _DAY).replace(day=1)


def _heading(span: str, on: date, dates: list[date], locale: str) -> Text | str:
    from babel.dates import format_skeleton

    if span == "month":
        return format_skeleton("yMMMM", on, locale=locale)
    return text("{first} to {last}", first=f"{dates[0]:%m-%d}", last=f"{dates[-1]:%m-%d}")
