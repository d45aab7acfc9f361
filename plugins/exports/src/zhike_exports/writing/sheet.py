"""Workbooks (XLSX): every text stays text, and the rows pass through a temporary file."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell

from zhike.errors import BadRequest
from zhike.i18n import text

PIECE = 64 * 1024
MAX_ROWS = 1_048_576
"""The last row that a sheet can have."""
MAX_TEXT = 32_767
"""Characters of the longest text that a cell can hold; the rest is left out."""
_DIGITS = 15
"""Digits of a number that a workbook keeps."""
_FORMULA = tuple("=+-@")
# What XML cannot hold.
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class Sheet:
    """A workbook of one sheet that is being written; whoever makes one closes it.

    Args:
        title: The sheet's name.
        columns: The header.
    """

    def __init__(self, title: str, columns: Sequence[str]) -> None:
        self._book = Workbook(write_only=True)
        self._sheet = self._book.create_sheet(title)
        self._sheet.freeze_panes = "A2"
        self._rows = 0
        self._saved = False
        self.append([columns])

    def append(self, rows: Sequence[Sequence[Any]]) -> None:
        """Write rows.

        Raises:
            BadRequest: If they are more than a sheet can have.
        """
        self._rows += len(rows)
        if self._rows > MAX_ROWS:
            raise BadRequest(
                text("A workbook has at most {limit} rows; ask for csv", limit=MAX_ROWS - 1), code="too_many_rows"
            )
        for row in rows:
            self._sheet.append([self._cell(value) for value in row])

    def pieces(self) -> Iterator[bytes]:
        """End the workbook and return its bytes."""
        with tempfile.TemporaryFile() as file:
            self._save(file)
            file.seek(0)
            while piece := file.read(PIECE):
                yield piece

    def close(self) -> None:
        """Delete what was written so far, if it was not ended."""
        if not self._saved:
            with tempfile.TemporaryFile() as file:
                self._save(file)  # the library deletes its own temporary file only then

    def _save(self, file: Any) -> None:
        self._saved = True
        self._book.save(file)

    def _cell(self, value: Any) -> Any:
        match value:
            case None | bool():
                return value
            case int() | float() | Decimal():
                if len(Decimal(str(value)).as_tuple().digits) <= _DIGITS:
                    return value
                value = str(value)
            case list() | dict():
                value = msgspec.json.encode(value).decode()
        cell = WriteOnlyCell(self._sheet, _UNFIT.sub("\ufffd", str(value))[:MAX_TEXT])
        cell.data_type = "s"  # else what begins with "=" would be a formula
        # As Excel marks a text that somebody typed with ' in front: it stays one when the cell is edited.
        cell.quotePrefix = str(value).startswith(_FORMULA)
        return cell
