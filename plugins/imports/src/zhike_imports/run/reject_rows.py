"""Rows of an uploaded file that were set aside: kept with the run, and handed out as the file to be mended."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING

from zhike.desk.texts import encode_text
from zhike_imports.columns.vocabulary import REJECT_COLUMNS
from zhike_imports.run.listing import told_in
from zhike_imports.run.rejects import columns, kept, told
from zhike_imports.schemas import Group

if TYPE_CHECKING:
    from zhike.events.schemas import Rejection
    from zhike.orm import Connection, Database
    from zhike_imports.files.readers import Row

_PAGE = 500
"""Rows that are read at a time."""
_STORE = "INSERT INTO imports_reject (import_id, number, line, code, message, cells) VALUES ($1, $2, $3, $4, $5, $6)"
_READ = """
SELECT number, line, code, message, cells FROM imports_reject
WHERE import_id = $1 AND number > $2 ORDER BY number LIMIT $3
"""

_FIRST = "SELECT line, message, cells FROM imports_reject WHERE import_id = $1 ORDER BY number LIMIT $2"
_GROUPS = """
SELECT code, count(*) AS rows, (array_agg(line ORDER BY number))[1] AS line,
  (array_agg(message ORDER BY number))[1] AS message
FROM imports_reject WHERE import_id = $1 GROUP BY code ORDER BY count(*) DESC, code
"""


class RejectRows:
    """Rejected rows of a file that was uploaded: in the database, where whoever goes on with the run finds them."""

    def go_on_after(self, row: int) -> None:
        """Do nothing: what did not come to be is not there."""

    def place(self) -> int:
        """Return nothing of use, for the same reason."""
        return 0

    def rewind(self, place: int) -> None:
        """Do nothing either."""

    async def put(
        self, connection: Connection, import_id: int, rows: Sequence[Row], rejected: Sequence[Rejection]
    ) -> None:
        """Store rejected rows."""
        await connection.executemany(
            _STORE,
            [
                (import_id, number, line, code, encode_text(reason), [_storable(cell) for cell in cells])
                for number, line, code, reason, cells in told(rows, rejected)
            ],
        )


async def pieces(db: Database, import_id: int, header: Sequence[str], locale: str) -> AsyncGenerator[bytes, None]:
    """Read what `RejectRows` has stored as the CSV file that `RejectFile` would have written.

    Args:
        db: Where it is.
        import_id: The import.
        header: The columns of its file.
        locale: Language of the reasons.

    Yields:
        The file, piece by piece.
    """
    names, left_out = columns(header)
    last, lines = 0, [[*REJECT_COLUMNS, *names]]
    mark = "\ufeff"
    while lines:
        out = io.StringIO()
        csv.writer(out).writerows(lines)
        yield (mark + out.getvalue()).encode()
        mark = ""
        async with db.connection() as connection:
            found = await connection.fetch(_READ, import_id, last, _PAGE)
        lines = [[str(row[0]), str(row[1]), row[2], told_in(row[3], locale), *kept(row[4], left_out)] for row in found]
        last = found[-1][0] if found else last


async def first(db: Database, import_id: int, limit: int, locale: str) -> list[tuple[int, str, list[str]]]:
    """Return line, reason and cells of the first rows that an import has set aside."""
    async with db.connection() as connection:
        rows = await connection.fetch(_FIRST, import_id, limit)
    return [(line, told_in(reason, locale), cells) for line, reason, cells in rows]


async def groups(db: Database, import_id: int, locale: str) -> list[Group]:
    """Return how many rows an import has set aside for which reason, most first."""
    async with db.connection() as connection:
        rows = await connection.fetch(_GROUPS, import_id)
    return [Group(**{**row, "message": told_in(row["message"], locale)}) for row in rows]


def _storable(value: str) -> str:
    return value.replace("\0", "\ufffd")
