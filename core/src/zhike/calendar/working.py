"""Working time: how much of it passes between two instants, and when a given amount will have passed.

An instant is open if the clocks of the calendar's zone show a time within the hours of that date. So an hour that
clocks skip is no working time, and one that comes twice counts twice. Between two changes of the clocks local time
runs evenly; there working time is a difference of two sums over days, which are kept by year.
"""

from __future__ import annotations

import functools
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate, pairwise
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from zhike.calendar.chinese import public_year
from zhike.calendar.hours import Hours, of_day
from zhike.errors import BadRequest
from zhike.i18n import text

FIRST_YEAR, LAST_YEAR = 1970, 2199
"""The years that calendars cover."""
_END = datetime(LAST_YEAR + 1, 1, 1)  # noqa: DTZ001  # UTC and local time are without a zone in here
_TICK = timedelta(microseconds=1)
_WEEK = timedelta(days=7)

Why = Literal["weekly", "holiday", "make_up", "override"]


class SpecialDay(NamedTuple):
    """What a calendar says about one date.

    Args:
        kind: `holiday`, or `working` on a day that would be closed or has other hours.
        name: For people.
        hours: Of a working day; None for those of the first weekday that has any.
    """

    kind: Literal["holiday", "working"]
    name: str
    hours: Hours | None = None


class Rule(NamedTuple):
    """What holds on a date.

    Args:
        why: By the week's hours, a public holiday, a make-up working day or the calendar's own word on the date.
        name: Name of the holiday, or what the calendar calls the day; may be empty.
        hours: When it is open; hours over midnight belong to the day on which they begin.
    """

    why: Why
    name: str
    hours: Hours


class _Year(NamedTuple):
    parts: list[Hours]
    before: list[int]


