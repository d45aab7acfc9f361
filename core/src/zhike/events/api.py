"""Routes that take events in and show what has been recorded."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from zhike import clock
from zhike.access.roles import EVENTS_READ, EVENTS_WRITE
from zhike.api import Call, Page, PageQuery, Route
from zhike.events import service
from zhike.events.collecting import admissible, check_size
from zhike.events.decode import decode_events
from zhike.events.schemas import MAX_EVENTS, CheckedEvent, IncomingEvent, Rejection
from zhike.i18n import text


def _described() -> type[msgspec.Struct]:
    """Return the incoming event as its description shows it, where the decoder keeps parts as they came."""
    types: dict[str, Any] = {
        "amount": Annotated[Any, Meta(extra_json_schema={"type": ["number", "string", "null"]})],
        "properties": dict[str, Any],
    }
    fields = [
        (field.name, types.get(field.name, field.type), *(() if field.required else (msgspec.UNSET,)))
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


async def list_customer_events(call: Call, query: PageQuery) -> Page[service.TimelineEvent]:
    """List what happened to a customer, the latest first."""
    return await service.timeline(
        call.db,
        call.actor,
        call.id("customer_id"),
        limit=query.size,
        cursor=query.cursor,
        key=call.host.cursor_key,
        registry=call.host.platform.registry,
    )


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
        query=PageQuery,
        answer=Page[service.TimelineEvent],
        places={"customer_id": "The customer's id"},
    ),
)
