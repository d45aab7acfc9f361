"""Rows of a file in each format, with bounded memory and no row able to spoil another."""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Iterator, Sequence

import msgspec

from zhike.errors import Refused
from zhike.i18n import text
from zhike_imports.files.encoding import Scan
from zhike_imports.files.formats import Format, FormatKind
from zhike_imports.files.lines import MAX_LINE, SHOWN, Fault, Line, Lines

MAX_RECORD_LINES = 1_000


class Row(msgspec.Struct, gc=False):
    """One data row.

    Args:
        number: Counted from 1, blank rows left out.
        line: Number of its first line in the file.
        cells: Its values in the order of the header; as far as it could be split when it has a fault.
        members: For JSON Lines, its values as raw JSON; then `cells` holds the whole line.
        fault: Why it cannot be used, or None.
    """

    number: int
    line: int
    cells: list[str]
    members: dict[str, msgspec.Raw] | None = None
    fault: Fault | None = None


class Rows(ABC):
    """The data rows of a file, once.

    Attributes:
        header: The column names; for JSON Lines none.
        sheets: The sheets of a workbook that may be read, the one that is read without being named first.
    """

    header: list[str]
    sheets: Sequence[str] = ()

    @property
    @abstractmethod
    def position(self) -> int:
        """Bytes of the file that have been read."""

    @abstractmethod
    def __iter__(self) -> Iterator[Row]:
        """Read on."""

    @abstractmethod
    def close(self) -> None:
        """Close the file."""


class TextRows(Rows):
    """The data rows of a file of lines.

    Args:
        lines: The file's lines.
    """

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self.header = []

    @property
    def position(self) -> int:
        """Bytes of the file that have been read."""
        return self._lines.position

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


def open_rows(found: Scan, form: Format) -> Rows:
    """Open a scanned file in its format.

    Raises:
        Refused: If its header cannot be used.
    """
    if form.kind is FormatKind.WORKBOOK:
        # Takes a moment to import, and knows this module.
        from zhike_imports.files.workbook import WorkbookRows

        return WorkbookRows(found.path, found.path.name, form.sheet)
    lines = Lines(found)
    try:
        if form.kind is FormatKind.JSON_LINES:
            return JsonRows(lines)
        if form.kind is FormatKind.COLUMNS:
            return ColumnRows(lines, found.path.name)
        return CsvRows(lines, found.path.name, form.delimiter)
    except Refused:
        lines.close()
        raise


def checked_header(names: list[str], file_name: str) -> list[str]:
    """Return a header's names without blanks around them; a column without name is called by its place.

    Raises:
        Refused: If a name stands there twice.
    """
    header = [name.strip().lstrip("\ufeff") or f"column_{place}" for place, name in enumerate(names, start=1)]
    double = next((name for name, times in Counter(header).items() if times > 1), None)
    if double is not None:
        raise Refused(
            text(
                "{path} has two columns named {name!r}; rename one of them in its header",
                path=file_name,
                name=double,
            )
        )
    return header


class CsvRows(TextRows):
    """Rows of a CSV file.

    A quoted value may hold line ends. A quote that is never closed would make one row of all that follows:
    when a row of several lines turns out wrong, only its first line is set aside and reading goes on with its
    second.

    Args:
        lines: The file's lines.
        file_name: What refusals call it.
        delimiter: One character.
    """

    def __init__(self, lines: Lines, file_name: str, delimiter: str) -> None:
        super().__init__(lines)
        self._feed = _Feed(lines)
        self._reader = csv.reader(self._feed, delimiter=delimiter, strict=True, skipinitialspace=True)
        first = next(self._records(), None)
        if first is not None and first.fault is not None:
            raise _bad_header(first.line, file_name, first.fault)
        self.header = checked_header(first.cells if first else [], file_name)

    def __iter__(self) -> Iterator[Row]:
        width = len(self.header)
        for number, row in enumerate(self._records(), start=1):
            row.number = number
            if row.fault is None and len(row.cells) != width:
                if len(self._feed.taken) > 1:
                    row = self._first_line_of(row)  # noqa: PLW2901  # the row proper is abandoned
                else:
                    row.fault = ragged(len(row.cells), width)
            yield row

    def _records(self) -> Iterator[Row]:
        """Yield what stands between line ends outside quotes, without the blank ones."""
        feed = self._feed
        while True:
            feed.start()
            fault = None
            cells: list[str] = []
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except _Faulty as broken:
                fault = broken.fault
            except csv.Error as error:
                fault = Fault("csv", text("the row is not valid CSV ({reason})", reason=error))
            if fault is not None:
                yield self._broken(fault)
            elif any(cells):
                yield Row(0, feed.taken[0].number, cells)

    def _broken(self, fault: Fault) -> Row:
        first = self._feed.taken[0]
        if len(self._feed.taken) > 1:
            self._feed.give_back()
            fault = first.fault or _open_quote()
        return Row(0, first.number, [_shown(first)], fault=fault)

    def _first_line_of(self, row: Row) -> Row:
        first = self._feed.taken[0]
        self._feed.give_back()
        return Row(row.number, first.number, [_shown(first)], fault=_open_quote())


