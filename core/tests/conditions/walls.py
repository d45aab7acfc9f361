"""Instants as whole microseconds since 1970, and what clocks show then: no library steps through a calendar here."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

SECOND = 10**6
DAY = 86_400 * SECOND
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DURATION = re.compile(
    r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", re.ASCII
)
_INSTANT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?(?:(Z)|([+-])(\d\d):(\d\d))?)?", re.ASCII
)


def micros(instant: datetime) -> int:
    """Return microseconds since 1970."""
    return (instant - EPOCH) // timedelta(microseconds=1)


class Clock:
    """What clocks in a zone show; of the zone itself only the offset at an instant is asked for."""

    def __init__(self, key: str) -> None:
        self._zone = ZoneInfo(key)

    def wall(self, instant: int) -> int:
        """Return what clocks show at an instant, as if it were UTC."""
        return instant + self._offset(instant)

    def instant(self, wall: int) -> int:
        """Return when clocks show `wall`: the later time of two, and shifted onwards where they skip it."""
        guesses = {wall - self._offset(wall - DAY), wall - self._offset(wall + DAY)}
        shown = [guess for guess in guesses if self.wall(guess) == wall]
        return max(shown or guesses)

    def day(self, instant: int) -> int:
        """Return the local date as days since 1970."""
        return self.wall(instant) // DAY

    def before(self, instant: int, duration: str) -> int:
        """Return the instant one duration before: months by the calendar, the rest by the stopwatch."""
        found = _DURATION.fullmatch(duration)
        assert found
        years, months, weeks, days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        if months := years * 12 + months:
            day, time = divmod(self.wall(instant), DAY)
            start = date.fromordinal(ordinal(day))
            month = start.year * 12 + start.month - 1 - months
            length = (_first(month + 1) - _first(month)).days
            instant = self.instant(_days(_first(month)) * DAY + (min(start.day, length) - 1) * DAY + time)
        return instant - (weeks * 7 + days) * DAY - (hours * 3600 + minutes * 60 + seconds) * SECOND

    def read(self, text: str) -> int | None:
        """Return the instant that a text names, or None; a date is its first moment."""
        found = _INSTANT.fullmatch(text)
        if not found:
            return None
        year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
        fraction, utc, sign, hours, minutes = found.groups()[6:]
        if hour > 23 or minute > 59 or second > 59 or int(hours or 0) > 14 or int(minutes or 0) > 59:
            return None
        try:
            days = _days(date(year, month, day))
        except ValueError:
            return None
        wall = days * DAY + (hour * 3600 + minute * 60 + second) * SECOND + int((fraction or "0").ljust(6, "0"))
        if utc or sign:
            return wall - (-1 if sign == "-" else 1) * (int(hours or 0) * 60 + int(minutes or 0)) * 60 * SECOND
        return self.instant(wall)

    def _offset(self, instant: int) -> int:
        within = min(max(instant, _LOWEST), _HIGHEST)
        return (EPOCH + timedelta(microseconds=within)).astimezone(self._zone).utcoffset() // timedelta(microseconds=1)


_LOWEST, _HIGHEST = micros(datetime(1, 1, 3, tzinfo=UTC)), micros(datetime(9999, 12, 29, tzinfo=UTC))


def _first(month: int) -> date:
    return date(month // 12, month % 12 + 1, 1)


def _days(day: date) -> int:
    return day.toordinal() - EPOCH.toordinal()


def ordinal(days: int) -> int:
    """Return the ordinal of a day, or of one at the same place of the calendar's cycle of 400 years."""
    ordinal = days + EPOCH.toordinal()
    while ordinal < 1:
        ordinal += 146_097
    while ordinal > date.max.toordinal():
        ordinal -= 146_097
    return ordinal
