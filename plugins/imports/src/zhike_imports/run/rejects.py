"""The file of rows that were set aside: why each was, and its original values, to be mended and imported."""

from __future__ import annotations

import contextlib
import csv
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from zhike.errors import Refused
from zhike.events.schemas import Rejection
from zhike.i18n import Text, text
from zhike_imports.columns.vocabulary import REJECT_COLUMNS
from zhike_imports.files.readers import Row

if TYPE_CHECKING:
    from zhike.orm import Connection

# Excel takes UTF-8 for Chinese only behind this mark.
_ENCODING = "utf-8-sig"
# What csv.reader takes at most in one value.
_LONGEST = 131_072
# Numbers, and texts as Excel's ="00123", are none: an import reads them as they are.
_FORMULA = re.compile(r"""[\t\r\n]*(?:=(?!"[^"]*"\Z)|@|[+-](?![\d\s.,-]*\Z))""")


class Rejects(Protocol):
    """Where a run puts the rows that it sets aside."""

    def go_on_after(self, row: int) -> None:
        """Keep what was put there about rows up to `row`, and drop what was beyond."""

    def place(self) -> int:
        """Return where it stands, for `rewind`."""

    def rewind(self, place: int) -> None:
        """Forget what was put there since `place` was returned."""

    async def put(
        self, connection: Connection, import_id: int, rows: Sequence[Row], rejected: Sequence[Rejection]
    ) -> None:
        """Put rejected rows there, in the transaction that counts them.

        Args:
            connection: In that transaction.
            import_id: The import.
            rows: The rows of a batch.
            rejected: Why some are set aside; `index` is a place in `rows`.
        """


def told(rows: Sequence[Row], rejected: Sequence[Rejection]) -> Iterator[tuple[int, int, str, Text, list[str]]]:
    """Return number, line, code, reason and original cells of each rejected row of a batch."""
    for rejection in sorted(rejected, key=lambda each: each.index):
        row = rows[rejection.index]
        yield row.number, row.line, rejection.code, rejection.message, row.cells


def columns(header: Sequence[str]) -> tuple[list[str], frozenset[int]]:
    """Return the names of original columns, and the places of those that an earlier run has put in front."""
    names = list(header) or ["zhike_original"]
    left_out = frozenset(index for index, name in enumerate(names) if name in REJECT_COLUMNS)
    return [name for index, name in enumerate(names) if index not in left_out], left_out


def kept(cells: Sequence[str], left_out: frozenset[int]) -> list[str]:
    """Return the cells of a row that are written, none longer than a CSV reader takes, and none a formula."""
    written = (cell[:_LONGEST] for place, cell in enumerate(cells) if place not in left_out)
    return ["'" + cell if _FORMULA.match(cell) else cell for cell in written]


class RejectFile:
    """A CSV file that exists only once a row was rejected.

    Values are written as they stood, for the mended file is meant to be imported again. What a spreadsheet would take
    for a formula has a `'` in front, as in our exports, which an import takes away again.

    Args:
        path: Where it is written; what stands there from another run is replaced.
        header: The original columns; empty for a file whose lines are kept whole.
        locale: Language of the reasons.
    """

    def __init__(self, path: Path, header: Sequence[str], locale: str) -> None:
        self.path = path
        self._names, self._left_out = columns(header)
        self._locale = locale
        self._file: IO[str] | None = None
        if not os.access(path.parent, os.W_OK):
            raise Refused(
                text("no file can be written in {folder}; say --rejected PATH", folder=path.parent.absolute())
            )

    def go_on_after(self, row: int) -> None:
        """Keep what an interrupted run wrote about rows up to `row`, and drop what it wrote beyond."""
        if row == 0 or not self._is_ours():
            return
        fresh = self.path.with_name(self.path.name + ".new")
        with (
            self.path.open(encoding=_ENCODING, newline="") as old,
            fresh.open("w", encoding=_ENCODING, newline="") as new,
        ):
            writer = csv.writer(new)
            for place, values in enumerate(csv.reader(old)):
                whole = len(values) >= len(REJECT_COLUMNS)
                if whole and (place == 0 or (values[0].isdigit() and int(values[0]) <= row)):
                    writer.writerow(values)
        fresh.replace(self.path)
        self._file = self.path.open("a", encoding="utf-8", newline="")

    def _is_ours(self) -> bool:
        if not self.path.exists():
            return False
        with self.path.open(encoding=_ENCODING, errors="replace") as old:
            return old.readline(200).startswith(",".join(REJECT_COLUMNS))

    async def put(
        self, connection: Connection, import_id: int, rows: Sequence[Row], rejected: Sequence[Rejection]
    ) -> None:
        """Add rejected rows and hand them to the operating system."""
        if not rejected:
            return
        try:
            self._write(self._open(), rows, rejected)
        except OSError as error:
            raise self._refused(error) from None

    def _write(self, file: IO[str], rows: Sequence[Row], rejected: Sequence[Rejection]) -> None:
        writer = csv.writer(file)
        for number, line, code, reason, cells in told(rows, rejected):
            writer.writerow([number, line, code, reason.render(self._locale), *kept(cells, self._left_out)])
        file.flush()

    def place(self) -> int:
        """Return the size so far, for `rewind`."""
        return os.fstat(self._file.fileno()).st_size if self._file else 0

    def rewind(self, place: int) -> None:
        """Forget what was written since `place` was returned: its transaction did not come to be."""
        if self._file is not None:
            self._file.truncate(place)
            self._file.seek(0, os.SEEK_END)
            if place == 0:
                self._write_header(self._file)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # a full disk has been told of
                self._file.close()

    def _refused(self, error: OSError) -> Refused:
        return Refused(text("{path} cannot be written: {reason}", path=self.path, reason=error.strerror or error))

    def _open(self) -> IO[str]:
        if self._file is None:
            self._file = self.path.open("w", encoding="utf-8", newline="")
            self._write_header(self._file)
        return self._file

    def _write_header(self, file: IO[str]) -> None:
        file.write("\ufeff")
        csv.writer(file).writerow([*REJECT_COLUMNS, *self._names])
        file.flush()
