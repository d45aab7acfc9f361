"""What an import is made of: what was asked for, the plan, its batches, what came of it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from zhike.events.schemas import CheckedEvent, Rejection
from zhike_imports.columns import mapping
from zhike_imports.files.encoding import Scan
from zhike_imports.files.formats import Format
from zhike_imports.files.readers import Row

ALIKE_SHARE = 0.05


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the user asked for.

    Args:
        kind: What the file is of.
        event: Name of the events, unless a column names them.
        maps: `column=target` texts; empty to guess.
        key: Columns by whose values rows are known across files; empty for their place in this file.
        source: Source of rows that have none of their own.
        encoding: Codec of the file, or None to find out.
    """

    kind: mapping.Kind = "events"
    event: str | None = None
    maps: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    source: str = ""
    encoding: str | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """An import that can run.

    Args:
        found: The scanned file.
        form: Its format.
        options: What the user asked for.
        header: The file's columns; of JSON Lines those of its first rows.
        mapping: Every column's target; empty when each line is an event as `POST /events` takes it, or a customer as
            the export writes it.
    """

    found: Scan
    form: Format
    options: Options
    header: tuple[str, ...]
    mapping: mapping.Mapping

    @property
    def takes_items(self) -> bool:
        """Whether each line is a whole event or customer."""
        return not self.mapping

    def signature(self) -> dict[str, object]:
        """Return what two runs over one file must share for one to go on where the other stopped."""
        return {
            "event": self.options.event,
            "key": list(self.options.key),
            "source": self.options.source,
            "encoding": self.found.encoding,
            "format": str(self.form),
            "mapping": mapping.described(self.mapping),
        }


class Batch(msgspec.Struct):
    """Consecutive rows.

    Args:
        rows: The rows as they stand in the file.
        events: What can be stored; `index` is a place in `rows`.
        rejected: What cannot be; `index` is a place in `rows`.
        position: Bytes of the file read up to the last row.
    """

    rows: list[Row]
    events: Sequence[CheckedEvent]
    rejected: list[Rejection]
    position: int

    @property
    def last(self) -> int:
        """Number of its last row."""
        return self.rows[-1].number


class Run(msgspec.Struct):
    """One import.

    Args:
        id: Its id; events name it.
        rows_done: Number of the last row that is decided, stored or rejected.
        accepted: Rows stored.
        duplicate: Rows whose id was stored before.
        rejected: Rows set aside.
    """

    id: int
    rows_done: int
    accepted: int
    duplicate: int
    rejected: int

    @property
    def origin(self) -> str:
        """The origin of its events."""
        return f"import:{self.id}"


class Preview(msgspec.Struct):
    """What an import would do.

    Args:
        rows: Data rows of the file.
        fresh: Rows that would be stored.
        stored: Rows whose id is stored already.
        alike: Further rows that equal a stored event in customer, name, time and amount.
        rejected: Rows that would be set aside.
        created: Customers that would be new.
        changed: Customers that would be changed.
        table: The first rows as they would be read, under a header.
        reasons: The first rejected rows with their reasons.
    """

    rows: int = 0
    fresh: int = 0
    stored: int = 0
    alike: int = 0
    rejected: int = 0
    created: int = 0
    changed: int = 0
    table: list[list[str]] = []
    reasons: list[tuple[Row, Rejection]] = []

    @property
    def looks_known(self) -> bool:
        """Whether so many rows equal stored events that the file was probably imported before."""
        return self.alike > self.rows * ALIKE_SHARE
