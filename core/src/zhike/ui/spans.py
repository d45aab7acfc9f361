"""Lengths of time in forms: kept in seconds, and asked for as a number and a unit."""

from __future__ import annotations

import re
from decimal import Decimal

import msgspec

from zhike.i18n import Text, text

UNITS = {"86400": text("days"), "3600": text("hours"), "60": text("minutes"), "1": text("seconds")}
"""Seconds of each unit, and its name."""
_SAID = {"86400": text("{n} d"), "3600": text("{n} h"), "60": text("{n} min"), "1": text("{n} s")}


def typed(number: str, unit: str) -> str:
    """Return a number and its unit as a form holds them, such as `8 3600`; without a unit they are seconds."""
    return f"{number} {unit if unit in UNITS else '1'}" if number else ""


def shown(seconds: float) -> str:
    """Return a length as `typed` does, in the greatest unit of which it has a whole number."""
    unit = next((each for each in UNITS if seconds and seconds % int(each) == 0), "1")
    return typed(f"{seconds / int(unit):.6f}".rstrip("0").rstrip("."), unit)


def seconds(held: str) -> float:
    """Return how long it is what a form holds.

    Raises:
        msgspec.ValidationError: If the number is none.
    """
    number, _, unit = held.rpartition(" ")
    if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", number):
        raise msgspec.ValidationError(held)
    whole = Decimal(number) * int(unit)
    return int(whole) if whole == int(whole) else float(whole)


def said(held: str) -> Text:
    """Say a length that a form holds, such as `8 h`."""
    number, _, unit = held.rpartition(" ")
    return Text(_SAID[unit].msgid, {"n": number})
