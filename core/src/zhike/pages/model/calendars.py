"""Working calendars: the week's hours, a year's holidays and make-up days, and what is different on single dates."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from zhike import clock
from zhike.access.roles import CALENDARS_MANAGE
from zhike.calendar import service
from zhike.calendar.hours import parse_hours, show_hours
from zhike.calendar.schemas import CalendarEntry, CalendarRequest, Weekly
from zhike.calendar.working import FIRST_YEAR, LAST_YEAR, WorkingCalendar
from zhike.errors import BadRequest, NotFound
from zhike.i18n import Text, text
from zhike.ui import Html, PageCall, Redirect

WEEKDAYS = {
    "monday": text("Monday"),
    "tuesday": text("Tuesday"),
    "wednesday": text("Wednesday"),
    "thursday": text("Thursday"),
    "friday": text("Friday"),
    "saturday": text("Saturday"),
    "sunday": text("Sunday"),
}
_YEAR = Annotated[int, Meta(ge=FIRST_YEAR, le=LAST_YEAR)]


class CalendarQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The address of the page.

    Args:
        name: The calendar.
        year: Which year is shown; the present one when absent.
    """

    name: Annotated[str, Meta(max_length=63)] = service.DEFAULT
    year: _YEAR | None = None


async def show(call: PageCall, query: CalendarQuery) -> Html:
    """Show a calendar."""
    return await page(call, query.name, query.year)


async def change(call: PageCall) -> Html | Redirect:
    """Change the week, the zone and the country of a calendar."""
    name = call.path["name"]
    entry = (await service.entries(call.host.platform, name))[0]
    typed = {day: call.field(day) for day in WEEKDAYS} | {"zone": call.field("zone"), "country": call.field("country")}
    if call.field("version") != entry.updated_at.isoformat():
        problem = text("Somebody has changed this calendar meanwhile; it stands below the form. Saving replaces it")
        return await page(call, name, None, typed=typed, problem=problem, status=409)
    errors: dict[str, Text] = {}
    weekly = {day: split(typed[day]) for day in WEEKDAYS}
    for day, hours in weekly.items():
        try:
            parse_hours(hours, day)
        except BadRequest:
            errors[day] = text("Expected hours such as 09:00-12:00, 13:00-18:00")
    if typed["zone"] and clock.zone(typed["zone"]) is None:
        errors["zone"] = text("Expected an IANA zone such as Asia/Shanghai")
    if errors:
        return await page(call, name, None, typed=typed, errors=errors, status=422)
    try:
        body = {"weekly": weekly, "zone": typed["zone"] or None, "country": typed["country"] or None}
        await service.put(call.db, call.actor, name, msgspec.convert(body, CalendarRequest))
    except BadRequest as error:
        return await page(call, name, None, typed=typed, problem=error.message, status=422)
    except msgspec.ValidationError:
        raise BadRequest(text("The form is not readable; open it again")) from None
    return call.redirect(_address(name), toast=text("Saved; tasks and rules count by it from now on"))


async def ask_new(call: PageCall) -> Html:
    """Ask for the name of another calendar."""
    return await call.render("model/calendar_new.html", name="", problem=None)


async def make(call: PageCall) -> Html | Redirect:
    """Make another calendar, with the week of the default one."""
    name = call.field("name").strip()
    known = await service.entries(call.host.platform)
    problem = text("There is a calendar of this name") if name in {each.name for each in known} else None
    if problem is None:
        basis = next(each for each in known if each.name == service.DEFAULT)
        try:
            request = CalendarRequest(weekly=basis.weekly, zone=basis.zone, country=basis.country)
            await service.put(call.db, call.actor, name, request)
        except BadRequest as error:
            problem = error.message
    if problem is not None:
        return await call.render("model/calendar_new.html", status=422, name=name, problem=problem)
    return call.redirect(_address(name), toast=text("The calendar {name} is made", name=name))


async def page(
    call: PageCall,
    name: str,
    year: int | None,
    *,
    typed: dict[str, str] | None = None,
    errors: dict[str, Text] | None = None,
    problem: Text | None = None,
    status: int = 200,
) -> Html:
    """Draw a calendar, with its form as it was typed."""
    entries = await service.entries(call.host.platform)
    entry = next((each for each in entries if each.name == name), None)
    if entry is None:
        raise NotFound(text("There is no calendar {name}", name=name))
    calendar = await service.calendar(call.host.platform, name)
    today = clock.now().astimezone(calendar.zone).date()
    shown = year or today.year
    months, special = days_of(calendar, shown, today, call.locale)
    return await call.render(
        "model/calendar.html",
        fragment="calendar",
        status=status,
        entries=entries,
        entry=entry,
        weekdays=WEEKDAYS,
        typed=typed or _typed(entry),
        stored=_typed(entry),
        errors=errors or {},
        problem=problem,
        version=entry.updated_at.isoformat(),
        may_change=call.may(CALENDARS_MANAGE),
        year=shown,
        months=months,
        special=special,
        provisional=bool(calendar.provisional_years(shown, shown)),
        before=shown - 1 if shown > FIRST_YEAR else None,
        after=shown + 1 if shown < LAST_YEAR else None,
    )


def split(written: str) -> list[str]:
    """Return the intervals of a day as they were typed, apart by commas or spaces."""
    for other in ("，", "、", ";", "；", " "):
        written = written.replace(other, ",")
    return [each.strip().replace("–", "-").replace("：", ":") for each in written.split(",") if each.strip()]


def days_of(calendar: WorkingCalendar, year: int, today: date, locale: str) -> tuple[list[Any], list[dict[str, Any]]]:
    """Return a year's months as they are drawn, and its days that are not as the week has it.

    Args:
        calendar: The calendar.
        year: The year.
        today: Is marked.
        locale: Of the names of months and holidays.
    """
    from babel.dates import format_date

    firsts = [date(year, month, 1) for month in range(1, 13)]
    months: list[Any] = [{"first": day, "name": format_date(day, "LLLL", locale=locale), "days": []} for day in firsts]
    special = []
    day = date(year, 1, 1)
    while day.year == year:
        why, name, hours = calendar.rule(day, locale)
        each = {"date": day, "why": why, "name": name, "hours": show_hours(hours), "today": day == today}
        months[day.month - 1]["days"].append(each)
        if why != "weekly" and (name or hours or why == "override"):
            special.append(each)
        day += timedelta(days=1)
    return months, special


def _typed(entry: CalendarEntry) -> dict[str, str]:
    week = {day: ", ".join(getattr(entry.weekly, day)) for day in Weekly.__struct_fields__}
    return week | {"zone": entry.zone, "country": entry.country or ""}


def _address(name: str) -> str:
    return "/settings/calendar" if name == service.DEFAULT else f"/settings/calendar?name={name}"
