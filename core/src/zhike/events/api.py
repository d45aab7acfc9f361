"""Routes that take events in and show what has been recorded."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from zhike import clock
from zhike.access.roles import EVENTS_READ, EVENTS_WRITE
from zhike.api import Call, Page, PageQuery, Route
from zhike.events import explorer, service, types
from zhike.events.collecting import admissible, check_size
from zhike.events.decode import decode_events
from zhike.events.filtering import EventsWanted
from zhike.events.schemas import MAX_EVENTS, CheckedEvent, IncomingEvent, Rejection
from zhike.events.telling import told
from zhike.i18n import text


def _described() -> type[msgspec.Struct]:
    """Return the incoming event as its description shows it, where the decoder keeps parts as they came."""
    shown: dict[str, Any] = {
        "amount": Annotated[Any, Meta(extra_json_schema={"type": ["number", "string", "null"]})],
        "properties": dict[str, Any],
    }
    fields = [
        (field.name, shown.get(field.name, field.type), *(() if field.required else (msgspec.UNSET,)))
        for field in msgspec.structs.fields(IncomingEvent)
    ]
    described = msgspec.defstruct("IncomingEvent", fields, module=__name__, forbid_unknown_fields=True)
    described.__doc__ = IncomingEvent.__doc__
    return described


class EventsRequest(msgspec.Struct, frozen=True):
    """What `POST /events` takes.

    Args:
        events: Up to 5,000 events; each is judged by itself.
    """

    events: Annotated[list[_described()], Meta(max_length=MAX_EVENTS)]  # type: ignore[valid-type]


class Rejected(msgspec.Struct, frozen=True):
    """Why one event was not taken.

    Args:
        index: Its place in the request.
        code: A stable word for programs.
        message: Where, what, and what was expected, in the reader's language.
    """

    index: int
    code: str
    message: str


class EventsAnswer(msgspec.Struct, frozen=True):
    """What became of the events of one request.

    Args:
        accepted: How many are stored now.
        duplicate: How many were stored before.
        rejected: The others.
    """

    accepted: int
    duplicate: int
    rejected: list[Rejected]


async def record_events(call: Call) -> EventsAnswer:
    """Store events; the answer comes after they are safe on disk, and one bad event spoils no other."""
    collector = call.host.collector
    events, rejections = decode_events(
        call.body, call.body_type, now=clock.now(), settings=call.settings, types=collector.types
    )
    if call.actor.collects:
        return await _collect(call, events, rejections)
    accepted = duplicate = 0
    if events:
        stored = await collector.submit(events, origin=call.actor.origin)
        accepted, duplicate = stored.accepted, stored.duplicate
        rejections = sorted([*rejections, *stored.rejected], key=lambda rejection: rejection.index)
    if not rejections:
        return EventsAnswer(accepted, duplicate, [])
    locale = call.locale
    rejected = [Rejected(item.index, item.code, item.message.render(locale)) for item in rejections]
    return EventsAnswer(accepted, duplicate, rejected)


async def _collect(call: Call, events: list[CheckedEvent], rejections: list[Rejection]) -> EventsAnswer:
    """Store what a token in a web page may send; what it is told is the same whatever is stored already."""
    now = clock.now()
    check_size([*events, *rejections])
    kept = [event for event in events if admissible(event, call.actor.id, now)]
    if kept:
        await call.host.collector.submit(kept, origin=call.actor.origin)
    taken = {event.index for event in kept}
    refused = sorted({event.index for event in events} - taken | {rejection.index for rejection in rejections})
    message = text("not taken; a token of kind service is told why").render(call.locale)
    return EventsAnswer(len(kept), 0, [Rejected(index, "rejected", message) for index in refused])


async def list_event_types(call: Call, query: PageQuery) -> Page[service.EventType]:
    """List the event types that have been recorded, by name."""
    key = call.host.cursor_key
    return await service.types(call.db, call.actor, limit=query.size, cursor=query.cursor, key=key)


class ToldEvent(service.TimelineEvent, frozen=True):
    """An event as it is shown to people.

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
        label: What its type is called in the reader's language.
        summary: What it says, in a line.
    """

    label: str
    summary: str


class ToldTimeline(Page[ToldEvent], frozen=True):
    """A part of a customer's timeline.

    Args:
        items: The events, the latest first.
        next: Cursor of what was before, or null.
        previous: Cursor of what came after, or null on the first page.
    """

    previous: str | None


async def list_customer_events(call: Call, query: EventsWanted) -> ToldTimeline:
    """List what happened to a customer, the latest first."""
    registry = call.host.platform.registry
    page = await service.timeline(
        call.db,
        call.actor,
        call.id("customer_id"),
        limit=query.size,
        cursor=query.cursor,
        key=call.host.cursor_key,
        registry=registry,
        wanted=query,
        locale=call.locale,
    )
    items = [
        ToldEvent(**msgspec.structs.asdict(each.event), label=each.label, summary=each.summary)
        for each in told(registry, page.items, call.locale)
    ]
    return ToldTimeline(items, page.next, page.previous)


async def list_log(call: Call, query: explorer.LogWanted) -> Page[explorer.LoggedEvent]:
    """List the latest events of all customers."""
    platform = call.host.platform
    return await explorer.latest(platform, call.actor, query, locale=call.locale, key=call.host.cursor_key)


async def tail_log(call: Call, query: explorer.TailWanted) -> explorer.Tail:
    """List the events that have come in since a look."""
    return await explorer.tail(call.host.platform, call.actor, query, locale=call.locale)


async def list_figures(call: Call, query: PageQuery) -> Page[types.TypeFigures]:
    """List the event types with how many events there are and when the last one was."""
    platform = call.host.platform
    return await types.figures(platform, call.actor, query, locale=call.locale, key=call.host.cursor_key)


async def show_properties(call: Call) -> types.TypeProperties:
    """Show which properties the events of a type have."""
    return await types.properties(call.host.platform, call.actor, call.path["name"], locale=call.locale)


_read = partial(Route, method="GET", permission=EVENTS_READ)

ROUTES = (
    Route(
        method="POST",
        path="/events",
        handler=record_events,
        permission=EVENTS_WRITE,
        collects=True,
        summary="Record events",
        body=EventsRequest,
        answer=EventsAnswer,
        statuses=(429,),
    ),
    Route(
        method="GET",
        path="/events/types",
        handler=list_event_types,
        permission=EVENTS_READ,
        summary="Event types seen so far",
        query=PageQuery,
        answer=Page[service.EventType],
    ),
    Route(
        method="GET",
        path="/customers/{customer_id}/events",
        handler=list_customer_events,
        permission=EVENTS_READ,
        summary="A customer's timeline",
        query=EventsWanted,
        answer=ToldTimeline,
    ),
    _read(
        path="/events",
        handler=list_log,
        summary="The latest events",
        query=explorer.LogWanted,
        answer=Page[explorer.LoggedEvent],
    ),
    _read(
        path="/events/tail",
        handler=tail_log,
        summary="Events that have just come in",
        query=explorer.TailWanted,
        answer=explorer.Tail,
    ),
    _read(
        path="/events/types/figures",
        handler=list_figures,
        summary="Event types with figures",
        query=PageQuery,
        answer=Page[types.TypeFigures],
    ),
    _read(
        path="/events/types/{name}/properties",
        handler=show_properties,
        summary="The properties of a type's events",
        answer=types.TypeProperties,
        statuses=(404,),
        places={"name": "The event type"},
    ),
)
