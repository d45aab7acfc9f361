"""An import before it runs: what the file is, what its columns mean, and how its rows are known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from zhike.errors import Refused
from zhike.i18n import Text, text
from zhike.settings import Settings
from zhike_imports.columns import guess, mapping
from zhike_imports.files import formats
from zhike_imports.files.encoding import Scan, scan
from zhike_imports.files.formats import Format, FormatKind
from zhike_imports.files.readers import Row, open_rows
from zhike_imports.schemas import Options, Plan

MAX_COLUMNS = 1_000
"""Of more nobody could say what each means."""
SAMPLE_ROWS = 1_000
SAMPLE_BYTES = 4 << 20
_OWN_TIMES = {"created_at", "updated_at"}


class Look(NamedTuple):
    """A file that was looked at.

    Args:
        plan: How it would be read.
        rows: Its first rows that can be read.
        problem: Why nothing can be made of its columns so far, or None.
        sheets: The sheets of a workbook, the one that is read first.
    """

    plan: Plan
    rows: Sequence[Row]
    problem: Text | None
    sheets: Sequence[str] = ()

    @property
    def sample(self) -> guess.Sample:
        """Its first values, by column."""
        return _sample(self.plan.header, self.rows, typed=self.plan.form.kind is FormatKind.JSON_LINES)


def prepare(path: Path, options: Options, settings: Settings) -> Plan:
    """Look at a file and decide how it is read.

    Args:
        path: The file.
        options: What the user asked for.
        settings: The deployment's zone.

    Raises:
        Refused: If the file is no text, has no usable header, or no event can be made of its columns; the
            message says what would mend it.
    """
    found = look(path, options, settings)
    if found.problem is not None:
        raise Refused(found.problem)
    return found.plan


def look(path: Path, options: Options, settings: Settings) -> Look:
    """Look at a file as `prepare` does, for somebody who is yet to say what its columns are."""
    found = scan(path, options.encoding)
    form = formats.detect(found, delimiter=options.delimiter, sheet=options.sheet)
    rows = open_rows(found, form)
    if form.sheet and form.sheet == rows.sheets[0]:  # so that rows are known by the same ids, named or not
        form = formats.detect(found)
    try:
        sampled = _first(rows)
    finally:
        rows.close()
    header = tuple(rows.header)
    if not sampled:
        raise Refused(text("{path} holds a header at most and no rows", path=path.name))
    if form.kind is FormatKind.JSON_LINES:
        if _are_items(sampled):
            return Look(_items_plan(found, form, options), sampled, None)
        header = tuple(dict.fromkeys(key for row in sampled for key in row.members or ()))
    if len(header) > MAX_COLUMNS:
        raise Refused(text("{path} has more than {limit} columns", path=path.name, limit=MAX_COLUMNS))
    sample = _sample(header, sampled, typed=form.kind is FormatKind.JSON_LINES)
    targets = _mapping(sample, options, settings)
    plan = Plan(found=found, form=form, options=options, header=header, mapping=targets)
    missing = [column for column in options.key if column not in targets]
    if missing:
        raise Refused(
            text(
                "--key: there is no column {column!r}; the columns are {columns}",
                column=missing[0],
                columns=", ".join(header),
            )
        )
    try:
        mapping.check(options.kind, targets, event=options.event)
    except Refused as error:
        return Look(plan, sampled, error.message, rows.sheets)
    return Look(plan, sampled, None, rows.sheets)


def look_at_any(path: Path, options: Options, settings: Settings) -> Look:
    """Look at a file of which nobody has said yet whether it is of events or of customers."""
    seen = look(path, options, settings)
    kind = _likely(seen, settings)
    return seen if kind == options.kind else look(path, msgspec.structs.replace(options, kind=kind), settings)


def _likely(seen: Look, settings: Settings) -> mapping.Kind:
    """Return what a file is of: of events if it has amounts, or a time that is not just a customer's own."""
    if seen.plan.takes_items:
        return "events" if any("occurred_at" in (row.members or ()) for row in seen.rows[:20]) else "customers"
    events = guess.guess(seen.sample, event=None, zone=settings.zone)
    own = {column for column, target in guess.guess_customers(seen.sample).items() if target.kind in _OWN_TIMES}
    for column, target in events.items():
        if target.kind in {"amount", "message_id"} or (target.kind == "occurred_at" and column not in own):
            return "events"
    return "customers"


def _first(rows: Iterable[Row]) -> list[Row]:
    """Return the first rows that can be read, in bounded memory."""
    sampled: list[Row] = []
    size = 0
    for seen, row in enumerate(rows, start=1):
        if row.fault is None:
            sampled.append(row)
        size += sum(map(len, row.cells))
        if seen >= SAMPLE_ROWS or size > SAMPLE_BYTES:
            break
    return sampled


def _are_items(sampled: Sequence[Row]) -> bool:
    return any(bytes((row.members or {}).get("identities", b""))[:1] == b"{" for row in sampled[:20])


def _items_plan(found: Scan, form: Format, options: Options) -> Plan:
    if options.maps or options.key:
        raise Refused(
            text(
                "each line of {path} is a whole event; --map and --key are for files with columns",
                path=found.path.name,
            )
        )
    return Plan(found=found, form=form, options=options, header=(), mapping={})


def _sample(columns: tuple[str, ...], sampled: Sequence[Row], *, typed: bool) -> guess.Sample:
    values: dict[str, list[str]] = {column: [] for column in columns}
    for row in sampled:
        if row.members is None:
            pairs: Iterable[tuple[str, str]] = zip(columns, row.cells, strict=True)
        else:
            pairs = ((key, bytes(raw).decode().strip('"')) for key, raw in row.members.items())
        for column, value in pairs:
            if value.strip():
                values[column].append(value.strip())
    return guess.Sample(columns, values, typed)


def _mapping(sample: guess.Sample, options: Options, settings: Settings) -> mapping.Mapping:
    if not options.maps and options.kind == "customers":
        return guess.guess_customers(sample)
    if not options.maps:
        return guess.guess(sample, event=options.event, zone=settings.zone)
    numbers = guess.number_columns(sample)
    # A key of JSON Lines may first come up later in the file, so any name can be mapped there.
    columns = () if sample.typed else sample.columns
    chosen: mapping.Mapping = {}
    for option in options.maps:
        column, target = mapping.parse_option(options.kind, option, columns, numbers=numbers)
        if column in chosen:
            raise Refused(text("--map names the column {column!r} twice", column=column))
        chosen[column] = target
    return guess.complete(options.kind, chosen, sample)
