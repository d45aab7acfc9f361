"""Ingest: one transaction stores a batch of events with the customers, identities and stats they bring."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from zhike.customers import sql as customer_sql
from zhike.customers.merge import Stat, merge_visitors
from zhike.customers.resolve import Resolver, concerned
from zhike.customers.traits import Cause, Draft
from zhike.errors import Unavailable
from zhike.events import merging
from zhike.events.facts import add_created, add_merged, add_updated
from zhike.events.schemas import LIVE, CheckedEvent, Rejection
from zhike.events.sifting import DATA_ERRORS, sift
from zhike.events.sql import EventRows, Known, insert_events, known
from zhike.i18n import text
from zhike.jobs import sql as jobs
from zhike.orm import Connection

if TYPE_CHECKING:
    from zhike.platform import Platform

# A plan that is made while a table is small is kept while it grows: it must not be one that reads the whole table.
# In one round trip with the savepoint, which ends with the transaction, because a batch may be a single event.
_BEGIN = "SAVEPOINT ingest; SET LOCAL enable_seqscan = off"

_ROUNDS = 20


class Ingested(msgspec.Struct):
    """What became of a batch.

    Args:
        accepted: Events stored.
        duplicate: Events whose message_id was stored before or twice in the batch; they had no effect at all.
        rejected: Events that cannot be stored.
    """

    accepted: int
    duplicate: int
    rejected: list[Rejection]


class Part(NamedTuple):
    """Events of one requester."""

    events: Sequence[CheckedEvent]
    cause: Cause


async def store(
    connection: Connection,
    events: Sequence[CheckedEvent],
    *,
    origin: str,
    live: bool,
    now: datetime,
    import_id: int | None = None,
    platform: Platform | None = None,
) -> Ingested:
    """Store events in the caller's transaction, as one batch of the log.

    Events take effect one after the other: each sees the customers and identities of those before it. Call it
    once per transaction: its locks are taken in one global order (see `zhike.work`), which a second call would
    break, so that PostgreSQL might have to end a deadlock.

    Args:
        connection: In a transaction.
        events: At most some thousands, for nothing may write for more than 2 seconds.
        origin: Who brought them, as in `Actor.origin`.
        live: False for an import; otherwise those recorded at most `LIVE` after they occurred are live.
        now: The instant they count as recorded.
        import_id: The import they belong to.
        platform: Whose plugins take part when visitors are merged; none when absent.

    Raises:
        Unavailable: If concurrent batches with the same identities won every time.
    """
    [ingested] = await store_parts(
        connection, [Part(events, Cause(origin, live, import_id))], now=now, platform=platform
    )
    return ingested


async def store_parts(
    connection: Connection, parts: Sequence[Part], *, now: datetime, platform: Platform | None = None
) -> list[Ingested]:
    """Store the events of several requesters as one batch; see `store`.

    Returns:
        For each part what became of it. Of equal message ids in two parts the first one is stored.
    """
    events = list(chain.from_iterable([part.events for part in parts]))
    causes = list(chain.from_iterable([[part.cause] * len(part.events) for part in parts]))
    rejected: dict[int, Rejection] = {}
    try:
        duplicates = await _store(connection, events, causes, now, platform)
    except DATA_ERRORS:

        async def attempt(places: list[int]) -> None:
            await _store(connection, [events[i] for i in places], [causes[i] for i in places], now)

        kept, rejected = await sift(connection, events, attempt)
        again = await _store(connection, [events[i] for i in kept], [causes[i] for i in kept], now, platform)
        duplicates = {kept[i] for i in again}
    answers = []
    start = 0
    for part in parts:
        places = range(start, start + len(part.events))
        bad = [rejected[i] for i in places if i in rejected] if rejected else []
        duplicate = sum(i in duplicates for i in places) if duplicates else 0
        answers.append(Ingested(len(places) - duplicate - len(bad), duplicate, bad))
        start += len(part.events)
    return answers


async def _store(
    connection: Connection,
    events: list[CheckedEvent],
    causes: list[Cause],
    now: datetime,
    platform: Platform | None = None,
) -> set[int]:
    """Store a batch and return the places of its duplicates; start again when a concurrent one was quicker."""
    if not events:
        return set()
    # Visitors that are not merged; None: no stored one is.
    kept: set[int] | None = None if merging.paused(platform) else set()
    for _ in range(_ROUNDS):
        await connection.execute(_BEGIN)
        try:
            return await _attempt(connection, events, causes, now, platform, kept)
        except (_OvertakenError, merging.MergeRefused, *DATA_ERRORS) as error:
            # The savepoint's locks go; whoever was quicker has ended, so that its rows are seen now.
            await connection.execute("ROLLBACK TO SAVEPOINT ingest; RELEASE SAVEPOINT ingest")
            if isinstance(error, merging.MergeRefused):
                kept = None if kept else error.visitors
            elif not isinstance(error, _OvertakenError):
                raise
    raise Unavailable(text("other requests keep changing the same customers; try again"), retry_after=1)


class _OvertakenError(Exception):
    """Another transaction has stored or merged something that this one believed unknown or separate."""


async def _attempt(
    connection: Connection,
    events: list[CheckedEvent],
    causes: list[Cause],
    now: datetime,
    platform: Platform | None,
    kept: set[int] | None,
) -> set[int]:
    ids = [event.message_id for event in events]
    # Many events share an identity: each is looked up once.
    identities = list(dict.fromkeys(chain.from_iterable([event.identities for event in events])))
    found = await known(connection, ids, identities)
    duplicates = _duplicates(ids, found.message_ids)
    if duplicates:
        if len(duplicates) == len(events):
            return duplicates
        events = [event for place, event in enumerate(events) if place not in duplicates]
        causes = [cause for place, cause in enumerate(causes) if place not in duplicates]
    resolver = await _resolver(connection, events, found, kept)
    homes = list(map(resolver.resolve, events, causes))
    if resolver.created:
        final = resolver.number(found.fresh)
        homes = [final.get(home, home) for home in homes]
    customers = list(map(resolver.root, homes)) if resolver.merges else homes
    moved = await _write_customers(connection, resolver, now)
    effects = await merging.hand_over(platform, connection, resolver, now) if platform and resolver.merges else None

    rows = EventRows()
    add_created(rows, resolver, now)
    _add_behaviours(rows, events, causes, now)
    rows.homes += homes
    rows.customers += customers
    add_merged(rows, resolver, now)
    add_updated(rows, resolver, now)
    if effects:
        rows.extend(effects.rows)
    if await insert_events(connection, rows, recorded_at=now, moved=moved) < len(rows):
        raise _OvertakenError
    if effects and effects.jobs:
        await jobs.insert(connection, effects.jobs)
    return duplicates


def _duplicates(ids: list[str], stored: list[str]) -> set[int]:
    """Return the places of message ids that are stored or stand earlier in the batch."""
    seen = set(stored)
    if not seen and len(set(ids)) == len(ids):
        return set()
    places = set()
    for place, message_id in enumerate(ids):
        if message_id in seen:
            places.add(place)
        seen.add(message_id)
    return places


async def _resolver(
    connection: Connection, events: list[CheckedEvent], found: Known, kept: set[int] | None
) -> Resolver:
    """Lock and read the customers that the events may change."""
    need = concerned(events, found.owners, found.anonymous)
    if not need.locks:
        return Resolver(found.owners, {}, {}, {})
    rows = await customer_sql.lock(connection, need.locks)
    if len(rows) < len(need.locks) or any(row["merged_into"] for row in rows):
        raise _OvertakenError
    # Read only now: what is attached to locked customers changes no more.
    strong = await customer_sql.strong_namespaces(connection, need.locks) if need.identities else {}
    sizes = await customer_sql.sizes(connection, need.visitors) if need.visitors else {}
    drafts = {row["id"]: Draft(row["id"], row) for row in rows}
    return Resolver(found.owners, drafts, strong, sizes, need.visitors if kept is None else kept)


async def _write_customers(connection: Connection, resolver: Resolver, now: datetime) -> list[Stat]:
    """Write new, merged and changed customers and their identities; return the stats of those merged away."""
    root = resolver.root
    if resolver.attachments:
        identities = [(pair, root(home), home) for pair, home in resolver.attachments]
        created = [draft for draft, _ in resolver.created]
        if await customer_sql.insert(connection, created, identities, now) < len(identities):
            raise _OvertakenError
    if resolver.candidates:
        await customer_sql.insert_candidates(connection, resolver.candidates.values(), now)
    moved = await merge_visitors(connection, resolver.merges, root, now) if resolver.merges else []
    changed = [draft for draft in resolver.drafts.values() if draft.cause and not draft.new]
    if changed:
        await customer_sql.update_customers(connection, changed, now)
    return moved


def _add_behaviours(rows: EventRows, events: list[CheckedEvent], causes: list[Cause], now: datetime) -> None:
    """Add all columns but the customers'."""
    recent = now - LIVE
    rows.message_ids += [event.message_id for event in events]
    rows.names += [event.name for event in events]
    rows.behaviours += [True] * len(events)
    rows.occurred += [event.occurred_at for event in events]
    rows.amounts += [event.amount for event in events]
    rows.currencies += [event.currency for event in events]
    rows.properties += [event.properties for event in events]
    rows.sources += [event.source for event in events]
    rows.origins += [cause.origin for cause in causes]
    rows.lives += [cause.live and event.occurred_at >= recent for event, cause in zip(events, causes, strict=True)]
    rows.imports += [cause.import_id for cause in causes]
