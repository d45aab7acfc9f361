"""Amounts of money as files hold them, read exactly."""

from __future__ import annotations

import re
from decimal import Decimal

from zhike.i18n import Text, text

# What may stand before or after a number, and the currencies it can mean.
SIGNS = {
    "¥": ("CNY", "JPY"),
    "￥": ("CNY", "JPY"),
    "元": ("CNY",),
    "RMB": ("CNY",),
    "$": ("USD", "HKD", "TWD", "SGD", "AUD", "CAD", "NZD", "MOP"),
    "€": ("EUR",),
    "£": ("GBP",),
}
_PLAIN = re.compile(r"[+-]?\d{1,20}(?:\.\d{1,20})?", re.ASCII)
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:,\d{3}){1,6}(?:\.\d{1,20})?", re.ASCII)


class BadAmount(ValueError):
    """A text that is no amount in its currency.

    Args:
        message: What was found and what was expected.
    """

    def __init__(self, message: Text) -> None:
        super().__init__(str(message))
        self.message = message


def read(value: str, currency: str) -> Decimal:
    """Read `1234.50`, `1,234.50`, `¥12.00`, `￥12`, `12元` or `CNY 12`.

    Commas count only as thousands separators in groups of three; a decimal comma and exponents are refused. A
    currency sign must fit the row's currency: nothing is converted silently.

    Args:
        value: The text, without blanks around it.
        currency: ISO 4217 code of the row.

    Returns:
        The number in major units.

    Raises:
        BadAmount: If it is no such number.
    """
    if _PLAIN.fullmatch(value):
        return Decimal(value)
    number = _without_sign(value, currency)
    if _PLAIN.fullmatch(number):
        return Decimal(number)
    if _GROUPED.fullmatch(number):
        return Decimal(number.replace(",", ""))
    raise BadAmount(
        text(
            "{value!r} is no amount in {currency}; expected one such as 1234.50",
            value=value,
            currency=currency,
        )
    )


def _without_sign(value: str, currency: str) -> str:
    minus = "-" if value.startswith("-") else ""
    bare = value.removeprefix("-").strip()
    for sign in (currency, *(sign for sign, meant in SIGNS.items() if currency in meant)):
        if bare.upper().startswith(sign):
            return minus + bare[len(sign) :].strip()
        if bare.upper().endswith(sign):
            return minus + bare[: -len(sign)].strip()
    return value
