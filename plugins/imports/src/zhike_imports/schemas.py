"""What an import is made of: what was asked for, the plan, its batches, what came of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from zhike.api import Id
from zhike.events.schemas import CheckedEvent, Rejection
from zhike_imports.columns import mapping
from zhike_imports.files import formats
from zhike_imports.files.encoding import Scan
from zhike_imports.files.formats import Format
from zhike_imports.files.readers import Row

ALIKE_SHARE = 0.05
MANAGE = "imports.manage"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the user asked for.

    Args:
        kind: What the file is of.
        event: Name of the events, unless a column names them.
        maps: `column=target` texts; empty to guess.
        key: Columns by whose values rows are known across files; empty for their place in this file.
        source: Source of rows that have none of their own.
        encoding: Codec of the file, or None to find out.
        delimiter: What stands between two values of a line, a blank for any number of them; None to find out.
        sheet: The sheet of a workbook; None for the first one that is shown and holds something.
    """

    kind: mapping.Kind = "events"
    event: str | None = None
    maps: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    source: str = ""
    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None


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

    @property
    def content(self) -> str:
        """Hex digest of what is read: of the file, or of one of its sheets."""
        if not self.form.sheet:
            return self.found.sha256
        return hashlib.sha256(f"{self.found.sha256}/{self.form.sheet}".encode()).hexdigest()

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


class Group(msgspec.Struct):
    """Rows that are set aside for one reason.

    Args:
        code: A stable word for programs.
        rows: How many.
        line: Line of the first one.
        message: What is wrong with it.
    """

    code: str
    rows: int
    line: int
    message: str


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
        groups: How many rows would be rejected by code, and the first one of each.
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
    groups: dict[str, tuple[int, Row, Rejection]] = {}

    @property
    def looks_known(self) -> bool:
        """Whether so many rows equal stored events that the file was probably imported before."""
        return self.alike > self.rows * ALIKE_SHARE


class Reason(msgspec.Struct, frozen=True):
    """Why a row would be set aside.

    Args:
        line: Its line in the file.
        code: A stable word for programs.
        message: What is wrong.
    """

    line: int
    code: str
    message: str


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a dry run has found, as it is shown; see `Preview`.

    Args:
        rows: Data rows that were read.
        fresh: Rows that would be stored.
        stored: Rows whose id is stored already.
        alike: Further rows that equal a stored event.
        rejected: Rows that would be set aside.
        created: Customers that would be new.
        changed: Customers that would be changed.
        looks_known: Whether the file was probably imported before.
        table: The first rows as they would be read, under a header.
        reasons: Why the first rejected rows would be.
        groups: How many rows would be rejected for which reason, most first.
    """

    rows: int
    fresh: int
    stored: int
    alike: int
    rejected: int
    created: int
    changed: int
    looks_known: bool
    table: list[list[str]]
    reasons: list[Reason]
    groups: list[Group] = []


_Text = Annotated[str, Meta(max_length=500)]
_Texts = Annotated[tuple[_Text, ...], Meta(max_length=1000)]


class Said(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said by HTTP of a file and its columns.

    Args:
        kind: What it is of.
        event: Name of the events, unless a column names them.
        maps: Column to what it becomes, as `--map` has it; empty to guess. Columns not named are kept as they are.
        key: Columns by whose values rows are known across files.
        source: Source of rows that have none of their own.
        encoding: The file's encoding, or null to find out.
        delimiter: What stands between two values of a line, a blank for any number of them; null to find out.
        sheet: The sheet of a workbook; null for the first one that is shown and holds something.
    """

    kind: mapping.Kind = "events"
    event: _Text | None = None
    maps: Annotated[dict[_Text, _Text], Meta(max_length=1000)] = {}
    key: _Texts = ()
    source: _Text = ""
    encoding: _Text | None = None
    delimiter: formats.Delimiter | None = None
    sheet: _Text | None = None

    @property
    def options(self) -> Options:
        """The same as the command takes it."""
        return Options(
            kind=self.kind,
            event=self.event or None,
            maps=tuple(f"{column}={target}" for column, target in self.maps.items()),
            key=self.key,
            source=self.source,
            encoding=self.encoding or None,
            delimiter=self.delimiter,
            sheet=self.sheet or None,
        )


class Asked(Said, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `POST /imports/preview` takes.

    Args:
        file_id: The file that was uploaded.
    """

    file_id: Id


class StartRequest(Asked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `POST /imports` takes.

    Args:
        dry_run: Whether nothing is written, and only counted what would be.
    """

    dry_run: bool = False


class ProfileRequest(Said, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `POST /imports/profiles` takes.

    Args:
        name: The profile's name; one that has it is replaced.
        header: The columns of the files it is for, in their order.
    """

    name: Annotated[str, Meta(min_length=1, max_length=100, pattern=r"\A[^\x00-\x1f]*[^\x00-\x20][^\x00-\x1f]*\Z")]
    header: Annotated[_Texts, Meta(min_length=1)]
