"""What the condition builder asks for: what there is to choose from, and how many customers a condition holds for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.inspect import BoolType, FloatType, IntType, Metadata, StructType, type_info

from zhike.conditions import service
from zhike.conditions.catalog import attributes_in_use
from zhike.errors import ZhikeError
from zhike.events import service as recorded
from zhike.events.sight import unseen
from zhike.events.usual import LABELS
from zhike.i18n import say
from zhike.ui import Html, PageCall

if TYPE_CHECKING:
    from zhike.contracts import EventType

_PICKED = {"customer.owner": "user", "customer.team": "team", "tags": "tag"}
_MOST_TYPES = 500


async def catalogue(call: PageCall) -> dict[str, Any]:
    """Answer with the fields and events that conditions may ask about, in the reader's language."""
    platform = call.host.platform
    known = (await platform.customer_fields.renew()).known
    async with call.db.connection() as connection:
        used = await attributes_in_use(connection, call.actor)
    fields = platform.fields
    items = fields.listed(call.actor, call.locale)
    items += [each for each in used if not fields.defined(each.field)]
    described = []
    for item in items:
        entry: dict[str, Any] = msgspec.to_builtins(item)
        field = known.get(item.field.removeprefix("customer.").removeprefix("attributes."))
        if field is not None and field.choices:
            entry["options"] = [{"value": choice.key, "label": choice.label or choice.key} for choice in field.choices]
        if item.field in _PICKED:
            entry["pick"] = _PICKED[item.field]
        described.append(entry)
    return {"fields": described, "events": [_event(each, call.locale) for each in await _events(call)]}


async def count(call: PageCall) -> Html:
    """Answer with how many customers the condition of the builder holds for; it may be too slow, but never fails."""
    given = call.field(call.field("field", "condition")) or '{"type":"all","of":[]}'
    found, problem = None, None
    try:
        found = await service.count(call.host.platform, call.actor, given.encode())
    except ZhikeError as error:
        problem = error.message
    return await call.render("customers/count.html", count=found, problem=problem)


async def _events(call: PageCall) -> list[EventType]:
    """Return the behaviours that the reader may ask about: registered ones and those that were recorded."""
    from zhike.contracts import EventType

    registry = call.host.platform.registry
    hidden = unseen(call.actor, registry)
    found = {
        name: kind for name, kind in registry.event_types.items() if kind.kind == "behaviour" and name not in hidden
    }
    for each in (await recorded.types(call.db, call.actor, limit=_MOST_TYPES)).items:
        if each.kind == "behaviour" and each.name not in found and each.name not in hidden:
            found[each.name] = EventType(name=each.name, kind="behaviour", label=LABELS.get(each.name, each.name))
    return sorted(found.values(), key=lambda each: each.name)


def _event(kind: EventType, locale: str) -> Mapping[str, Any]:
    label = say(kind.label, locale)
    properties = []
    described = type_info(kind.payload) if kind.payload is not None else None
    for field in described.fields if isinstance(described, StructType) else ():
        inner = field.type.type if isinstance(field.type, Metadata) else field.type
        shown = (
            "number" if isinstance(inner, IntType | FloatType) else "boolean" if isinstance(inner, BoolType) else "text"
        )
        properties.append({"key": field.encode_name, "label": field.encode_name, "type": shown})
    return {"name": kind.name, "label": label, "properties": properties}
