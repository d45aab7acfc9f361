"""Calendars as they are stored: read by everybody who counts in working time, changed by admins."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from datetime import date
from typing import NamedTuple
from weakref import WeakKeyDictionary
from zoneinfo import ZoneInfo

import asyncpg
import msgspec

from zhike import clock, wire
from zhike.access import audit
from zhike.access.actor import Actor
from zhike.calendar.chinese import public_year
from zhike.calendar.hours import parse_hours
from zhike.calendar.schemas import CalendarEntry, CalendarRequest, ImportedDay, Weekly
from zhike.calendar.working import SpecialDay, WorkingCalendar
from zhike.errors import BadRequest, NotFound
from zhike.i18n import text
from zhike.orm import Connection, Database
from zhike.platform import Platform

DEFAULT = "default"
"""The calendar that counts where nothing else is said; it is there from the first migration on."""
CACHE_SECONDS = 5.0
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_READ = """
SELECT
  c.name, coalesce(c.zone, $1) AS zone, c.country, c.weekly, c.updated_at,
  (
    SELECT coalesce(jsonb_agg(to_jsonb(d) - 'calendar' ORDER BY d.date), '[]')
    FROM calendar_day AS d WHERE d.calendar = c.name
  ) AS days
FROM calendar AS c WHERE $2::text IS NULL OR c.name = $2 ORDER BY c.name
"""
_STORE = """
INSERT INTO calendar_day (calendar, date, kind, name, hours)
SELECT $1, date, kind, name, hours::jsonb
FROM unnest($2::date[], $3::text[], $4::text[], $5::text[]) AS n (date, kind, name, hours)
ORDER BY date
ON CONFLICT (calendar, date) DO UPDATE SET kind = excluded.kind, name = excluded.name, hours = excluded.hours
"""


class _Known(NamedTuple):
    until: float
    row: asyncpg.Record
    calendar: WorkingCalendar


_known: WeakKeyDictionary[Database, dict[str, _Known]] = WeakKeyDictionary()


async def calendar(platform: Platform, name: str = DEFAULT) -> WorkingCalendar:
    """Return a calendar as it was stored at most five seconds ago.

    Args:
        platform: Its database, and its settings for the zone of a calendar that names none.
        name: The calendar's name.

    Raises:
        NotFound: If there is no such calendar.
    """
    cached = _known.setdefault(platform.db, {})
    known = cached.get(name)
    if known is None or known.until < time.monotonic():
        # The time is taken before the query: no answer may live longer than five seconds after it was true.
        until = time.monotonic() + CACHE_SECONDS
        row = (await _rows(platform, name))[0]
        if known is None or known.row != row:  # else the sums over its days are kept
            await asyncio.to_thread(public_year, clock.now().year)  # the first time loads a large library
            known = _Known(until, row, _calendar(row))
        known = cached[name] = known._replace(until=until)
    return known.calendar


async def entries(platform: Platform, name: str | None = None) -> list[CalendarEntry]:
    """Return all calendars by name, or the one of that name.

    Raises:
        NotFound: If there is no such calendar.
    """
    return [_entry(row) for row in await _rows(platform, name)]


async def put(db: Database, actor: Actor, name: str, request: CalendarRequest) -> None:
    """Make a calendar, or change its week, zone and country; its dates stay.

    Raises:
        BadRequest: If the name, the zone or the hours are not usable, or there are no hours.
    """
    if not _NAME.fullmatch(name):
        raise BadRequest(
            text("The name {name!r} is not usable; expected small letters, digits, _ and -, at most 63", name=name)
        )
    if (zone := clock.zone("UTC" if request.zone is None else request.zone)) is None:
        raise BadRequest(text("The zone is {zone!r}; expected an IANA zone such as Asia/Shanghai", zone=request.zone))
    WorkingCalendar(zone, [parse_hours(*day) for day in _weekdays(request.weekly)])  # refuses what it cannot work with
    async with db.transaction() as connection:
        await connection.execute(
            "INSERT INTO calendar (name, zone, country, weekly) VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO UPDATE"
            " SET zone = $2, country = $3, weekly = $4, updated_at = now()",
            name,
            request.zone,
            request.country,
            msgspec.json.encode(request.weekly).decode(),
        )
        await audit.record(connection, actor, "calendar.put", f"calendar:{name}", msgspec.to_builtins(request))
    _known.pop(db, None)


async def import_days(db: Database, actor: Actor, name: str, days: Sequence[ImportedDay]) -> None:
    """Set what a calendar says about dates; what it says about others stays.

    Args:
        db: Where.
        actor: Who sets it.
        name: The calendar.
        days: Each date once.

    Raises:
        NotFound: If there is no such calendar.
        BadRequest: If a date comes twice or is out of range, or hours are not usable.
    """
    dates = [day.date for day in days]
    WorkingCalendar.check_years(*(day.year for day in dates))
    for index, day in enumerate(days):
        if "\0" in day.name:
            raise wire.refuse(wire.Fault(f"[{index}].name", text("the character NUL (\\u0000) cannot be stored")))
        if day.hours is not None and (day.kind == "holiday" or not day.hours):
            raise BadRequest(text("[{index}]: a working day has hours or null, a holiday has none", index=index))
        parse_hours(day.hours or (), f"[{index}].hours")
    if len(set(dates)) < len(dates):
        raise BadRequest(text("A date is given twice"))
    hours = [None if day.hours is None else msgspec.json.encode(day.hours).decode() for day in days]
    async with db.transaction() as connection:
        await _lock(connection, name)
        await connection.execute(_STORE, name, dates, [day.kind for day in days], [day.name for day in days], hours)
        details = {"days": msgspec.to_builtins(days)}
        await audit.record(connection, actor, "calendar.import_days", f"calendar:{name}", details)
    _known.pop(db, None)


async def delete_day(db: Database, actor: Actor, name: str, day: date) -> None:
    """Let the week and the public holidays hold on a date again.

    Raises:
        NotFound: If there is no such calendar, or it says nothing about the date.
    """
    async with db.transaction() as connection:
        await _lock(connection, name)
        query = "DELETE FROM calendar_day WHERE calendar = $1 AND date = $2 RETURNING date"
        if await connection.fetchval(query, name, day) is None:
            raise NotFound(text("The calendar {name} says nothing of its own about {date}", name=name, date=day))
        await audit.record(connection, actor, "calendar.delete_day", f"calendar:{name}", {"date": day})
    _known.pop(db, None)


async def _rows(platform: Platform, name: str | None) -> list[asyncpg.Record]:
    rows = await platform.db.fetch(_READ, platform.settings.timezone, name)
    if name is not None and not rows:
        raise _unknown(name)
    return rows


async def _lock(connection: Connection, name: str) -> None:
    if await connection.fetchval("SELECT name FROM calendar WHERE name = $1 FOR NO KEY UPDATE", name) is None:
        raise _unknown(name)


def _unknown(name: str) -> NotFound:
    return NotFound(text("There is no calendar {name}", name=name))


def _entry(row: asyncpg.Record) -> CalendarEntry:
    year = clock.now().astimezone(ZoneInfo(row["zone"])).year
    return CalendarEntry(
        name=row["name"],
        zone=row["zone"],
        country=row["country"],
        weekly=msgspec.json.decode(row["weekly"], type=Weekly),
        provisional_years=_calendar(row).provisional_years(year, year + 2),
        updated_at=row["updated_at"],
    )


def _calendar(row: asyncpg.Record) -> WorkingCalendar:
    weekly = msgspec.json.decode(row["weekly"], type=Weekly)
    days = {
        day.date: SpecialDay(day.kind, day.name, None if day.hours is None else parse_hours(day.hours, "hours"))
        for day in msgspec.json.decode(row["days"], type=list[ImportedDay])
    }
    hours = [parse_hours(*day) for day in _weekdays(weekly)]
    return WorkingCalendar(ZoneInfo(row["zone"]), hours, country=row["country"], days=days)


def _weekdays(weekly: Weekly) -> list[tuple[list[str], str]]:
    """Return the hours of the seven weekdays and where in the request they stand."""
    return [(getattr(weekly, day), f"weekly.{day}") for day in Weekly.__struct_fields__]
