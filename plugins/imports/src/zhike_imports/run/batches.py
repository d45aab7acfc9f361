"""Stretches of a file as checked events, small enough for one transaction and for the memory."""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import datetime

import msgspec

from zhike import clock
from zhike.events.checks import UNREGISTERED, KnownTypes, check_items
from zhike.events.decode import decode_events
from zhike.events.schemas import IncomingEvent, Rejection
from zhike.i18n import Text
from zhike.settings import Settings
from zhike_imports.files.readers import Row, open_rows
from zhike_imports.run.assemble import Assembler, RowFault, RowIds
from zhike_imports.run.people import NOBODY, CustomerItems, CustomerRows, People, Said
from zhike_imports.schemas import Batch, Plan

BATCH_ROWS = 2_000
BATCH_BYTES = 4 << 20


def read(
    plan: Plan,
    settings: Settings,
    *,
    after: int = 0,
    types: KnownTypes = UNREGISTERED,
    people: People = NOBODY,
) -> Generator[Batch, None, None]:
    """Read a file in batches.

    Args:
        plan: How it is read.
        settings: The deployment's settings.
        after: Number of the last row to pass over.
        types: The registered event types.
        people: Whom customers can belong to.

    Yields:
        Batches of at most 2,000 rows or, when rows are long, about 4 MiB.
    """
    source = open_rows(plan.found, plan.form)
    check = _checker(plan, settings, types, people)
    try:
        rows: list[Row] = []
        size = 0
        for row in source:
            if row.number <= after:
                continue
            rows.append(row)
            size += sum(map(len, row.cells))
            if len(rows) >= BATCH_ROWS or size >= BATCH_BYTES:
                yield check(Batch(rows, [], [], source.position), clock.now())
                rows, size = [], 0
        if rows:
            yield check(Batch(rows, [], [], source.position), clock.now())
    finally:
        source.close()


_Checker = Callable[[Batch, datetime], Batch]
"""Judges the rows of a batch: fills in what can be stored and what cannot."""


def _checker(plan: Plan, settings: Settings, types: KnownTypes, people: People) -> _Checker:
    options = plan.options
    if options.kind == "events":
        return _ItemChecker(plan, settings, types) if plan.takes_items else _RowChecker(plan, settings, types)
    if plan.takes_items:
        return _CustomerChecker(CustomerItems(plan, settings, people), settings, types)
    return _CustomerChecker(CustomerRows(plan, settings, people), settings, types)


class _CustomerChecker:
    def __init__(self, source: CustomerRows | CustomerItems, settings: Settings, types: KnownTypes) -> None:
        self._source = source
        self._settings = settings
        self._types = types

    def __call__(self, batch: Batch, now: datetime) -> Batch:
        made: list[tuple[int, IncomingEvent, None]] = []
        besides: dict[int, Said] = {}
        for index, row in enumerate(batch.rows):
            try:
                if row.fault is not None:
                    raise RowFault(row.fault)
                said = self._source.said(row)
                made.append((index, said.event, None))
                if said.further or any(said.own):
                    besides[index] = said
            except RowFault as error:
                batch.rejected.append(Rejection(index, error.fault.code, error.fault.message))
        batch.events, refused = check_items(made, now=now, settings=self._settings, careful=True, types=self._types)
        for event in batch.events if besides else ():
            if (found := besides.get(event.index)) is not None:
                event.identities += found.further
                event.own = found.own
        batch.rejected += map(placed, refused)
        return batch


class _RowChecker:
    def __init__(self, plan: Plan, settings: Settings, types: KnownTypes) -> None:
        options = plan.options
        self._settings = settings
        self._types = types
        self._assembler = Assembler(plan, RowIds(plan.content, options.key), settings)

    def __call__(self, batch: Batch, now: datetime) -> Batch:
        made: list[tuple[int, IncomingEvent, None]] = []
        for index, row in enumerate(batch.rows):
            try:
                if row.fault is not None:
                    raise RowFault(row.fault)
                made.append((index, self._assembler.event(row), None))
            except RowFault as error:
                batch.rejected.append(Rejection(index, error.fault.code, error.fault.message))
        batch.events, refused = check_items(made, now=now, settings=self._settings, careful=True, types=self._types)
        batch.rejected += map(placed, refused)
        return batch


class _ItemChecker:
    """Checks lines that are events as `POST /events` takes them, through the same decoder."""

    def __init__(self, plan: Plan, settings: Settings, types: KnownTypes) -> None:
        self._ids = RowIds(plan.content)
        self._event, self._source = plan.options.event, plan.options.source
        self._settings = settings
        self._types = types

    def __call__(self, batch: Batch, now: datetime) -> Batch:
        places: list[int] = []
        items: list[bytes] = []
        for index, row in enumerate(batch.rows):
            if row.members is None:
                assert row.fault is not None  # noqa: S101  # a reader gives one or the other
                batch.rejected.append(Rejection(index, row.fault.code, row.fault.message))
                continue
            places.append(index)
            items.append(self._item(row, row.members))
        body = b'{"events":[' + b",".join(items) + b"]}"
        events, refused = decode_events(body, "json", now=now, settings=self._settings, types=self._types)
        for event in events:
            event.index = places[event.index]
        for rejection in refused:
            rejection.index = places[rejection.index]
        batch.events = events
        batch.rejected += map(placed, refused)
        return batch

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