class WorkingCalendar:
    """When work is done.

    Args:
        zone: The zone of its hours.
        weekly: Hours of the seven weekdays, Monday first.
        country: Whose public holidays and make-up working days count: `CN`, or None for none.
        days: What it says about single dates, which goes before all else.

    Raises:
        BadRequest: If no weekday has hours.
    """

    def __init__(
        self,
        zone: ZoneInfo,
        weekly: Sequence[Hours],
        *,
        country: Literal["CN"] | None = None,
        days: Mapping[date, SpecialDay] | None = None,
    ) -> None:
        self.zone = zone
        self.country = country
        self._weekly = weekly
        self._days = days or {}
        self._years: dict[int, _Year] = {}
        if not any(weekly):
            raise BadRequest(text("A calendar needs open hours on one weekday at least"))
        self._usual = next(hours for hours in weekly if hours)
        self._exchanged = {day.year for day, special in self._days.items() if special.kind == "working"}

    def add_working_time(self, start: datetime, duration: timedelta) -> datetime:
        """Return the first instant by which `duration` of working time has passed since `start`, in UTC.

        Raises:
            BadRequest: If the duration is negative, or something lies outside of the years that calendars cover.
        """
        at, need = _utc(start), duration // _TICK
        if need < 0:
            raise BadRequest(text("Working time cannot be negative"))
        if need == 0:
            return at.replace(tzinfo=UTC)
        if duration <= _END - at:
            for begin, end, offset in self._stretches(at, _END):
                if need <= (passed := self._passed(begin, end)):
                    return (self._seek(begin, need) - offset).replace(tzinfo=UTC)
                need -= passed
        raise _outside()

    def working_time_between(self, start: datetime, end: datetime) -> timedelta:
        """Return how much working time passes from `start` to `end`; below zero if `end` is earlier.

        Raises:
            BadRequest: If one of them lies outside of the years that calendars cover.
        """
        first, last = _utc(start), _utc(end)
        if last < first:
            return -self.working_time_between(end, start)
        return sum(self._passed(begin, end) for begin, end, _ in self._stretches(first, last)) * _TICK

    def next_open(self, at: datetime) -> datetime:
        """Return the first instant from `at` on that is open, `at` itself if it is, in UTC.

        Raises:
            BadRequest: If there is none in the years that calendars cover.
        """
        return self.add_working_time(at, _TICK) - _TICK

    def is_open(self, at: datetime) -> bool:
        """Say whether it is open at an instant.

        Raises:
            BadRequest: If it lies outside of the years that calendars cover.
        """
        local = _utc(at) + _offset(self.zone, _utc(at))
        return self._passed(local, local + _TICK) > 0

    def rule(self, day: date, locale: str = "zh_CN") -> Rule:
        """Return what holds on a date, with names in the reader's language."""
        if (special := self._days.get(day)) is not None:
            hours = () if special.kind == "holiday" else special.hours or self._usual
            return Rule("override", special.name, hours)
        if self.country:
            public = public_year(day.year, locale)
            if (name := public.holidays.get(day)) is not None:
                return Rule("holiday", name, ())
            if day in public.working:
                return Rule("make_up", "", self._usual)
        return Rule("weekly", "", self._weekly[day.weekday()])

    def provisional_years(self, first: int, last: int) -> list[int]:
        """Return the years from `first` to `last` whose make-up working days are neither published nor imported."""
        years = range(first, last + 1) if self.country else ()
        return [year for year in years if not public_year(year).working and year not in self._exchanged]

    @staticmethod
    def check_years(*years: int) -> None:
        """Raise `BadRequest` unless calendars cover all these years."""
        if not all(FIRST_YEAR <= year <= LAST_YEAR for year in years):
            raise _outside()

    def _stretches(self, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime, timedelta]]:
        """Yield the stretches of time with one offset, at most a year each: from and to when in local time, and it."""
        for year in range(start.year, end.year + 1):
            for change in (*_changes(self.zone, year), datetime(year + 1, 1, 1)):  # noqa: DTZ001  # as above
                if start < (stop := min(change, end)):
                    offset = _offset(self.zone, start)
                    yield start + offset, stop + offset, offset
                    start = stop

    def _passed(self, start: datetime, end: datetime) -> int:
        """Return the working time between two local times."""
        years = sum(self._year(year).before[-1] for year in range(start.year, end.year))
        return years + self._in_year(end) - self._in_year(start)

    def _in_year(self, local: datetime) -> int:
        """Return the working time from the start of the year."""
        year, number = self._year(local.year), local.timetuple().tm_yday - 1
        clock = (local - datetime.combine(local, datetime.min.time())) // _TICK
        return year.before[number] + sum(max(min(clock, end) - start, 0) for start, end in year.parts[number])

    def _seek(self, start: datetime, need: int) -> datetime:
        """Return the first local time at which `need`, more than 0, has passed since `start`."""
        number, need = start.year, need + self._in_year(start)
        while need > (whole := self._year(number).before[-1]):
            number, need = number + 1, need - whole
        year = self._year(number)
        day = bisect_left(year.before, need) - 1
        need -= year.before[day]
        for opening, close in year.parts[day]:
            if need <= close - opening:
                break
            need -= close - opening
        return datetime(number, 1, 1) + timedelta(days=day, microseconds=opening + need)  # noqa: DTZ001  # as above

    def _year(self, number: int) -> _Year:
        if (year := self._years.get(number)) is None:
            first, last = date(number, 1, 1).toordinal(), date(number, 12, 31).toordinal()
            hours = [self.rule(date.fromordinal(day)).hours for day in range(first - 1, last + 1)]
            parts = [of_day(today, yesterday) for yesterday, today in pairwise(hours)]
            sums = accumulate((sum(end - start for start, end in part) for part in parts), initial=0)
            year = self._years[number] = _Year(parts, list(sums))
        return year


def _utc(at: datetime) -> datetime:
    """Return an instant as UTC, without its zone."""
    if at.utcoffset() is None:
        raise ValueError("the instant has no zone")
    WorkingCalendar.check_years(at.year)
    return at.astimezone(UTC).replace(tzinfo=None)


def _offset(zone: ZoneInfo, at: datetime) -> timedelta:
    return at.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None) - at


@functools.lru_cache(maxsize=4096)
def _changes(zone: ZoneInfo, year: int) -> tuple[datetime, ...]:
    """Return when the clocks of a zone are changed in a year, in UTC."""
    start = datetime(year, 1, 1)  # noqa: DTZ001  # as above
    # No zone changes its offset and takes that back within a week.
    return tuple(
        change for week in range(53) for change in _search(zone, start + week * _WEEK, start + (week + 1) * _WEEK)
    )


def _search(zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the changes after `start` until `end`, by halving."""
    if _offset(zone, start) == _offset(zone, end):
        return
    if end - start <= timedelta(seconds=1):
        yield end
    else:
        middle = start + timedelta(seconds=(end - start) // timedelta(seconds=2))
        yield from _search(zone, start, middle)
        yield from _search(zone, middle, end)


def _outside() -> BadRequest:
    return BadRequest(text("Calendars cover the years {first} to {last}", first=FIRST_YEAR, last=LAST_YEAR))
