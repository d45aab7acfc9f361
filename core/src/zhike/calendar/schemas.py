"""What the API takes and shows of calendars."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from zhike.calendar.working import Why

MAX_DAYS = 1000
"""Most dates of one request."""

Instant = Annotated[datetime, Meta(tz=True)]
Name = Annotated[str, Meta(max_length=200)]
HoursList = Annotated[
    list[Annotated[str, Meta(max_length=20)]],
    Meta(
        max_length=24, description="Such as 09:00-12:00; 22:00-06:00 ends on the next day", examples=[["09:00-12:00"]]
    ),
]


class Weekly(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The hours of an ordinary week; a day without any is closed.

    Args:
        monday: Hours such as `["09:00-12:00", "13:00-18:00"]`; `22:00-06:00` ends on the next day.
        tuesday: As above.
        wednesday: As above.
        thursday: As above.
        friday: As above.
        saturday: As above.
        sunday: As above.
    """

    monday: HoursList = []
    tuesday: HoursList = []
    wednesday: HoursList = []
    thursday: HoursList = []
    friday: HoursList = []
    saturday: HoursList = []
    sunday: HoursList = []


class CalendarRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `PUT /calendars/{name}` takes.

    Args:
        weekly: The hours of an ordinary week.
        zone: IANA zone of the hours; the deployment's when null.
        country: Whose public holidays and make-up working days count; none when null.
    """

    weekly: Weekly
    zone: Annotated[str, Meta(max_length=100)] | None = None
    country: Literal["CN"] | None = None


class CalendarEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A calendar.

    Args:
        name: Its name; work counts by `default` where nothing else is said.
        zone: The zone of its hours.
        country: Whose public holidays and make-up working days count.
        weekly: The hours of an ordinary week.
        provisional_years: Of this year and the next two those whose make-up working days nobody has published or
            imported yet; they count with the statutory holidays alone.
        updated_at: When the week was last changed.
    """

    name: str
    zone: str
    country: Literal["CN"] | None
    weekly: Weekly
    provisional_years: list[int]
    updated_at: datetime


class ImportedDay(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A date on which a calendar differs from its week and from the public holidays.

    Args:
        date: The date.
        kind: `holiday`, or `working` for a make-up working day and for one with hours of its own.
        name: For people.
        hours: Of a working day; when null, those of the first weekday that has any.
    """

    date: date
    kind: Literal["holiday", "working"]
    name: Name = ""
    hours: HoursList | None = None


ImportedDays = Annotated[list[ImportedDay], Meta(min_length=1, max_length=MAX_DAYS)]


class DaysChanged(msgspec.Struct, frozen=True):
    """The answer to a change of dates.

    Args:
        days: How many were set or deleted.
    """

    days: int


class DaysQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The query parameters of `GET /calendars/{name}/days`.

    Args:
        from_: First date; today when absent.
        to: Last date, at most 1,000 dates later; 30 days after the first when absent.
    """

    from_: date | None = msgspec.field(default=None, name="from")
    to: date | None = None


class CalendarDate(msgspec.Struct, frozen=True):
    """What a calendar says about a date.

    Args:
        date: The date.
        open: Whether there are any hours.
        hours: Those that begin on it.
        why: `weekly`, `holiday` and `make_up` as the public ones, or `override` for what was imported.
        name: Of the holiday, or of the day as it was imported.
        provisional: Whether the make-up working days of its year are unknown.
    """

    date: date
    open: bool
    hours: list[str]
    why: Why
    name: str
    provisional: bool


class CalculateRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `POST /calendars/{name}/calculate` takes: `from`, and either `duration` or `to`.

    Args:
        from_: From when working time is counted.
        duration: How much is to pass, such as PT8H; a day (P1D) stands for 24 hours of work.
        to: Until when it is counted.
    """

    from_: Instant = msgspec.field(name="from")
    duration: timedelta | None = None
    to: Instant | None = None


class Calculated(msgspec.Struct, frozen=True):
    """How much working time lies between two instants.

    Args:
        from_: The first, as it was given.
        to: The second, as it was given, or when the duration will have passed.
        seconds: The working time; below zero if the second is the earlier one.
        provisional_years: The years from one to the other whose make-up working days are unknown.
    """

    from_: datetime = msgspec.field(name="from")
    to: datetime
    seconds: float
    provisional_years: list[int]
