"""Opening hours of a day, as people write them and as they are counted with."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from zhike.errors import BadRequest
from zhike.i18n import text

Hours = tuple[tuple[int, int], ...]
"""From when to when something is open, in microseconds since the day's midnight; after 24 h it is the next day."""

MINUTE = 60_000_000
DAY = 1440 * MINUTE
_WRITTEN = re.compile(r"((?:[01]\d|2[0-3]):[0-5]\d)-((?:[01]\d|2[0-3]):[0-5]\d|24:00)", re.ASCII)


def parse_hours(written: Sequence[str], path: str) -> Hours:
    """Return hours such as `["09:00-12:00", "13:00-18:00"]`; `22:00-06:00` ends on the next day.

    Args:
        written: In any order; those that overlap count once.
        path: Where they stand in the request.

    Raises:
        BadRequest: If one is written in another way, or ends when it begins.
    """
    return tuple(_parse(each, f"{path}[{index}]") for index, each in enumerate(written))


def show_hours(hours: Hours) -> list[str]:
    """Return hours as people write them."""
    return [f"{_clock(start)}-{_clock(end if end <= DAY else end - DAY)}" for start, end in hours]


@functools.lru_cache(maxsize=4096)
def of_day(day: Hours, before: Hours) -> Hours:
    """Return when a day is open between its two midnights, in order and without overlaps.

    Args:
        day: Its own hours.
        before: Those of the day before, which may reach into it.
    """
    pieces = [(start, min(end, DAY)) for start, end in day] + [(0, end - DAY) for _, end in before if end > DAY]
    joined: list[tuple[int, int]] = []
    for start, end in sorted(pieces):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((start, end))
    return tuple(joined)


def _parse(written: str, path: str) -> tuple[int, int]:
    if (found := _WRITTEN.fullmatch(written)) is None:
        raise BadRequest(text("{path} is {value!r}; expected hours such as 09:00-12:00", path=path, value=written))
    start, end = ((int(part[:2]) * 60 + int(part[3:])) * MINUTE for part in found.groups())
    if start == end:
        raise BadRequest(
            text("{path}: {value} ends when it begins; the whole day is 00:00-24:00", path=path, value=written)
        )
    return start, end if end > start else end + DAY


def _clock(instant: int) -> str:
    return "{:02}:{:02}".format(*divmod(instant // MINUTE, 60))
