"""One event: what it says, where it comes from, and what it has to do with others."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from zhike.events import explorer
from zhike.events.telling import told
from zhike.pages.events.rows import rows
from zhike.ui import Html, PageCall


class EventQuery(msgspec.Struct, frozen=True, kw_only=True):
    """An event's address.

    Args:
        id: The id it was sent with.
    """

    id: Annotated[str, Meta(min_length=1, max_length=500)]


async def show(call: PageCall, query: EventQuery) -> Html:
    """Show an event; as a part, what unfolds below its row."""
    platform = call.host.platform
    logged = await explorer.one(platform, call.actor, query.id)
    item = told(platform.registry, [logged.event], call.locale)[0]
    others = rows(call, await explorer.chain(platform, call.actor, logged))
    return await call.render(
        "events/event.html",
        fragment="details",
        logged=logged,
        event=logged.event,
        item=item,
        cause=[each for each in others if each["id"] == logged.event.causation_id],
        effects=[each for each in others if each["id"] != logged.event.causation_id],
        properties=msgspec.json.decode(logged.event.properties),
        raw=msgspec.json.format(bytes(logged.event.properties), indent=2).decode(),
    )
