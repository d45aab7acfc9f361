"""ISO 8601 durations such as P90D, P1Y6M or PT12H, and the instant that lies one before another."""

from __future__ import annotations

import calendar
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from zhike.conditions.problems import BadCondition
from zhike.i18n import text

_PATTERN = re.compile(
    r"P(?=[0-9T])(?:([0-9]{1,12})Y)?(?:([0-9]{1,12})M)?(?:([0-9]{1,12})W)?(?:([0-9]{1,12})D)?"
    r"(?:T(?=[0-9])(?:([0-9]{1,12})H)?(?:([0-9]{1,12})M)?(?:([0-9]{1,12})S)?)?"
)
_MAX_YEARS = 500
_MAX_DAYS = 366
_DAY = 86_400
_YEAR = 31_556_952  # seconds of a mean Gregorian year: 365.2425 days


class Duration(msgspec.Struct, frozen=True):
    """A length of time: calendar months, whose length depends on the date, and a fixed part.

    Args:
        months: Calendar months, years being twelve of them.
        seconds: Seconds; a day is 24 hours of them, a week seven days.
    """

    months: int
    seconds: int

    def before(self, instant: datetime, zone: ZoneInfo) -> datetime:
        """Return the instant this long before `instant`.

        Months are steps of the calendar in `zone` that keep the time of day, a day the shorter
        month lacks being its last one; then the fixed part is taken off.

        Args:
            instant: An aware instant.
            zone: The deployment's zone.
        """
        if self.months:
            wall = instant.astimezone(zone).replace(tzinfo=None)
            year, month = divmod(wall.year * 12 + wall.month - 1 - self.months, 12)
            day = min(wall.day, calendar.monthrange(year, month + 1)[1])
            instant = at_wall(wall.replace(year=year, month=month + 1, day=day), zone)
        return instant - timedelta(seconds=self.seconds)


def parse(value: Any, path: str) -> Duration:
    """Return the duration that `value` writes.

    Args:
        value: ISO 8601 text with whole numbers.
        path: The node's place, for the error.

    Raises:
        BadCondition: If it is no duration, zero, or longer than 500 years.
    """
    if not isinstance(value, str):
        raise BadCondition(text("{path} must be a text", path=path))
    found = _PATTERN.fullmatch(value)
    if not found:
        raise BadCondition(
            text("{path} is {value!r}; expected an ISO 8601 duration such as P90D", path=path, value=value)
        )
    years, months, weeks, days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    duration = Duration(
        months=years * 12 + months,
        seconds=(weeks * 7 + days) * _DAY + hours * 3_600 + minutes * 60 + seconds,
    )
    if duration == Duration(0, 0):
        raise BadCondition(text("{path} is zero; expected a duration such as P90D", path=path))
    if duration.months * _YEAR + duration.seconds * 12 > _MAX_YEARS * 12 * _YEAR:
        raise BadCondition(text("{path} is longer than {limit} years", path=path, limit=_MAX_YEARS))
    return duration


def parse_days(value: Any, path: str) -> Duration:
    """Return the duration that `value` writes if it is whole days or weeks, as of an anniversary that comes near.

    Args:
        value: Such as `P7D`.
        path: The node's place, for the error.

    Raises:
        BadCondition: If it is none, zero, or longer than the longest year.
    """
    duration = parse(value, path)
    if duration.months or duration.seconds % _DAY or duration.seconds > _MAX_DAYS * _DAY:
        raise BadCondition(
            text(
                "{path} is {value!r}; expected 1 to {limit} whole days such as P7D",
                path=path,
                value=value,
                limit=_MAX_DAYS,
            )
        )
    return duration


def anniversaries(today: date, length: Duration | None) -> list[int]:
    """Return month and day, as month x 100 + day, of the dates whose anniversary is near.

    29 February is also kept on 28 February, in years without it.

    Args:
        today: The first of the dates, in the deployment's zone.
        length: How many dates count, as `parse_days` returns it; today alone when None.
    """
    near = []
    for ahead in range(length.seconds // _DAY if length else 1):
        day = today + timedelta(days=ahead)
        near.append(day.month * 100 + day.day)
        if near[-1] == 228 and not calendar.isleap(day.year):
            near.append(229)
    return near


def at_wall(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant in UTC at which clocks in `zone` show `wall`.

    A time that clocks show twice or skip is read as the later instant, as PostgreSQL does.

    Args:
        wall: A naive date and time.
        zone: Where the clock hangs.
    """
    return max(wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
