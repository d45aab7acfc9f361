"""Dates and times as people and programs write them in files; only those that can be read in one way."""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from zhike.i18n import Text, text

FORMS = "19970101, 1997-01-01, 1997/1/1 12:30, 1997年1月1日, 1997-01-01T12:30:00+08:00"

_WRITTEN = re.compile(
    r"""(\d{4}) (?: ([-/.]) (\d{1,2}) \2 (\d{1,2}) | \s?年\s?(\d{1,2})\s?月\s?(\d{1,2})\s?[日号] )
        (?: (?:[T\s]\s*|(?<=[日号]))
            (\d{1,2}) (?: [:：时点] (\d{1,2}) (?: [:：分] (\d{1,2}) (?:[.,](\d{1,9}))? )? )? [时点分秒]?
            (?: \s? (Z|[+-]\d{2}(?::?\d{2})?) )?
        )?""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})(?:(\d{2})(\d{2})(\d{2})?)?", re.ASCII)
_EPOCH = re.compile(r"1\d{9}(?:\d{3})?", re.ASCII)
_EPOCH_START = datetime(1970, 1, 1, tzinfo=UTC)


class BadDate(ValueError):
    """A text that is no date, or more than one.

    Args:
        message: What was found and which forms are read.
    """

    def __init__(self, message: Text) -> None:
        super().__init__(str(message))
        self.message = message


@functools.lru_cache(maxsize=16_384)
def read(value: str, zone: ZoneInfo) -> datetime:
    """Read one date or instant.

    Read are year-first dates with `-`, `/`, `.` or 年月日, alone or with a time, RFC 3339, the digits
    YYYYMMDD, YYYYMMDDhhmm and YYYYMMDDhhmmss, and Unix time of 10 digits (seconds) or 13 (milliseconds) that
    begins with 1. Day-first and month-first dates are refused: 01/02/2024 is two days.

    Args:
        value: The text, without blanks around it.
        zone: The zone of a time that names none; a date alone is its midnight there.

    Returns:
        The instant in UTC.

    Raises:
        BadDate: If the text is none of these forms or no day of the calendar.
    """
    try:
        if _EPOCH.fullmatch(value):
            return _EPOCH_START + timedelta(milliseconds=int(value) * (1 if len(value) == 13 else 1000))
        if found := _COMPACT.fullmatch(value):
            return datetime(*(int(part or 0) for part in found.groups()), tzinfo=zone).astimezone(UTC)  # type: ignore[arg-type,misc]  # six numbers
        if found := _WRITTEN.fullmatch(value):
            return _written(found, zone)
    except (ValueError, OverflowError):
        pass
    raise BadDate(
        text("{value!r} is no date that can be read; expected a form such as {forms}", value=value, forms=FORMS)
    )


def _written(found: re.Match[str], zone: ZoneInfo) -> datetime:
    year, _, month, day, month_cn, day_cn, hour, minute, second, fraction, offset = found.groups()
    if hour is not None and minute is None and month_cn is None:
        raise ValueError
    moment = datetime(
        int(year),
        int(month or month_cn),
        int(day or day_cn),
        int(hour or 0),
        int(minute or 0),
        int(second or 0),
        int((fraction or "0")[:6].ljust(6, "0")),
        tzinfo=_offset(offset) if offset else zone,
    )
    return moment.astimezone(UTC)


def _offset(value: str) -> timezone:
    if value in "Zz":
        return UTC
    digits = value[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 23 or minutes > 59:
        raise ValueError
    size = timedelta(hours=hours, minutes=minutes)
    return timezone(-size if value[0] == "-" else size)
