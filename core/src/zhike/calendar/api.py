"""Routes that show calendars, change them, and calculate with them."""

from __future__ import annotations

from datetime import date, timedelta
from functools import partial

import msgspec

from zhike import clock, wire
from zhike.access.roles import CALENDARS_MANAGE, CALENDARS_READ
from zhike.api import Call, Page, Route
from zhike.calendar import service
from zhike.calendar.hours import show_hours
from zhike.calendar.schemas import (
    MAX_DAYS,
    Calculated,
    CalculateRequest,
    CalendarDate,
    CalendarEntry,
    CalendarRequest,
    DaysChanged,
    DaysQuery,
    ImportedDays,
)
from zhike.errors import BadRequest, NotFound
from zhike.i18n import text


async def list_calendars(call: Call) -> Page[CalendarEntry]:
    """List the calendars, by name."""
    return Page(await service.entries(call.host.platform), None)


async def read_calendar(call: Call) -> CalendarEntry:
    """Show one calendar."""
    return (await service.entries(call.host.platform, call.path["name"]))[0]


async def put_calendar(call: Call) -> CalendarEntry:
    """Make a calendar, or change its week, zone and country; its dates stay."""
    request = wire.decode(call.body, call.body_type, CalendarRequest)
    await service.put(call.db, call.actor, call.path["name"], request)
    return await read_calendar(call)


async def import_days(call: Call) -> DaysChanged:
    """Set holidays and working days by date, such as those of a year's notice; other dates stay as they are."""
    days = wire.decode(call.body, call.body_type, ImportedDays)
    await service.import_days(call.db, call.actor, call.path["name"], days)
    return DaysChanged(len(days))


async def delete_day(call: Call) -> DaysChanged:
    """Let the week and the public holidays hold on a date again."""
    try:
        day = msgspec.convert(call.path["date"], date)
    except msgspec.ValidationError:
        raise NotFound(text("{value!r} is no date; expected one such as 2026-10-10", value=call.path["date"])) from None
    await service.delete_day(call.db, call.actor, call.path["name"], day)
    return DaysChanged(1)


async def list_days(call: Call, query: DaysQuery) -> Page[CalendarDate]:
    """List dates: which are open, when, and why."""
    calendar = await service.calendar(call.host.platform, call.path["name"])
    first = query.from_ or clock.now().astimezone(calendar.zone).date()
    calendar.check_years(first.year)
    last = query.to or first + timedelta(days=30)
    count = (last - first).days + 1
    if not 1 <= count <= MAX_DAYS:
        raise BadRequest(text("to: expected no date before from, and no more than {most} dates", most=MAX_DAYS))
    provisional = calendar.provisional_years(first.year, last.year)
    dates = []
    for day in (first + timedelta(days=number) for number in range(count)):
        why, name, hours = calendar.rule(day, call.locale)
        dates.append(CalendarDate(day, bool(hours), show_hours(hours), why, name, day.year in provisional))
    return Page(dates, None)


async def calculate(call: Call) -> Calculated:
    """Tell when an amount of working time will have passed, or how much passes between two instants."""
    given = wire.decode(call.body, call.body_type, CalculateRequest)
    calendar = await service.calendar(call.host.platform, call.path["name"])
    if given.to is None and given.duration is not None:
        passed, to = given.duration, calendar.add_working_time(given.from_, given.duration)
    elif given.to is not None and given.duration is None:
        passed, to = calendar.working_time_between(given.from_, given.to), given.to
    else:
        raise BadRequest(text("Expected one of duration and to"))
    years = sorted(at.astimezone(calendar.zone).year for at in (given.from_, to))
    return Calculated(given.from_, to, passed.total_seconds(), calendar.provisional_years(*years))


_ALL, _ONE, _DAYS = "/calendars", "/calendars/{name}", "/calendars/{name}/days"
_PLACES = {"name": "The calendar's name"}
_read = partial(Route, method="GET", permission=CALENDARS_READ, places=_PLACES)
_change = partial(Route, permission=CALENDARS_MANAGE, places=_PLACES, answer=DaysChanged)

ROUTES = (
    _read(path=_ALL, handler=list_calendars, summary="Calendars", answer=Page[CalendarEntry], places={}),
    _read(path=_ONE, handler=read_calendar, summary="One calendar", answer=CalendarEntry),
    _change(
        method="PUT",
        path=_ONE,
        handler=put_calendar,
        summary="Make or change a calendar",
        body=CalendarRequest,
        answer=CalendarEntry,
    ),
    _read(path=_DAYS, handler=list_days, summary="A calendar's dates", query=DaysQuery, answer=Page[CalendarDate]),
    _change(method="POST", path=_DAYS, handler=import_days, summary="Set holidays and working days", body=ImportedDays),
    _change(
        method="DELETE",
        path=_DAYS + "/{date}",
        handler=delete_day,
        summary="Undo what was set for a date",
        places={**_PLACES, "date": "The date"},
    ),
    _read(
        method="POST",
        path=_ONE + "/calculate",
        handler=calculate,
        summary="Calculate in working time",
        body=CalculateRequest,
        answer=Calculated,
    ),
)
