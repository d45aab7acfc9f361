"""Dates on which a calendar differs from its week: set one by one or from a list, and taken back."""

from __future__ import annotations

from contextlib import suppress
from datetime import date
from typing import Annotated

import msgspec
from msgspec import Meta

from zhike.calendar import service
from zhike.calendar.hours import parse_hours
from zhike.calendar.schemas import MAX_DAYS, ImportedDay
from zhike.errors import BadRequest, NotFound
from zhike.i18n import Text, text
from zhike.pages.model.calendars import split
from zhike.ui import Html, PageCall, Redirect

_WORDS = {
    "holiday": "holiday",
    "off": "holiday",
    "休": "holiday",
    "休息": "holiday",
    "放假": "holiday",
} | dict.fromkeys(("working", "work", "班", "上班", "调休"), "working")


class DayQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The address of the dialog that sets one date.

    Args:
        date: The date.
    """

    date: Annotated[str, Meta(max_length=10)] = ""


async def ask(call: PageCall, query: DayQuery) -> Html:
    """Ask what is to hold on a date."""
    name = call.path["name"]
    calendar = await service.calendar(call.host.platform, name)
    values = {"date": query.date, "kind": "holiday", "name": "", "hours": ""}
    stored = False
    if (day := _date(query.date)) is not None:
        why, said, hours = calendar.rule(day, call.locale)
        stored = why == "override"
        # The other way round than it is now is what one means.
        values |= {"name": said if stored else "", "kind": "working" if bool(hours) == stored else "holiday"}
    return await _dialog(call, values, {}, stored=stored)


async def set_day(call: PageCall) -> Html | Redirect:
    """Set what holds on a date."""
    values = {name: call.field(name).strip() for name in ("date", "kind", "name", "hours")}
    errors: dict[str, Text] = {}
    day, hours = _date(values["date"]), split(values["hours"])
    if day is None:
        errors["date"] = text("A date is expected, such as 2026-01-31")
    if values["kind"] not in {"holiday", "working"}:
        errors["kind"] = text("One of the choices is expected")
    if values["kind"] == "holiday" and hours:
        errors["hours"] = text("A holiday has no hours")
    if not _fit(hours):
        errors["hours"] = text("Expected hours such as 09:00-12:00, 13:00-18:00")
    if day is None or errors:
        return await _dialog(call, values, errors, status=422)
    return await _store(call, [{"date": day, "kind": values["kind"], "name": values["name"], "hours": hours or None}])


async def ask_list(call: PageCall) -> Html:
    """Ask for many dates at once."""
    return await call.render("model/days.html", name=call.path["name"], typed="", errors=[])


async def set_list(call: PageCall) -> Html | Redirect:
    """Set the dates of a list, such as a year's notice; all or none."""
    typed = call.field("days")
    days, errors = [], []
    for number, line in enumerate(typed.splitlines(), start=1):
        words = line.replace(",", " ").replace("\t", " ").replace("，", " ").split()
        if not words:
            continue
        day = _date(words[0])
        kind = _WORDS.get(words[1].lower()) if len(words) > 1 else None
        hours = [word for word in words[2:] if word[:1].isdigit() and "-" in word]
        if day is None:
            errors.append(text("Line {n}: a date is expected first, such as 2026-10-01", n=number))
        elif kind is None:
            errors.append(text("Line {n}: after the date, holiday or working is expected", n=number))
        elif not _fit(hours) or (hours and kind == "holiday"):
            errors.append(text("Line {n}: the hours do not fit", n=number))
        else:
            name = " ".join(word for word in words[2:] if word not in hours)[:200]
            days.append({"date": day, "kind": kind, "name": name, "hours": hours or None})
    if not errors and not days:
        errors.append(text("There is no date in it"))
    if len(days) > MAX_DAYS:
        errors.append(text("At most {n} dates at once", n=MAX_DAYS))
    if not errors:
        try:
            return await _store(call, days)
        except BadRequest as error:
            errors.append(error.message)
    return await call.render("model/days.html", status=422, name=call.path["name"], typed=typed, errors=errors)


async def remove(call: PageCall) -> Redirect:
    """Let the week and the public holidays hold on a date again."""
    name, day = call.path["name"], _date(call.field("date"))
    if day is None:
        raise BadRequest(text("A date is expected, such as 2026-01-31"))
    with suppress(NotFound):  # a second press does no harm
        await service.delete_day(call.db, call.actor, name, day)
    return call.redirect(_back(name, day), toast=text("The ordinary week and the public holidays hold again"))


async def _store(call: PageCall, days: list[dict[str, object]]) -> Redirect:
    name = call.path["name"]
    try:
        converted = msgspec.convert(days, list[ImportedDay])
    except msgspec.ValidationError:
        raise BadRequest(text("The form is not readable; open it again")) from None
    await service.import_days(call.db, call.actor, name, converted)
    return call.redirect(_back(name, converted[0].date), toast=text("{n} {n:date is|dates are} set", n=len(converted)))


async def _dialog(
    call: PageCall, values: dict[str, str], errors: dict[str, Text], *, stored: bool = False, status: int = 200
) -> Html:
    return await call.render(
        "model/day.html", status=status, name=call.path["name"], values=values, errors=errors, stored=stored
    )


def _fit(hours: list[str]) -> bool:
    try:
        parse_hours(hours, "hours")
    except BadRequest:
        return False
    return len(hours) <= 24


def _date(written: str) -> date | None:
    try:
        return date.fromisoformat(written.replace("/", "-"))
    except ValueError:
        return None


def _back(name: str, day: date) -> str:
    return f"/settings/calendar?name={name}&year={day.year}"
