"""Rows of an Excel workbook (XLSX), as the texts that a CSV file would have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, time
from pathlib import Path
from typing import Any

from openpyxl import load_workbook
from openpyxl.cell.cell import ERROR_CODES
from openpyxl.worksheet._read_only import ReadOnlyWorksheet

from zhike.errors import Refused
from zhike.i18n import text
from zhike_imports.files.lines import MAX_LINE, Fault
from zhike_imports.files.parts import refuse_bomb
from zhike_imports.files.readers import Row, Rows, checked_header, ragged

MAX_ROWS = 1_048_576
"""The last row that a sheet of Excel's can have."""
_EXACT = 10**15
"""From here on the numbers of a workbook have lost digits: it keeps 15."""
_TINY = 1e-4
"""Below it fractions would be written with an exponent."""
_MARKED = ("'", '="')
"""Beginnings that mean something in a CSV file, and stand for themselves here."""


class WorkbookRows(Rows):
    """Rows of the first sheet that is shown and holds something; its first row is the header.

    What is calculated comes as it was when the workbook was saved; a day comes as `2024-01-05`.

    Args:
        path: The workbook.
        file_name: What refusals call it.
        sheet: The sheet to read; "" for the first that holds something.
    """

    def __init__(self, path: Path, file_name: str, sheet: str = "") -> None:
        refuse_bomb(path, file_name)
        self._name, self._size, self._share = file_name, path.stat().st_size, 0.0
        self._file = path.open("rb")
        try:
            self._book = load_workbook(self._file, read_only=True, data_only=True, keep_links=False)
        except Exception as error:  # openpyxl has no error of its own: a broken file may raise anything
            self._file.close()
            raise self._broken(error) from None
        try:
            sheets = [each for each in self._book.worksheets if each.sheet_state == "visible"]
            self.sheets = [each.title for each in sheets]
            if sheet and sheet not in self.sheets:
                raise Refused(text("{path} has no sheet {sheet!r}", path=file_name, sheet=sheet[:100]))
            self._rows, names = self._first(sheets)
            if sheet:
                self._rows, names = self._first([each for each in sheets if each.title == sheet], named=True)
            while names and not names[-1]:
                names.pop()
            self.header = checked_header(names, file_name)
        except BaseException:
            self.close()
            raise

    @property
    def position(self) -> int:
        """About how many bytes of the file have been read, by the rows of which the sheet speaks."""
        return int(self._size * min(1.0, self._share))

    def close(self) -> None:
        """Close the file."""
        self._book.close()
        self._file.close()

    def __iter__(self) -> Iterator[Row]:
        width, number = len(self.header), 0
        for line, values in self._rows:
            try:
                cells, fault = [_text(value) for value in values], None
            except _Unreadable as error:
                cells, fault = [str(value) for value in values[:width] if value is not None], error.fault
            while len(cells) > width and not cells[-1]:
                cells.pop()
            if fault is None and not any(cells):
                continue
            number += 1
            cells += [""] * (width - len(cells))
            if fault is None and len(cells) > width:
                fault = ragged(len(cells), width)
            if fault is None and sum(map(len, cells)) > MAX_LINE:
                fault = Fault("too_long", text("the line is longer than {limit} bytes", limit=MAX_LINE))
            yield Row(number, line, cells, fault=fault)

    def _first(
        self, sheets: Sequence[ReadOnlyWorksheet], *, named: bool = False
    ) -> tuple[Iterator[tuple[int, Sequence[Any]]], list[str]]:
        for sheet in sheets:
            rows = self._values(sheet)
            for _, values in rows:
                if any(value not in {None, ""} for value in values):
                    if not named:
                        self.sheets = [sheet.title, *(each for each in self.sheets if each != sheet.title)]
                    return rows, [_plain(value) for value in values]
        return iter(()), []

    def _values(self, sheet: ReadOnlyWorksheet) -> Iterator[tuple[int, Sequence[Any]]]:
        last = min(sheet.max_row or MAX_ROWS, MAX_ROWS)
        # What a sheet says of its size may be wrong: no row and no column is left out or made up because of it.
        sheet.reset_dimensions()
        found = sheet.iter_rows(min_row=1, max_row=MAX_ROWS, values_only=True)
        line = 0
        while True:
            try:
                values = next(found, None)
            except Exception as error:  # as above
                raise self._broken(error) from None
            if values is None:
                return
            line += 1
            self._share = line / last
            yield line, values

    def _broken(self, error: Exception) -> Refused:
        return Refused(text("{path} is a broken workbook ({reason})", path=self._name, reason=type(error).__name__))


class _Unreadable(Exception):  # it never leaves this module
    def __init__(self, fault: Fault) -> None:
        super().__init__()
        self.fault = fault


def _plain(value: Any) -> str:
    return "" if value is None else str(value)


def _text(value: Any) -> str:
    """Return a cell's value as a CSV file has it; raises `_Unreadable`."""
    match value:
        case None:
            return ""
        case str():
            if value in ERROR_CODES:
                raise _Unreadable(Fault("formula", text("a cell holds the error {value}", value=value)))
            return "'" + value if value.startswith(_MARKED) else value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return _number(value)
        case datetime():
            day = value.time() == time()
            value = value.date() if day else value.isoformat(" ", "milliseconds" if value.microsecond else "seconds")
    return str(value)  # a day, a time, a length of time


def _number(value: float) -> str:
    if abs(value) >= _EXACT:
        message = text("a number has more digits than a workbook keeps; write the column as text")
        raise _Unreadable(Fault("digits", message))
    if abs(value) < _TINY:
        return format(value, ".15f").rstrip("0").rstrip(".")
    return format(value, ".15g")
