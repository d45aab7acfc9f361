"""Ingest: one transaction stores a batch of events with the customers, identities and stats they bring."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from zhike.customers import erased, imported, settled
from zhike.customers import sql as customer_sql
from zhike.customers.fields import PROTECTED
from zhike.customers.identities import mask
from zhike.customers.merge import Stat, merge_visitors
from zhike.customers.resolve import Pair, Resolver, concerned
from zhike.customers.search import index as search
from zhike.customers.traits import Cause, Draft
from zhike.errors import Unavailable
from zhike.events import merging
from zhike.events.checks import BadItem
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

# Seconds between the rounds of a batch that is overtaken: a merge may take two.
_PAUSES = (*[0.0] * 4, 0.005, 0.01, 0.02, 0.04, 0.08, *[0.15] * 16)
_ERASED = BadItem(
    "erased",
    "identities",
    text("the data of this customer was erased; nothing is stored of them until new consent is recorded"),
)


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
        events: At most some thousands, for nothing may write for more than 2 seconds. Either all or none of them have a
            name: without it they only say what is known of a customer, and are rejected if their strong identities
            belong to several customers.
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
    try:
        duplicates, rejected = await _store(connection, events, causes, now, platform)
    except DATA_ERRORS:

        async def attempt(places: list[int]) -> None:
            await _store(connection, [events[i] for i in places], [causes[i] for i in places], now)

        kept, rejected = await sift(connection, events, attempt)
        again, refused = await _store(connection, [events[i] for i in kept], [causes[i] for i in kept], now, platform)
        duplicates = {kept[i] for i in again}
        rejected |= {kept[i]: rejection for i, rejection in refused.items()}
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
) -> tuple[set[int], dict[int, Rejection]]:
    """Store a batch and return the places of its duplicates and of what is rejected; start again when overtaken."""
    if not events:
        return set(), {}
    # Visitors that are not merged; None: no stored one is.
    kept: set[int] | None = None if merging.paused(platform) else set()
    for pause in _PAUSES:
        await connection.execute(_BEGIN)
        try:
            return await _attempt(connection, events, causes, now, platform, kept)
        except (_OvertakenError, merging.MergeRefused, *DATA_ERRORS) as error:
            # The savepoint's locks go; whoever was quicker has ended, so that its rows are seen now, or is merging.
            await connection.execute("ROLLBACK TO SAVEPOINT ingest; RELEASE SAVEPOINT ingest")
            if isinstance(error, merging.MergeRefused):
                kept = None if kept else error.visitors
            elif not isinstance(error, _OvertakenError):
                raise
            await asyncio.sleep(pause)
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
) -> tuple[set[int], dict[int, Rejection]]:
    bare = not events[0].name
    ids = [] if bare else [event.message_id for event in events]
    # Many events share an identity: each is looked up once.
    identities = list(dict.fromkeys(chain.from_iterable([event.identities for event in events])))
    found = await known(connection, ids, identities)
    duplicates = _duplicates(ids, found.message_ids)
    rejected: dict[int, Rejection] = {}
    if found.erasures and platform is not None:
        sifted = await erased.sift(connection, platform.vault, events, found.owners, duplicates)
        rejected = {place: _ERASED.rejection(events[place].index) for place in sifted.refused}
        duplicates, events = duplicates | sifted.repeated, sifted.events
    places: Sequence[int] = range(len(events))
    if out := duplicates.union(rejected):
        if len(out) == len(events):
            return duplicates, rejected
        places = [place for place in places if place not in out]
        events, causes = [events[place] for place in places], [causes[place] for place in places]
    resolver = await _resolver(connection, events, found, kept)
    protected = PROTECTED
    if platform is not None:
        resolver.ranked, protected = platform.customer_fields.ranked, platform.customer_fields.protected
    homes = list(map(resolver.resolve, events, causes))
    if bare:
        rejected |= {places[i]: _contradiction(resolver, events[i]) for i, home in enumerate(homes) if not home}
        events, homes = [], []
    if resolver.created:
        final = resolver.number(found.fresh)
        homes = [final.get(home, home) for home in homes]
    customers = list(map(resolver.root, homes)) if resolver.moves else homes
    moved, recorded = await _write_customers(connection, resolver, now, causes[0].import_id)
    effects = None
    if platform and resolver.merges:
        effects = await merging.hand_over(platform, connection, resolver, recorded, now)

    rows = EventRows()
    add_created(rows, resolver, now, protected)
    _add_behaviours(rows, events, causes[: len(events)], now)
    rows.homes += homes
    rows.customers += customers
    add_merged(rows, resolver, now)
    add_updated(rows, resolver, now, protected)
    if effects:
        rows.extend(effects.rows)
    held = set(customers).difference(resolver.drafts)
    if len(rows) and await insert_events(connection, rows, recorded_at=now, moved=moved, held=held) < len(rows):
        raise _OvertakenError
    if effects and effects.jobs:
        await jobs.insert(connection, effects.jobs)
    return duplicates, rejected


def _contradiction(resolver: Resolver, event: CheckedEvent) -> Rejection:
    (_, first), *others = sorted(resolver.strong_owners(event.identities).items())
    if others:
        second = others[0][1]
        message = text("{first} and {second} belong to different customers", first=_shown(first), second=_shown(second))
    else:
        message = text(
            "{first} belongs to a customer with another {namespace} than {other}",
            first=_shown(first),
            namespace=event.identities[0][0],
            other=_shown(event.identities[0]),
        )
    return Rejection(event.index, "conflict", message)


def _shown(pair: Pair) -> str:
    return f"{pair[0]} {mask(pair[1])}"


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
    deciding = _deciding(events, found) if found.homes else {}
    need.locks.update(deciding.values())
    if not need.locks:
        return Resolver(found.owners, {}, {}, {}, homes=found.homes)
    rows = await customer_sql.lock(connection, need.locks)
    if len(rows) < len(need.locks) or any(row["merged_into"] or row["erased_at"] for row in rows):
        raise _OvertakenError
    if deciding and not await customer_sql.still_owned(connection, deciding):
        raise _OvertakenError
    # Read only now: what is attached to locked customers changes no more.
    strong = await customer_sql.strong_namespaces(connection, need.locks) if need.identities else {}
    sizes = await customer_sql.sizes(connection, need.visitors) if need.visitors else {}
    separate = await customer_sql.separate(connection, need.visitors) if need.visitors else ()
    drafts = {row["id"]: Draft(row["id"], row) for row in rows}
    kept = need.visitors if kept is None else kept
    return Resolver(found.owners, drafts, strong, sizes, kept, found.homes, separate)


def _deciding(events: Sequence[CheckedEvent], found: Known) -> dict[Pair, int]:
    """Return the identities that give events to a customer merged away, with the customers these are now.

    Such a merge may be undone at any time, upon which the customer stays and the identity is no longer theirs: they
    must be locked and their identities looked at again.
    """
    firsts = (next((pair for pair in event.identities if pair in found.owners), None) for event in events)
    return {pair: found.owners[pair] for pair in firsts if pair in found.homes}


async def _write_customers(
    connection: Connection, resolver: Resolver, now: datetime, import_id: int | None
) -> tuple[list[Stat], dict[int, int]]:
    """Write new, merged and changed customers and their identities; return what `merge_visitors` does."""
    root = resolver.root
    if resolver.attachments:
        identities = [(pair, root(home), home) for pair, home in resolver.attachments]
        created = [draft for draft, _ in resolver.created]
        if await customer_sql.insert(connection, created, identities, now) < len(identities):
            raise _OvertakenError
    if resolver.candidates:
        await customer_sql.insert_candidates(connection, resolver.candidates.values(), now)
    merged = await merge_visitors(connection, resolver.merges, root, now) if resolver.merges else ([], {})
    changed = [draft for draft in resolver.drafts.values() if draft.cause and not draft.new]
    if changed:
        await customer_sql.update_customers(connection, changed, now)
    if resolver.merges:
        losers = {merge.loser_id for merge in resolver.merges}
        await settled.regard(connection, {root(loser) for loser in losers}, losers)
    concerned = search.concerned(resolver)
    if import_id is not None:  # an import's batch is its own
        concerned |= await imported.note(connection, resolver, import_id, now)
    await search.renew(connection, concerned)
    return merged


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
