"""Cells of CSV files that no spreadsheet takes for a formula, and that an import reads as what they were."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import msgspec

BOM = "\ufeff"
# What a spreadsheet may take for the beginning of a formula, and the mark that is put before it.
_DANGEROUS = tuple("=+-@\t\r\n'")
_MARK = "'"


def cell(value: Any) -> str:
    """Return a value as a CSV file holds it.

    A text that begins with `=`, `+`, `-`, `@`, a tab, a line end or `'` gets a `'` in front, which `zhike import` takes
    away again; so the text is data for a spreadsheet, and nothing of it is lost. Numbers stay numbers.

    Args:
        value: None, text, a boolean, a number, or a list or an object, which is written as JSON.
    """
    match value:
        case None:
            return ""
        case bool() | list() | dict():
            return msgspec.json.encode(value).decode()
        case str():
            return _MARK + value if value.startswith(_DANGEROUS) else value
    return str(value)


def line(values: Sequence[Any]) -> str:
    """Return a row of a CSV file, with its line end."""
    out = io.StringIO()
    csv.writer(out).writerow([cell(value) for value in values])
    return out.getvalue()
