"""The literals of a condition: one JSON value each, checked and given the type it is compared as."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal
from zoneinfo import ZoneInfo

from zhike.conditions.durations import at_wall
from zhike.conditions.problems import BadCondition
from zhike.i18n import text
from zhike.money import EXPONENTS

Kind = Literal["text", "number", "boolean", "instant"]

# The leap-year rule is part of the pattern because the compiler hands the same pattern to PostgreSQL,
# where casting a text that only looks like a date would fail the whole statement.
_YEAR = r"(?:[0-9]{3}[1-9]|[0-9]{2}[1-9][0-9]|[0-9][1-9][0-9]{2}|[1-9][0-9]{3})"
_LEAP_YEAR = r"(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_DATE = (
    rf"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    rf"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP_YEAR}-02-29)"
)
OFFSET = r"(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])"
INSTANT = rf"{_DATE}(?:[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:[.][0-9]{{1,6}})?)?{OFFSET}?)?"
"""Pattern, for Python and PostgreSQL alike, of a date or an RFC 3339 time whose offset may be left out."""

_INSTANT = re.compile(INSTANT)
_INFINITE = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))  # as asyncpg binds them
_DECIMAL = re.compile(r"-?[0-9]{1,400}(?:[.][0-9]{1,400})?")
_MAX_POWER = 308  # as many as JSON numbers have elsewhere: what a double holds
_MAX_PLACES = 400


def kind_of(value: Any, path: str) -> Kind:
    """Return the kind that a value's JSON type stands for.

    Raises:
        BadCondition: If it is null, an object or a list.
    """
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "text"
    if isinstance(value, int | float | Decimal):
        return "number"
    raise BadCondition(text("{path} must be a text, a number, true or false", path=path))


def literal(value: Any, kind: Kind, path: str, zone: ZoneInfo) -> Any:
    """Return `value` as a `str`, `Decimal`, `bool` or aware `datetime`.

    Args:
        value: A builtin value, or a `Decimal` where JSON had a number with a fraction.
        kind: What it has to be.
        path: The value's place, for the error.
        zone: Where a date without offset is meant.

    Raises:
        BadCondition: If it is none.
    """
    if kind == "text":
        if isinstance(value, str):
            return value
        raise BadCondition(text("{path} must be a text", path=path))
    if kind == "boolean":
        if isinstance(value, bool):
            return value
        raise BadCondition(text("{path} must be true or false", path=path))
    if kind == "number":
        return number(value, path)
    return instant(value, path, zone)


def number(value: Any, path: str) -> Decimal:
    """Return a JSON number exactly.

    Raises:
        BadCondition: If it is no number or beyond what can be compared.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise BadCondition(text("{path} must be a number", path=path))
    exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if exact.is_finite():
        if not exact:
            return Decimal(0)
        if exact.adjusted() <= _MAX_POWER and int(exact.as_tuple().exponent) >= -_MAX_PLACES:
            return exact
    raise BadCondition(
        text(
            "{path} must be a number within ±1e{power} and {places} places",
            path=path,
            power=_MAX_POWER,
            places=_MAX_PLACES,
        )
    )


def minor_units(value: Any, currency: str, path: str) -> Decimal:
    """Return an amount of money in minor units, perhaps with a fraction.

    Args:
        value: The amount in major units: a JSON number, or a text such as `"12.30"`.
        currency: ISO 4217 code of the amount.
        path: The value's place, for the error.

    Raises:
        BadCondition: If it is neither.
    """
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value):
            raise BadCondition(text("{path} is {value!r}; expected an amount such as 12.30", path=path, value=value))
        value = Decimal(value)
    # By its parts: Decimal's own arithmetic would round.
    sign, figures, exponent = number(value, path).as_tuple()
    return Decimal((sign, figures, int(exponent) + EXPONENTS[currency]))


def instant(value: Any, path: str, zone: ZoneInfo) -> datetime:
    """Return the instant in UTC that a text names; a date is its first moment.

    Raises:
        BadCondition: If it is not of the form of `INSTANT`.
    """
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        try:
            read = datetime.fromisoformat(value)
            found = read.astimezone(UTC) if read.tzinfo else at_wall(read, zone)
            if found not in _INFINITE:
                return found
        except (ValueError, OverflowError):  # in UTC the year would be 0 or 10000
            pass
    raise BadCondition(text("{path} must be a date or an RFC 3339 time such as 2024-05-01T08:00:00+08:00", path=path))
