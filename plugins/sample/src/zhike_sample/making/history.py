"""Stores the story through ingest, as if each day's events had come in on that day."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from zhike.access.actor import Actor
from zhike.events import ingest
from zhike.events.checks import KnownTypes
from zhike.events.decode import decode_events
from zhike.events.schemas import CheckedEvent
from zhike_sample.story.days import Days
from zhike_sample.story.diary import Entry, Note
from zhike_sample.story.lives import Chapter, chapters

if TYPE_CHECKING:
    from zhike.contracts import DemoContext

ORIGIN = Actor.command("demo").origin
LARGEST = 2_000
"""Events of a batch."""
_SPAN = 2 * 86_400
"""Seconds of a batch: so much later than it happened is an event recorded at most."""
_REPORTS = 8
"""Lines about the progress, for a group of customers."""


class Batch(NamedTuple):
    """What one or two transactions store.

    Args:
        entries: As they are told.
        notes: What else was noted by then.
        events: The entries, checked.
    """

    entries: Sequence[Entry]
    notes: Sequence[Note]
    events: Sequence[CheckedEvent] = ()


async def make(company: DemoContext) -> None:
    """Store the events of the company; those that are there already stay as they are."""
    platform = company.platform
    fields = await platform.customer_fields.renew(now=True)
    types = KnownTypes(platform.registry.event_types, fields)

    def read(batches: Iterator[Batch]) -> Batch | None:
        if (batch := next(batches, None)) is None:
            return None
        body = b'{"events":[' + b",".join([entry.json for entry in batch.entries]) + b"]}"
        events, _ = decode_events(body, "json", now=company.now, settings=platform.settings, types=types)
        return batch._replace(events=events)

    for chapter in chapters(Days(company.now), company.size):
        gc.freeze()  # many objects and no cycles: looking for them would take as long as storing them
        total, done, batches = len(chapter.entries), 0, _batches(chapter)
        coming = asyncio.create_task(asyncio.to_thread(read, batches))
        while (batch := await coming) is not None:
            coming = asyncio.create_task(asyncio.to_thread(read, batches))
            await _store(company, batch)
            before, done = done, done + len(batch.entries)
            if done * _REPORTS // total > before * _REPORTS // total:
                company.say(f"导入事件 · events  {done:,} / {total:,}")
    async with platform.db.connection() as connection:
        await connection.execute("ANALYZE")  # what comes next would wait for plans that are made for empty tables


def _batches(chapter: Chapter) -> Iterator[Batch]:
    """Yield what happened within two days and was noted by then, in pieces that one transaction stores."""
    notes = iter(chapter.notes)
    held = next(notes, None)
    start = 0
    while start < len(chapter.entries):
        end, until = start, chapter.entries[start].at + _SPAN
        while end < min(len(chapter.entries), start + LARGEST) and chapter.entries[end].at < until:
            end += 1
        due = []
        while held is not None and held.at <= chapter.entries[end - 1].at:
            due.append(held)
            held = next(notes, None)
        yield Batch(chapter.entries[start:end], due)
        start = end


async def _store(company: DemoContext, batch: Batch) -> None:
    """Store events and notes as if it were the day of the last event."""
    now = datetime.fromtimestamp(batch.entries[-1].at, UTC)
    for events in (batch.events, [_said(place, note) for place, note in enumerate(batch.notes)]):
        if events:
            async with company.platform.db.transaction() as connection:
                await ingest.store(connection, events, origin=ORIGIN, live=False, now=now, platform=company.platform)


def _said(place: int, note: Note) -> CheckedEvent:
    at = datetime.fromtimestamp(note.at, UTC)
    return CheckedEvent(place, "", "", at, [note.identity], traits=dict(note.traits), source="会员系统")
