"""Reads the log once per process for all consumers: which batches there are, and the events that somebody needs."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from asyncpg import Record

from zhike.consumers.sequencer import indexed
from zhike.contracts import RecordedEvent
from zhike.money import to_major
from zhike.orm import Database

BLOCK = 512
"""Batches that are read and kept together."""
BLOCKS = 32
"""Blocks kept."""
CACHE_BYTES = 32 * 1024 * 1024
"""Room for events that several consumers need, as estimated."""
EVENT_BYTES = 1_000
"""Estimated size of an event without its properties."""
STRETCH = 5_000
"""Events whose batches are looked through at one go."""

_BATCHES = """
SELECT position, batch_id, names, shards, size FROM log_batch WHERE position >= $1 ORDER BY position LIMIT $2
"""
_COLUMNS = """
SELECT
  id, batch_id, message_id, name, behaviour, customer_id, shard, occurred_at, recorded_at, amount, currency,
  properties AS properties_json, source, origin, causation_id, depth, live, import_id
FROM event
"""
# IS TRUE keeps the index on names out of it: before the table is analysed for the first time that looks good to the
# planner, who would then read the entries of all events ever stored.
# Few erasures are under way at a time, and those that are done have left no events.
_THERE = "(customer_id = ANY (ARRAY(SELECT unnest(customers) FROM erasure WHERE state <> 'done'))) IS NOT TRUE"
_EVENTS = (
    f"{_COLUMNS}WHERE batch_id = ANY($1::bigint[]) AND ($2::text[] IS NULL OR (name = ANY($2)) IS TRUE) AND {_THERE} "
    "ORDER BY batch_id, id"
)
_EVENT = f"{_COLUMNS}WHERE batch_id = $1 AND id = $2 AND {_THERE}"

Place = tuple[int, int]
"""Position and event id: batches before that position are done, and of that one the events up to that id."""


class Batch(NamedTuple):
    """A batch that has its position.

    Args:
        position: Where it is in the log.
        batch_id: Its id.
        names: Names of its events.
        shards: Bit n is set if an event of shard n is in it.
        size: How many events it has.
    """

    position: int
    batch_id: int
    names: frozenset[str]
    shards: int
    size: int


class Want(NamedTuple):
    """Which events somebody reads the log for.

    Args:
        names: Their names, or None for all.
        shard_from: The first shard.
        shard_to: The last shard.
    """

    names: frozenset[str] | None
    shard_from: int
    shard_to: int

    def among(self, batches: Sequence[Batch]) -> list[bool]:
        """Tell for each batch whether one of these events may be in it."""
        shards, names = (1 << (self.shard_to + 1)) - (1 << self.shard_from), self.names
        return [bool(b.shards & shards) and (names is None or not names.isdisjoint(b.names)) for b in batches]

    def takes(self, event: RecordedEvent) -> bool:
        """Tell whether an event is one of these."""
        return self.shard_from <= event.shard <= self.shard_to and (self.names is None or event.name in self.names)


class LogReader:
    """The log as one process has read it.

    Args:
        db: Where it is.
        names: Names of events that anybody here wants, or None for all; others are not fetched.
    """

    def __init__(self, db: Database, names: frozenset[str] | None) -> None:
        self._db = db
        self._names = names if names is None else sorted(names)
        self._lock = asyncio.Lock()
        self._blocks: dict[int, list[Batch]] = {}
        self._events: dict[int, list[RecordedEvent]] = {}
        self._bytes = 0
        self.erasures = 0
        """The number of the newest erasure that is known of."""
        self.head = 0
        """The highest position seen."""

    async def look(self) -> bool:
        """Read what came after the head; return whether anything did."""
        async with self._lock:
            before, head = -1, self.head
            if not head:
                async with indexed(self._db) as connection:
                    self.head = head = await connection.fetchval("SELECT coalesce(max(position), 0) FROM log_batch")
                return bool(head)
            while before < self.head:
                before = self.head
                await self._read(self.head + 1)
            return self.head > head

    async def stretch(
        self, start: Place, want: Want, size: int, until: int | None = None
    ) -> tuple[list[RecordedEvent], Place]:
        """Return the next events that somebody wants, and the place after them.

        Args:
            start: The place to read from.
            want: Which events.
            size: Most events returned.
            until: The position to stop before, or None.

        Returns:
            Events in the order of the log. None of them does not mean that this is the end of the log, only that
            there are none before the place returned.
        """
        position, room = start[0], STRETCH
        events: list[RecordedEvent] = []
        while len(events) < size and room > 0 and (batches := await self._batches(position)):
            chosen: list[Batch] = []
            expected = len(events)
            for batch, concerns in zip(batches, want.among(batches), strict=True):
                if until is not None and batch.position >= until:
                    position = until
                    break
                if expected >= size or room <= 0:
                    break
                position = batch.position + 1
                room -= 1
                if concerns:
                    chosen.append(batch)
                    expected += batch.size
                    room -= batch.size
            for batch in chosen:
                for event in await self._of(batch, chosen):
                    if not want.takes(event) or (event.id <= start[1] and batch.position == start[0]):
                        continue
                    if len(events) == size:
                        return events, (batch.position, event.id - 1)
                    events.append(event)
            if position == until:
                break
        return events, (position, start[1] if position == start[0] else 0)

    def forget(self, batches: Iterable[int]) -> None:
        """Read the events of these batches anew when they are next needed: their customers have changed."""
        for batch_id in batches:
            self._bytes -= sum(map(_bytes, self._events.pop(batch_id, ())))

    def renew(self, erasures: int) -> None:
        """Read all events anew, since customers were erased.

        Args:
            erasures: The number of the newest erasure; they are numbered in the order of their commits.
        """
        self.forget(list(self._events))
        self.erasures = max(self.erasures, erasures)

    async def event(self, batch_id: int, event_id: int) -> RecordedEvent | None:
        """Return one event as it is stored now, or None if it is no more."""
        async with self._db.connection() as connection:
            row = await connection.fetchrow(_EVENT, batch_id, event_id)
        return _event(row) if row else None

    async def _batches(self, position: int) -> Sequence[Batch]:
        """Return batches from a position on, all of one block; none at the end of the log."""
        if position > self.head:
            return ()
        number = position // BLOCK
        last = min(self.head, (number + 1) * BLOCK - 1)
        block = self._blocks.get(number)
        if not block or block[0].position > position or block[-1].position < last:
            async with self._lock:
                block = self._blocks.get(number)
                if not block or block[0].position > position or block[-1].position < last:
                    self._blocks.pop(number, None)
                    block = await self._read(number * BLOCK)
        return block[bisect_left(block, (position,)) :]

    async def _read(self, position: int) -> list[Batch]:
        """Read the next `BLOCK` batches from a position on, wherever they begin: old ones may have been deleted."""
        async with indexed(self._db) as connection:
            rows = await connection.fetch(_BATCHES, position, BLOCK)
        batches = [Batch(row[0], row[1], frozenset(row[2]), row[3] & (2**64 - 1), row[4]) for row in rows]
        for batch in batches:
            block = self._blocks.setdefault(batch.position // BLOCK, [])
            if not block or block[-1].position < batch.position:
                block.append(batch)
            self.head = max(self.head, batch.position)
        while len(self._blocks) > BLOCKS:
            del self._blocks[next(iter(self._blocks))]
        return batches

    async def _of(self, batch: Batch, chosen: Sequence[Batch]) -> list[RecordedEvent]:
        """Return the events of a batch, reading those of all `chosen` with it."""
        if batch.batch_id not in self._events:
            async with self._lock:
                # Looked up again: while others are read, what is kept may be dropped.
                if batch.batch_id not in self._events:
                    await self._fetch([each.batch_id for each in chosen if each.batch_id not in self._events])
        return self._events[batch.batch_id]

    async def _fetch(self, batches: list[int]) -> None:
        known = -1
        while known != self.erasures:
            known = self.erasures
            async with indexed(self._db) as connection:
                rows = await connection.fetch(_EVENTS, batches, self._names)
        while self._events and self._bytes > CACHE_BYTES:
            self.forget([next(iter(self._events))])
        found: dict[int, list[RecordedEvent]] = {batch_id: [] for batch_id in batches}
        for row in rows:
            found[row[1]].append(_event(row))
        self._events |= found
        self._bytes += sum(_bytes(event) for events in found.values() for event in events)


def _bytes(event: RecordedEvent) -> int:
    return EVENT_BYTES + len(event.properties_json)


def _event(row: Record) -> RecordedEvent:
    values = dict(row)
    if values["amount"] is not None:
        values["amount"] = to_major(values["amount"], values["currency"])
    return RecordedEvent(**values)
