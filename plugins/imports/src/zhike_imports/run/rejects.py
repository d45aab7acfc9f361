"""The file of rows that were set aside: why each was, and its original values, to be mended and imported."""

from __future__ import annotations

import contextlib
import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from zhike.errors import Refused
from zhike.events.schemas import Rejection
from zhike.i18n import text
from zhike_imports.columns.vocabulary import REJECT_COLUMNS
from zhike_imports.files.readers import Row

# Excel takes UTF-8 for Chinese only behind this mark.
_ENCODING = "utf-8-sig"
# What csv.reader takes at most in one value.
_LONGEST = 131_072


class RejectFile:
    """A CSV file that exists only once a row was rejected.

    Values are written exactly as they stood, for the mended file is meant to be imported again: a value that
    begins with `=` is not disarmed, so a spreadsheet may take it for a formula.

    Args:
        path: Where it is written; what stands there from another run is replaced.
        header: The original columns; empty for a file whose lines are kept whole.
        locale: Language of the reasons.
    """

    def __init__(self, path: Path, header: Sequence[str], locale: str) -> None:
        self.path = path
        self._header = list(header) or ["zhike_original"]
        self._left_out = {index for index, name in enumerate(self._header) if name in REJECT_COLUMNS}
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

    def write(self, rows: Sequence[Row], rejected: Sequence[Rejection]) -> None:
        """Add rejected rows and hand them to the operating system.

        Args:
            rows: The rows of a batch.
            rejected: Why some are set aside; `index` is a place in `rows`.
        """
        if not rejected:
            return
        try:
            self._write(self._open(), rows, rejected)
        except OSError as error:
            raise self._refused(error) from None

    def _write(self, file: IO[str], rows: Sequence[Row], rejected: Sequence[Rejection]) -> None:
        writer = csv.writer(file)
        for rejection in sorted(rejected, key=lambda each: each.index):
            row = rows[rejection.index]
            cells = [cell[:_LONGEST] for place, cell in enumerate(row.cells) if place not in self._left_out]
            writer.writerow([row.number, row.line, rejection.code, rejection.message.render(self._locale), *cells])
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
        columns = [name for place, name in enumerate(self._header) if place not in self._left_out]
        csv.writer(file).writerow([*REJECT_COLUMNS, *columns])
        file.flush()
