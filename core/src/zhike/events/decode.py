"""Decodes the body of `POST /events`: as a whole if all is well, event by event if anything is not."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence, Sized
from datetime import datetime

import msgspec

from zhike import wire
from zhike.errors import TooLarge
from zhike.events.checks import UNREGISTERED, BadItem, KnownTypes, check_items
from zhike.events.properties import are_ordinary, from_json, from_msgpack
from zhike.events.schemas import MAX_EVENTS, CheckedEvent, IncomingEvent, Rejection
from zhike.events.split import split_json, split_msgpack
from zhike.i18n import text
from zhike.settings import Settings
from zhike.wire import MediaType

_FIELDS = tuple(IncomingEvent.__struct_fields__)
_CODES = {"identities": "identity", "traits": "trait"}
_FIRST_NAME = re.compile(r"\w+")


class Events(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """Body of `POST /events`.

    Args:
        events: Up to 5,000 events.
    """

    events: list[IncomingEvent]


def decode_events(
    body: bytes, media_type: MediaType, *, now: datetime, settings: Settings, types: KnownTypes = UNREGISTERED
) -> tuple[list[CheckedEvent], list[Rejection]]:
    """Return what a body brings: the events that can be stored and, for each of the others, why not.

    Args:
        body: The whole request body.
        media_type: `json` or `msgpack`.
        now: The present instant, aware; events without time happened then.
        settings: The deployment's zone and currency are used.
        types: The registered event types.

    Raises:
        BadRequest: If the body is no `{"events": [...]}`, or broken so that its events cannot be told apart.
        TooLarge: If it has more than `MAX_EVENTS` events.
    """
    refused: list[Rejection] = []
    try:
        items = wire.decoder(media_type, Events).decode(body).events
        _limit(items)
        indexes: Sequence[int] = range(len(items))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        parts = split_json(body) if media_type == "json" else split_msgpack(body)
        if parts is None:
            raise wire.refuse(wire.fault(error, body)) from None
        _limit(parts)
        indexes, items = _one_by_one(parts, media_type, refused)
    # A NUL can only have come to JSON as this escape; one that is itself escaped only costs the closer look.
    careful = media_type == "msgpack" or (b"\\" in body and b"\\u0000" in body)
    raws = [item.properties for item in items]
    texts: Iterable[str | None] = itertools.repeat(None, len(raws))
    if not careful and are_ordinary(raws):
        texts = [str(raw, "utf-8") for raw in raws]
    accepted, rejected = check_items(
        zip(indexes, items, texts, strict=True),
        now=now,
        settings=settings,
        careful=careful,
        read=from_json if media_type == "json" else from_msgpack,
        types=types,
    )
    return accepted, sorted(refused + rejected, key=lambda rejection: rejection.index) if refused else rejected


def _limit(events: Sized) -> None:
    if len(events) > MAX_EVENTS:
        raise TooLarge(text("events: more than {limit} in one request; send several", limit=MAX_EVENTS))


def _one_by_one(
    parts: Iterable[bytes], media_type: MediaType, refused: list[Rejection]
) -> tuple[list[int], list[IncomingEvent]]:
    """Return the events that can be decoded and their indexes, and add the others to `refused`."""
    decoder = wire.decoder(media_type, IncomingEvent)
    indexes: list[int] = []
    items: list[IncomingEvent] = []
    for index, part in enumerate(parts):
        try:
            items.append(decoder.decode(part))
            indexes.append(index)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            refused.append(_bad_item(error, part).rejection(index))
    return indexes, items


def _bad_item(error: Exception, part: bytes) -> BadItem:
    """Return what is wrong with an event that cannot be decoded."""
    found = wire.fault(error, part)
    if isinstance(error, RecursionError):
        return BadItem("nesting", "", found.detail)
    if isinstance(error, UnicodeDecodeError):
        return BadItem("encoding", "", found.detail)
    if found.field is not None and found.field not in _FIELDS:
        detail = text("no event has this field; expected one of {fields}", fields=", ".join(_FIELDS))
        return BadItem("unknown_field", found.field[:50], detail)
    name = _FIRST_NAME.match(found.path)
    field = name[0] if name else found.field
    return BadItem(_CODES.get(field, field) if field else "malformed", found.path, found.detail)
