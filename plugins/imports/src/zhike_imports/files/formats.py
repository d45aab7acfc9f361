"""Which format a file is in, found from its first lines."""

from __future__ import annotations

import csv
import enum
from collections.abc import Sequence

import msgspec

from zhike.errors import Refused
from zhike.i18n import text
from zhike_imports.files.encoding import Scan
from zhike_imports.files.lines import Lines

DELIMITERS = "\t,;|"
_HEAD_LINES = 100


class FormatKind(enum.Enum):
    """How rows and values are told apart."""

    CSV = "csv"
    JSON_LINES = "json lines"
    COLUMNS = "columns"


class Format(msgspec.Struct, frozen=True):
    """A file's format.

    Args:
        kind: How rows and values are told apart.
        delimiter: The character between values of a CSV file, else "".
    """

    kind: FormatKind
    delimiter: str = ""

    def __str__(self) -> str:
        if self.kind is FormatKind.CSV:
            return f"CSV ({'tab' if self.delimiter == chr(9) else self.delimiter})"
        return "JSON Lines" if self.kind is FormatKind.JSON_LINES else "columns"


def detect(found: Scan) -> Format:
    """Find a scanned file's format.

    JSON Lines begin with `{`. Otherwise the first line is the header: the delimiter that parts it into most
    names makes it CSV; without any, blanks between names make it columns; one single name is a CSV file of
    one column.

    Raises:
        Refused: If it begins as a JSON array or holds nothing but a header.
    """
    head = _head(found)
    first = head[0].strip() if head else ""
    if first.startswith("{"):
        return Format(FormatKind.JSON_LINES)
    if first.startswith("["):
        raise Refused(text("{path} begins as a JSON array; expected one JSON object a line", path=found.path.name))
    if len(head) < 2:
        raise Refused(text("{path} holds a header at most and no rows", path=found.path.name))
    widths = {delimiter: _width(first, delimiter) for delimiter in DELIMITERS}
    best = max(DELIMITERS, key=lambda delimiter: widths[delimiter])
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
