"""What lies between two instants: where the edges of windows were in that time, and which dates began."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from zhike.conditions.comparison import Comparison
from zhike.conditions.durations import Duration, anniversaries

Span = tuple[datetime, datetime]
"""After the first instant, up to and with the second."""

EARLIEST = datetime(1, 1, 2, tzinfo=UTC)
"""No instant of an event is before it."""
_DAY = timedelta(days=1)
_PROBE = timedelta(minutes=15)
_LONG = timedelta(days=2)
# Two steps of as many months differ by no more, wherever in the calendar they begin.
_UNEVEN = timedelta(days=10)
# What an offset that lasts for less than a probe may add.
_SHIFT = timedelta(hours=2)


class Passage:
    """The time from one instant to another, in either direction.

    Whatever compares differently at the one than at any instant up to the other has crossed an edge in it; hence
    the direction is of no account.

    Args:
        begin: An aware instant.
        end: Another one.
        zone: The deployment's zone.
    """

    def __init__(self, begin: datetime, end: datetime, zone: ZoneInfo) -> None:
        # In UTC, since in other zones Python's arithmetic is that of clocks on the wall.
        self.begin, self.end = sorted([begin.astimezone(UTC), end.astimezone(UTC)])
        self._zone = zone

    @property
    def now(self) -> Span:
        """Where now was."""
        return self.begin, self.end

    def before(self, length: Duration, *, windows: int = 1) -> Span:
        """Return where the instant was that lies `length` before now.

        A window's begin runs evenly, except that steps of the calendar skip and repeat time at the ends of months
        and where clocks change; all of that is in the span.

        Args:
            length: The window's.
            windows: How many windows, one before the other, lie between it and now.
        """

        def start(instant: datetime) -> datetime:
            for _ in range(windows):
                instant = length.before(instant, self._zone)
            return instant

        if not length.months:
            return start(self.begin), start(self.end)
        if self.end - self.begin > _LONG:
            return start(self.begin) - _UNEVEN, start(self.end) + _UNEVEN
        lags = {probe - start(probe) for probe in self._probes()}
        slack = _SHIFT if len(lags) > 1 else timedelta()
        return self.begin - max(lags) - slack, self.end - min(lags) + slack

    def ages(self, comparison: Comparison) -> list[Span]:
        """Return where the instants were whose age in whole days begins or ceases to compare as asked.

        Args:
            comparison: Of the age.
        """
        oldest = (self.begin - EARLIEST).days
        days = {turn for turn in _turns(comparison) if 0 < turn <= oldest}
        return [(self.begin - turn * _DAY, self.end - turn * _DAY) for turn in days]

    def anniversaries(self, length: Duration | None) -> list[int]:
        """Return month x 100 + day of the dates that came near or ceased to be so at a local midnight.

        Args:
            length: How many dates are near, as in `durations.anniversaries`.
        """
        first, last = (instant.astimezone(self._zone) for instant in self.now)
        begin, end = sorted([first.date(), last.date()])
        if first.utcoffset() != last.utcoffset():  # the date may have been another one in between
            begin, end = begin - _DAY, end + _DAY
        passed = Duration(0, min((end - begin).days, 366) * 86_400)
        if not passed.seconds:
            return []
        return sorted({*anniversaries(begin, passed), *anniversaries(begin + _days(length), passed)})

    def _probes(self) -> Iterator[datetime]:
        instant = self.begin
        while instant < self.end:
            yield instant
            instant += _PROBE
        yield self.end


def merged(spans: Iterable[Span]) -> list[Span]:
    """Return as few spans as cover the same instants, in order."""
    joined: list[Span] = []
    for low, high in sorted(spans):
        if joined and low <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(high, joined[-1][1])
        else:
            joined.append((low, high))
    return joined


def _days(length: Duration | None) -> timedelta:
    return timedelta(seconds=length.seconds) if length else _DAY


def _turns(comparison: Comparison) -> Iterator[int]:
    """Yield the whole numbers at which a number that grows by one compares otherwise than before."""
    for place, value in enumerate(comparison.values):
        if comparison.op in ("gte", "lt", "eq", "in") or (comparison.op == "between" and place == 0):
            yield math.ceil(value)
        if comparison.op in ("gt", "lte", "eq", "in") or (comparison.op == "between" and place == 1):
            yield math.floor(value) + 1
