"""Events for everybody: recording them, a customer's timeline, and the types there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec
from asyncpg import Record

from zhike import clock, wire
from zhike.access.actor import Actor
from zhike.access.masking import rules_of
from zhike.access.roles import EVENTS_READ, Rule
from zhike.access.scope import visible_customers
from zhike.api import Page
from zhike.customers.places import AT_PLACE, PLACES
from zhike.customers.service import visible_winner
from zhike.events.decode import decode_events
from zhike.events.facts import veiled
from zhike.events.filtering import EventsWanted, narrowed
from zhike.events.grouping import Collector
from zhike.events.ingest import Ingested
from zhike.events.schemas import PLATFORM_EVENTS
from zhike.events.sight import seen
from zhike.ids import decode_cursor, encode_cursor
from zhike.money import to_major
from zhike.orm import Database
from zhike.platform import Platform
from zhike.registry import Registry
from zhike.work import in_transaction

COLUMNS = """
  e.id, e.name, CASE WHEN e.behaviour THEN 'behaviour' ELSE 'platform' END, e.message_id,
  e.occurred_at, e.recorded_at, e.amount, e.currency, e.properties::text, e.source, e.origin, e.live,
  e.causation_id, e.depth
"""
"""What to select of `event AS e` for `event_of`."""
_LATEST = "ORDER BY e.occurred_at {order}, e.id {order} LIMIT $2"
_TIMELINE = f"""
SELECT {COLUMNS} FROM event AS e
WHERE e.customer_id = (SELECT c.id FROM customer AS c WHERE c.id = $1 AND {{visible}} AND NOT c.settling)
  {{where}} {_LATEST}