class _Faulty(Exception):  # it never leaves this module
    def __init__(self, fault: Fault) -> None:
        super().__init__()
        self.fault = fault


class _Feed:
    """The lines a CSV reader asks for; it keeps those of the present row so that they can be read again."""

    def __init__(self, lines: Lines) -> None:
        self._lines = iter(lines)
        self._again: deque[Line] = deque()
        self._size = 0
        self.taken: list[Line] = []

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self.taken.append(line)
        if line.fault is not None:
            raise _Faulty(line.fault)
        self._size += len(line.text)
        if len(self.taken) > 1 and (len(self.taken) > MAX_RECORD_LINES or self._size > MAX_LINE):
            raise _Faulty(_open_quote())
        return line.text

    def start(self) -> None:
        """Begin another row."""
        self.taken.clear()
        self._size = 0

    def give_back(self) -> None:
        """Let all lines of the present row but the first be read again."""
        self._again.extendleft(reversed(self.taken[1:]))


class ColumnRows(TextRows):
    """Rows whose values are separated by blanks, under a header, such as the CDNOW file's.

    Args:
        lines: The file's lines.
        file_name: What refusals call it.
    """

    def __init__(self, lines: Lines, file_name: str) -> None:
        super().__init__(lines)
        self._iterator = iter(lines)
        first = next((line for line in self._iterator if line.text.strip()), None)
        if first is not None and first.fault is not None:
            raise _bad_header(first.number, file_name, first.fault)
        self.header = checked_header(first.text.split() if first else [], file_name)

    def __iter__(self) -> Iterator[Row]:
        width = len(self.header)
        number = 0
        for line in self._iterator:
            cells = line.text.split()
            if not cells and line.fault is None:
                continue
            number += 1
            fault = line.fault or (None if len(cells) == width else ragged(len(cells), width))
            yield Row(number, line.number, cells if line.fault is None else [line.text], fault=fault)


class JsonRows(TextRows):
    """Rows of a JSON Lines file: one object a line.

    Args:
        lines: The file's lines.
    """

    def __iter__(self) -> Iterator[Row]:
        decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
        number = 0
        for line in self._lines:
            content = line.text.strip()
            if not content and line.fault is None:
                continue
            number += 1
            if line.fault is not None:
                yield Row(number, line.number, [content], fault=line.fault)
                continue
            try:
                yield Row(number, line.number, [content], decode(content))
            except (msgspec.DecodeError, ValueError, RecursionError) as error:
                reason = "nested too deeply" if isinstance(error, RecursionError) else error
                fault = Fault("json", text("the line is no JSON object ({reason})", reason=reason))
                yield Row(number, line.number, [content[:SHOWN]], fault=fault)


def ragged(found: int, expected: int) -> Fault:
    """Return the fault of a row whose number of values is not that of the header."""
    return Fault(
        "columns",
        text("the row has {found} values and the header {expected}", found=found, expected=expected),
    )


def _bad_header(line: int, file_name: str, fault: Fault) -> Refused:
    return Refused(
        text(
            "line {line} of {path}, the header, cannot be read: {reason}",
            line=line,
            path=file_name,
            reason=fault.message,
        )
    )


def _open_quote() -> Fault:
    return Fault("quote", text("a quote in the row is not closed, or closes too early"))


def _shown(line: Line) -> str:
    return line.text[:SHOWN].rstrip("\r\n")
