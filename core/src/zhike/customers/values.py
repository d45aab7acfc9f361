"""The values of typed fields: which value fits which type, and the one form in which it is stored.

| type           | value                                        | stored as                             |
|----------------|----------------------------------------------|---------------------------------------|
| `text`         | text                                         | as given                              |
| `number`       | JSON number, or a text such as `"12.5"`      | number                                |
| `money`        | the same, in major units of the currency     | number with the currency's digits     |
| `date`         | `2024-01-05`, also `2024/1/5`                | text `2024-01-05`                     |
| `choice`       | key of a choice                              | text                                  |
| `multi_choice` | list of such keys, each once                 | list of texts; an empty one is no value |
| `boolean`      | true or false                                | boolean                               |
| `link`         | http or https URL                            | text                                  |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from zhike._shown import printable
from zhike.errors import BadRequest
from zhike.i18n import Text, text
from zhike.money import BadAmount, to_major, to_minor

if TYPE_CHECKING:
    from zhike.customers.field import Field

_SHOWN = 40
_LINK = 2_000
_DATE = re.compile(r"([0-9]{4})([-/.])([0-9]{1,2})\2([0-9]{1,2})")
_NUMBER = re.compile(r"-?[0-9]{1,30}(?:[.][0-9]{1,30})?")


class BadValue(BadRequest):
    """A value does not fit its field; the message shows no more than the beginning of it."""

    default_code = "trait"


def fitted(field: Field, value: Any) -> Any:
    """Return a value as it is stored; None, which stands for no value, fits every field.

    Args:
        field: The field.
        value: What was given for it.

    Raises:
        BadValue: If it does not fit; the message says what was given, unless the field is encrypted, and what was
            expected.
    """
    if value is None or value == []:
        return None
    # Of the columns, which are texts, one may have choices.
    found, expected = _FIT["choice" if field.built_in and field.choices else field.type](field, value)
    if found is not None:
        return found
    wrong = text("expected {expected}", expected=expected)
    if not field.encrypted:
        given = repr(value) if isinstance(value, str | list) else str(value)
        wrong = text("expected {expected}, got {got}", expected=expected, got=printable(given, _SHOWN))
    raise BadValue(text("{where}: {detail}", where=field.shown, detail=wrong))


Fit = tuple[Any, Text | str]
"""The value as it is stored, or None, and what would have been right."""


def _text(field: Field, value: Any) -> Fit:
    return (value if isinstance(value, str) else None), text("text")


def _decimal(value: Any) -> int | float | Decimal | None:
    if isinstance(value, str):
        return Decimal(value) if _NUMBER.fullmatch(value) else None
    return value if isinstance(value, int | float | Decimal) and not isinstance(value, bool) else None


def _number(field: Field, value: Any) -> Fit:
    return _decimal(value), text("a number such as 12.5")


def _money(field: Field, value: Any) -> Fit:
    number, currency = _decimal(value), field.currency or ""
    if number is None:
        return None, text("an amount of {currency} such as 12.30", currency=currency)
    exact = Decimal(repr(number)) if isinstance(number, float) else Decimal(number)
    try:
        return to_major(to_minor(exact, currency), currency), ""
    except BadAmount:
        return None, text("an amount with no more digits than {currency} has", currency=currency)


def _date(field: Field, value: Any) -> Fit:
    found = _DATE.fullmatch(value) if isinstance(value, str) else None
    try:
        day = found and date(int(found[1]), int(found[3]), int(found[4])).isoformat()
    except ValueError:
        day = None
    return day, text("a date such as 2024-01-05")


def _keys(field: Field) -> Text:
    return text("one of {choices}", choices=", ".join(choice.key for choice in field.choices if not choice.archived))


def _choice(field: Field, value: Any) -> Fit:
    return (value if isinstance(value, str) and value in field.keys else None), _keys(field)


def _multi_choice(field: Field, value: Any) -> Fit:
    good = isinstance(value, list) and all(isinstance(each, str) and each in field.keys for each in value)
    good = good and len(set(value)) == len(value)
    return (value if good else None), text("a list without doubles, each {choice}", choice=_keys(field))


def _boolean(field: Field, value: Any) -> Fit:
    return (value if isinstance(value, bool) else None), text("true or false")


def _link(field: Field, value: Any) -> Fit:
    good = isinstance(value, str) and len(value) <= _LINK and value.isprintable() and " " not in value
    try:
        parts = urlsplit(value if good else "")
        good = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        good = False
    return (value if good else None), text("an address such as https://example.com")


_FIT: Mapping[str, Callable[[Field, Any], Fit]] = {
    "text": _text,
    "number": _number,
    "money": _money,
    "date": _date,
    "choice": _choice,
    "multi_choice": _multi_choice,
    "boolean": _boolean,
    "link": _link,
}
