"""The days of the story, some busier than others, and the hours of a day."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from datetime import date, datetime, time, timedelta
from random import Random

_SPAN = 548
NEW_YEARS = {
    date(2024, 2, 10),
    date(2025, 1, 29),
    date(2026, 2, 17),
    date(2027, 2, 6),
    date(2028, 1, 26),
    date(2029, 2, 13),
    date(2030, 2, 3),
    date(2031, 1, 23),
    date(2032, 2, 11),
    date(2033, 1, 31),
    date(2034, 2, 19),
    date(2035, 2, 8),
}
"""First days of the years of the lunar calendar (春节); a story outside of them goes without."""
_MONTH = (1.0, 0.9, 1.05, 0.95, 1.05, 1.1, 0.9, 0.95, 1.05, 1.0, 1.15, 1.05)
# Weight of each hour: on a working day, at the weekend, and in an office.
_HOURS = {
    "work": (3, 1, 1, 1, 1, 1, 2, 5, 7, 7, 8, 8, 13, 11, 7, 7, 7, 7, 9, 12, 17, 18, 14, 7),
    "free": (4, 2, 1, 1, 1, 1, 1, 3, 6, 9, 11, 11, 10, 10, 11, 12, 11, 10, 10, 12, 15, 15, 12, 7),
    "rush": (26, 12, 4, 2, 1, 1, 2, 5, 8, 10, 11, 9, 11, 9, 8, 8, 8, 8, 10, 14, 26, 22, 18, 14),
    "shop": (0,) * 10 + (4, 6, 7, 8, 9, 10, 10, 9, 9, 10, 8, 4, 0, 0),
    "office": (0,) * 8 + (2, 10, 14, 12, 3, 6, 14, 14, 12, 8, 3, 0, 0, 0, 0, 0),
}
_CUMULATIVE = {kind: list(itertools.accumulate(weights)) for kind, weights in _HOURS.items()}


class Days:
    """The days of the story, numbered from 0; the last one is today, as far as it has gone.

    Args:
        now: The instant at which the story ends, in the company's zone.
    """

    def __init__(self, now: datetime) -> None:
        self.now = int(now.timestamp())
        today = now.date()
        self.days = [today - timedelta(days=_SPAN - place) for place in range(_SPAN + 1)]
        self.today = _SPAN
        self._midnights = [int(datetime.combine(day, time(), now.tzinfo).timestamp()) for day in self.days]
        self.rush = [_festival(day) >= 2.5 for day in self.days]
        self.rest = [_slump(day) for day in self.days]
        weights = [_busy(day) * (0.75 + 0.5 * place / _SPAN) for place, day in enumerate(self.days)]
        weights[-1] *= (self.now - self._midnights[-1]) / 86400
        self._sums = [0.0, *itertools.accumulate(weights)]

    def pick(self, chance: Random, first: int = 0, last: int = _SPAN) -> int:
        """Return a day from `first` to `last`, a busy one more often."""
        low, high = self._sums[first], self._sums[last + 1]
        return min(last, max(first, bisect_right(self._sums, low + chance.random() * (high - low)) - 1))

    def at(self, chance: Random, day: int, kind: str = "") -> int:
        """Return an instant of a day in seconds since 1970; it may be after the end of the story."""
        if not kind:
            kind = "rush" if self.rush[day] else "free" if self.days[day].weekday() >= 5 else "work"
        sums = _CUMULATIVE[kind]
        hour = bisect_right(sums, chance.random() * sums[-1])
        return self._midnights[day] + min(hour, 23) * 3600 + chance.randrange(3600)

    def day_of(self, at: int) -> int:
        """Return the number of the day that an instant belongs to."""
        return min(_SPAN, max(0, bisect_right(self._midnights, at) - 1))

    def office_day(self, day: int) -> int:
        """Return the first day from `day` on that is worked."""
        while day < _SPAN and (self.days[day].weekday() >= 5 or self.rest[day]):
            day += 1
        return day


def _busy(day: date) -> float:
    if _slump(day):
        return 0.22
    weekend = 1.25 if day.weekday() >= 5 else 1.05 if day.weekday() == 4 else 1.0
    return weekend * _MONTH[day.month - 1] * _festival(day)


def _festival(day: date) -> float:
    """Return how much busier than usual a day of the great sales is."""
    peaks = {(6, 18): 6.0, (6, 1): 3.2, (11, 11): 9.0, (11, 1): 4.0, (12, 12): 3.5, (3, 8): 2.6, (9, 9): 2.5}
    if peak := peaks.get((day.month, day.day)):
        return peak
    if (6, 2) <= (day.month, day.day) <= (6, 20) or (11, 2) <= (day.month, day.day) <= (11, 10):
        return 2.0
    if (10, 24) <= (day.month, day.day) <= (10, 31) or (12, 9) <= (day.month, day.day) <= (12, 11):
        return 1.5
    if any(timedelta(8) <= year - day <= timedelta(24) for year in NEW_YEARS):
        return 1.7  # 年货节
    if day.month == 11 and day.day <= 20:
        return 0.7  # everybody has just bought
    return 1.0


def _slump(day: date) -> bool:
    """Say whether almost everybody is at home: from two days before the new year to its seventh day."""
    return any(timedelta(-2) <= day - year <= timedelta(6) for year in NEW_YEARS)
