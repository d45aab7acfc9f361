"""Public holidays and make-up working days of China, as the State Council's notices give them."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import NamedTuple

_LANGUAGES = {"zh_CN": "zh_CN", "en": "en_US"}


class PublicYear(NamedTuple):
    """What is public about a year's days.

    Args:
        holidays: Days off with their names; weekend days that go with a holiday have none.
        working: Weekend days that are worked in exchange (调休); none until the year's notice is known.
    """

    holidays: Mapping[date, str]
    working: frozenset[date]


@functools.lru_cache(maxsize=1024)
def public_year(year: int, locale: str = "zh_CN") -> PublicYear:
    """Return the public holidays and make-up working days of a year.

    They come from the package `holidays`, which knows the notices since 2001. For later years it has the statutory
    holidays, moved off weekends, until 2100; then nothing.

    Args:
        year: 1 to 9998.
        locale: Language of the names, one of `zhike.i18n.LOCALES`.
    """
    named, working = _notice(year, locale)
    following, _ = _notice(year + 1, locale)  # a first of January on a Monday takes December's last weekend along
    off = dict.fromkeys(_weekends({**named, **following}, working), "") | named
    return PublicYear({day: name for day, name in off.items() if day.year == year}, working)


@functools.lru_cache(maxsize=1024)
def _notice(year: int, locale: str) -> tuple[dict[date, str], frozenset[date]]:
    from holidays.countries.china import China  # takes 0.2 s

    known = China(years=year, expand=False, language=_LANGUAGES[locale])  # type: ignore[no-untyped-call]  # it annotates none
    # Days that were worked in exchange for the next year's are there in every year.
    # The package writes dates within names with the month first, which half of the readers take for the day.
    dates = {day: re.sub(r"(\d\d)/(\d\d)/(\d{4})", r"\3-\1-\2", name) for day, name in known.items()}
    return dates, frozenset(day for day in known.weekend_workdays if day.year == year)


def _weekends(named: Mapping[date, str], working: frozenset[date]) -> Iterator[date]:
    """Yield the weekend days beside days off: the notices count them in (与周末连休), the package does not."""
    for holiday in named:
        for step in (timedelta(-1), timedelta(1)):
            day = holiday + step
            while day.weekday() >= 5 and day not in named and day not in working:
                yield day
                day += step
