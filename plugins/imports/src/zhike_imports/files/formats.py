"""Which format a file is in, found from its first lines."""

from __future__ import annotations

import csv
import enum
from collections.abc import Sequence
from typing import Literal

import msgspec

from zhike.errors import Refused
from zhike.i18n import text
from zhike_imports.files.encoding import Scan
from zhike_imports.files.lines import Lines

DELIMITERS = "\t,;|"
BLANKS = " "
Delimiter = Literal["\t", ",", ";", "|", " "]
"""What may be said to stand between two values; a blank for columns with blanks between."""
_HEAD_LINES = 100


class FormatKind(enum.Enum):
    """How rows and values are told apart."""

    CSV = "csv"
    JSON_LINES = "json lines"
    COLUMNS = "columns"
    WORKBOOK = "xlsx"


class Format(msgspec.Struct, frozen=True):
    """A file's format.

    Args:
        kind: How rows and values are told apart.
        delimiter: The character between values of a CSV file, else "".
        sheet: The sheet of a workbook; "" for the first one that is shown and holds something.
    """

    kind: FormatKind
    delimiter: str = ""
    sheet: str = ""

    def __str__(self) -> str:
        if self.kind is FormatKind.WORKBOOK:
            return f"XLSX ({self.sheet})" if self.sheet else "XLSX"
        if self.kind is FormatKind.CSV:
            return f"CSV ({'tab' if self.delimiter == chr(9) else self.delimiter})"
        return "JSON Lines" if self.kind is FormatKind.JSON_LINES else "columns"


def detect(found: Scan, *, delimiter: str | None = None, sheet: str | None = None) -> Format:
    """Find a scanned file's format.

    JSON Lines begin with `{`. Otherwise the first line is the header: the delimiter that parts it into most
    names makes it CSV; without any, blanks between names make it columns; one single name is a CSV file of
    one column.

    Args:
        found: The file.
        delimiter: What somebody says to stand between two values.
        sheet: Which sheet of a workbook they want.

    Raises:
        Refused: If it begins as a JSON array or holds nothing but a header.
    """
    if found.workbook:
        return Format(FormatKind.WORKBOOK, sheet=sheet or "")
    head = _head(found)
    first = head[0].strip() if head else ""
    if first.startswith("{"):
        return Format(FormatKind.JSON_LINES)
    if first.startswith("["):
        raise Refused(text("{path} begins as a JSON array; expected one JSON object a line", path=found.path.name))
    if len(head) < 2:
        raise Refused(text("{path} holds a header at most and no rows", path=found.path.name))
    if delimiter:
        return Format(FormatKind.COLUMNS) if delimiter == BLANKS else Format(FormatKind.CSV, delimiter)
    widths = {each: _width(first, each) for each in DELIMITERS}
    best = max(DELIMITERS, key=lambda each: widths[each])
    if widths[best] == 1 and _is_columns(head):
        return Format(FormatKind.COLUMNS)
    return Format(FormatKind.CSV, best if widths[best] > 1 else ",")


def _head(found: Scan) -> list[str]:
    lines = Lines(found)
    try:
        head: list[str] = []
        for line in lines:
            if line.text.strip():
                head.append(line.text.removeprefix("\ufeff"))
            if len(head) >= _HEAD_LINES:
                break
        return head
    finally:
        lines.close()


def _width(header: str, delimiter: str) -> int:
    try:
        return len(next(csv.reader([header], delimiter=delimiter, skipinitialspace=True)))
    except (csv.Error, StopIteration):
        return 1


def _is_columns(head: Sequence[str]) -> bool:
    """Say whether most rows have as many words as the header, and that more than one."""
    width = len(head[0].split())
    same = sum(len(line.split()) == width for line in head[1:])
    return width > 1 and same * 2 >= len(head) - 1