"""
# While events are being moved, after a merge or its undoing, some stand elsewhere.
_SETTLING = f"""
{PLACES.replace("{", "{{").replace("}", "}}")}
SELECT {COLUMNS}
FROM place CROSS JOIN LATERAL (SELECT e.* FROM event AS e WHERE {AT_PLACE} {{where}} {_LATEST}) AS e {_LATEST}
"""
_AFTER = "AND (e.occurred_at, e.id) {beyond} ($3, $4)"

_TYPES = """
SELECT name, CASE WHEN behaviour THEN 'behaviour' ELSE 'platform' END, first_seen_at
FROM event_type WHERE name > $1 COLLATE "C" ORDER BY name LIMIT $2
"""


class TimelineEvent(msgspec.Struct, frozen=True):
    """An event as it is shown.

    Args:
        id: Its id.
        name: Event type.
        kind: `behaviour`: the customer did it; `platform`: we did.
        message_id: The id it was sent with.
        occurred_at: When it happened.
        recorded_at: When it was stored.
        amount: Money in major units.
        currency: ISO 4217 code of the amount.
        properties: The JSON text of an object.
        source: Where it comes from.
        origin: Who brought it in.
        live: Whether it was recorded soon after it happened, and not by an import.
        causation_id: The id of the event that made it happen, or null.
        depth: How many causes stand behind it.
    """

    id: int
    name: str
    kind: Literal["behaviour", "platform"]
    message_id: str
    occurred_at: datetime
    recorded_at: datetime
    amount: Decimal | None
    currency: str | None
    properties: msgspec.Raw
    source: str
    origin: str
    live: bool
    causation_id: int | None
    depth: int


class Timeline(Page[TimelineEvent], frozen=True):
    """A part of a customer's timeline.

    Args:
        items: The events, the latest first.
        next: Cursor of what was before, or None.
        previous: Cursor of what came after, or None on the first page.
    """

    previous: str | None = None


class EventType(msgspec.Struct, frozen=True):
    """A name under which events are stored.

    Args:
        name: Such as `order.paid`.
        kind: `behaviour` or `platform`.
        first_seen_at: When the first one was stored.
    """

    name: str
    kind: Literal["behaviour", "platform"]
    first_seen_at: datetime


async def record(platform: Platform, items: Iterable[Mapping[str, Any]], *, origin: str, live: bool = True) -> Ingested:
    """Store events from outside, as `POST /api/v1/events` does: one that is wrong is rejected and spoils no other.

    Sending an event again has no effect, so that whoever is not sure whether it was stored sends it again.

    Args:
        platform: The process's platform.
        items: Up to 5,000 events with the fields of that route; times and decimals may be Python's.
        origin: Who brings them, such as `connector:shop`.
        live: False while a connector brings in what was before it: such events start nothing.

    Returns:
        What became of them, after the commit.

    Raises:
        RuntimeError: Inside a unit of work, which it has no part in.
        TooLarge: If there are more.
        TooMany: If more than the deployment's `queue_limit` would wait.
        Unavailable: If the database cannot be reached.
    """
    if in_transaction():
        raise RuntimeError("events from outside are stored in transactions of their own; emit is for the work's events")
    collector = Collector(platform)
    body = b'{"events":[' + b",".join(map(_encoded, items)) + b"]}"
    events, rejected = decode_events(body, "json", now=clock.now(), settings=platform.settings, types=collector.types)
    stored = await collector.submit(events, origin=origin, live=live)
    stored.rejected = sorted([*rejected, *stored.rejected], key=lambda each: each.index)
    return stored


def _encoded(item: Mapping[str, Any]) -> bytes:
    try:
        return wire.encode(item, "json")
    except (TypeError, ValueError, OverflowError, RecursionError):
        return b"null"  # which is rejected in its place


async def timeline(
    db: Database,
    actor: Actor,
    customer_id: int,
    *,
    limit: int = 50,
    cursor: str | None = None,
    key: bytes = b"",
    registry: Registry | None = None,
    wanted: EventsWanted | None = None,
    locale: str = "en",
) -> Timeline:
    """Return a page of a customer's events, the latest first; for a customer merged away, the winner's.

    Args:
        db: Where they are.
        actor: Who asks.
        customer_id: Whose events.
        limit: Events on the page.
        cursor: `next` or `previous` of another page.
        key: The deployment's secret that signs cursors.
        registry: Knows the event types that need a permission of their own; None where no plugins are loaded.
        wanted: Which of them; its limit and cursor do not count. All when absent.
        locale: The reader's language, in which types are called.

    Raises:
        BadRequest: If `cursor` was not made for this customer's timeline.
        NotFound: If there is no such customer, or `actor` does not see it.
    """
    scope = f"timeline:{customer_id}"
    back = False
    values: list[Any] = [limit + 1]  # one more than asked for tells whether there is a next page
    if cursor is not None:
        *after, back = decode_cursor(cursor, key, tuple[datetime, int, bool], scope=scope)
        values += after
    where = _AFTER.format(beyond=">" if back else "<") if cursor is not None else ""
    where += "" if wanted is None else narrowed(wanted, actor, registry, locale, values)
    where += "" if registry is None else seen(actor, registry, values)
    parts = {"where": where, "order": "ASC" if back else "DESC"}
    visible = visible_customers(actor, "c", EVENTS_READ)
    async with db.connection() as connection:
        rows = await connection.fetch(_TIMELINE.format(visible=visible, **parts), customer_id, *values)
        # None: there are none, or they are being moved, the customer was merged away, or there is nobody to be seen.
        if not rows:
            winner = await visible_winner(connection, actor, customer_id, EVENTS_READ)
            rows = await connection.fetch(_SETTLING.format(**parts), [winner], *values)
    rules = rules_of(actor)
    items = [event_of(row, rules) for row in rows[:limit]]
    if back:
        items.reverse()
    newer, older = (len(rows) > limit, bool(items)) if back else (cursor is not None, len(rows) > limit)
    ends = [
        encode_cursor((items[place].occurred_at, items[place].id, place == 0), key, scope=scope)
        if items and more
        else None
        for place, more in ((-1, older), (0, newer))
    ]
    return Timeline(items, *ends)


async def types(
    db: Database, actor: Actor, *, limit: int = 50, cursor: str | None = None, key: bytes = b""
) -> Page[EventType]:
    """Return a page of the event types that were recorded, by name.

    Args:
        db: Where they are.
        actor: Who asks; types are no secret among those who may read events.
        limit: Types on the page.
        cursor: `next` of the page before.
        key: The deployment's secret that signs cursors.
    """
    after = "" if cursor is None else decode_cursor(cursor, key, str, scope="event types")
    rows = await db.fetch(_TYPES, after, limit + 1)
    items = [EventType(*row) for row in rows[:limit]]
    return Page(items, encode_cursor(items[-1].name, key, scope="event types") if len(rows) > limit else None)


def event_of(row: Record, rules: Mapping[str, Rule]) -> TimelineEvent:
    """Return the event in a row that begins with `COLUMNS` as those see it who have rules for fields."""
    values: list[Any] = list(row)[: len(TimelineEvent.__struct_fields__)]
    if values[6] is not None:
        values[6] = to_major(values[6], values[7])
    veil = rules and values[2] == "platform" and values[1] in PLATFORM_EVENTS
    values[8] = msgspec.Raw(veiled(values[8], rules) if veil else values[8])
    return TimelineEvent(*values)
