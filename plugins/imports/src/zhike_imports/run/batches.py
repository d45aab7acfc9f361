"""Stretches of a file as checked events, small enough for one transaction and for the memory."""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime

import msgspec

from zhike import clock
from zhike.events.checks import UNREGISTERED, KnownTypes, check_items
from zhike.events.decode import decode_events
from zhike.events.schemas import CheckedEvent, IncomingEvent, Rejection
from zhike.i18n import Text
from zhike.settings import Settings
from zhike_imports.files.readers import Row, open_rows
from zhike_imports.run.assemble import Assembler, RowFault, RowIds
from zhike_imports.schemas import Batch, Plan

BATCH_ROWS = 2_000
BATCH_BYTES = 4 << 20


def read(
    plan: Plan, settings: Settings, *, after: int = 0, types: KnownTypes = UNREGISTERED
) -> Generator[Batch, None, None]:
    """Read a file in batches.

    Args:
        plan: How it is read.
        settings: The deployment's settings.
        after: Number of the last row to pass over.
        types: The registered event types.

    Yields:
        Batches of at most 2,000 rows or, when rows are long, about 4 MiB.
    """
    source = open_rows(plan.found, plan.form)
    check = (_ItemChecker if plan.takes_items else _RowChecker)(plan, settings, types)
    try:
        rows: list[Row] = []
        size = 0
        for row in source:
            if row.number <= after:
                continue
            rows.append(row)
            size += sum(map(len, row.cells))
            if len(rows) >= BATCH_ROWS or size >= BATCH_BYTES:
                yield Batch(rows, *check(rows, clock.now()), source.position)
                rows, size = [], 0
        if rows:
            yield Batch(rows, *check(rows, clock.now()), source.position)
    finally:
        source.close()


class _RowChecker:
    def __init__(self, plan: Plan, settings: Settings, types: KnownTypes) -> None:
        options = plan.options
        self._settings = settings
        self._types = types
        self._assembler = Assembler(
            plan.mapping,
            plan.header,
            ids=RowIds(plan.found.sha256, options.key),
            key=options.key,
            event=options.event,
            source=options.source,
            settings=settings,
        )

    def __call__(self, rows: list[Row], now: datetime) -> tuple[list[CheckedEvent], list[Rejection]]:
        made: list[tuple[int, IncomingEvent, None]] = []
        rejected: list[Rejection] = []
        for index, row in enumerate(rows):
            try:
                if row.fault is not None:
                    raise RowFault(row.fault)
                made.append((index, self._assembler.event(row), None))
            except RowFault as error:
                rejected.append(Rejection(index, error.fault.code, error.fault.message))
        events, refused = check_items(made, now=now, settings=self._settings, careful=True, types=self._types)
        return events, rejected + [placed(rejection) for rejection in refused]


class _ItemChecker:
    """Checks lines that are events as `POST /events` takes them, through the same decoder."""

    def __init__(self, plan: Plan, settings: Settings, types: KnownTypes) -> None:
        self._ids = RowIds(plan.found.sha256)
        self._event, self._source = plan.options.event, plan.options.source
        self._settings = settings
        self._types = types

    def __call__(self, rows: list[Row], now: datetime) -> tuple[list[CheckedEvent], list[Rejection]]:
        rejected: list[Rejection] = []
        places: list[int] = []
        items: list[bytes] = []
        for index, row in enumerate(rows):
            if row.members is None:
                assert row.fault is not None  # noqa: S101  # a reader gives one or the other
                rejected.append(Rejection(index, row.fault.code, row.fault.message))
                continue
            places.append(index)
            items.append(self._item(row, row.members))
        body = b'{"events":[' + b",".join(items) + b"]}"
        events, refused = decode_events(body, "json", now=now, settings=self._settings, types=self._types)
        for event in events:
            event.index = places[event.index]
        for rejection in refused:
            rejection.index = places[rejection.index]
        return events, rejected + [placed(rejection) for rejection in refused]

    def _item(self, row: Row, members: dict[str, msgspec.Raw]) -> bytes:
        """Return a line's object with what the whole file gives to every event."""
        given = {
            "message_id": self._ids.of(row, "", ()),
            "name": self._event,
            "source": self._source or None,
        }
        added = {
            key: value
            for key, value in given.items()
            if value is not None and bytes(members.get(key, b"null")) == b"null"
        }
        return msgspec.json.encode({**members, **added})


def placed(rejection: Rejection) -> Rejection:
    """Name the field alone: its event's place in a batch means nothing to a reader."""
    message = rejection.message
    where = message.params.get("where")
    if isinstance(where, str):
        message = Text(message.msgid, {**message.params, "where": where.partition("].")[2] or "event"})
    return Rejection(rejection.index, rejection.code, message)
