"""The types of events: those that were seen or are registered, and all about one of them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from msgspec.inspect import StructType, type_info

from zhike.api import PageQuery
from zhike.contracts import EventType
from zhike.errors import NotFound
from zhike.events import explorer, types
from zhike.events import service as recorded
from zhike.events.telling import label_of
from zhike.i18n import Text, text
from zhike.pages.events.rows import rows
from zhike.ui import Html, PageCall
from zhike.ui.formats import label_of_plugin
from zhike.ui.tables import Table, TableColumn

KINDS = {
    "behaviour": {"label": text("Customer"), "color": "green"},
    "platform": {"label": text("Platform"), "color": "gray"},
}
_SIZE = 100
_LAST = 8
_MOST = 1_000
"""Types that were seen, among which one is looked for before it is said that it was not."""


class TypesQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The address of the list of types.

    Args:
        cursor: Where the page begins.
    """

    cursor: Annotated[str, Meta(max_length=2000)] | None = None


async def listed(call: PageCall, query: TypesQuery) -> Html:
    """List the types that were seen; after the last of them those that are registered and were not."""
    platform, key = call.host.platform, call.host.cursor_key
    page = await types.figures(
        platform, call.actor, PageQuery(limit=_SIZE, cursor=query.cursor), locale=call.locale, key=key
    )
    found = [_seen(call, each) for each in page.items]
    if page.next is None:
        names = {each.name for each in (await recorded.types(call.db, call.actor, limit=_MOST)).items}
        found += [_unseen(call, kind) for kind in platform.registry.event_types.values() if kind.name not in names]
    table = Table(
        id="types",
        path="/events/types",
        columns=[
            TableColumn(key="event", label=text("Event type"), kind="custom"),
            TableColumn(key="kind", label=text("By whom"), kind="badge"),
            TableColumn(key="plugin", label=text("Registered by")),
            TableColumn(key="count", label=text("Events"), kind="custom"),
            TableColumn(key="last_at", label=text("Last one"), kind="instant"),
        ],
        rows=sorted(found, key=lambda row: str(row["name"])) if query.cursor is None and page.next is None else found,
        newer="" if query.cursor else None,
        older=page.next,
        empty={
            "icon": "activity",
            "title": text("No event types yet"),
            "text": text("A type is there as soon as the first event of it has come in."),
            "label": text("Events"),
            "path": "/events",
        },
    )
    return await call.render("events/types.html", fragment="list", table=table)


async def show(call: PageCall) -> Html:
    """Show one type: properties, who listens, the latest events, and how conditions ask for it."""
    platform, name = call.host.platform, call.path["name"]
    registered: EventType | None = platform.registry.event_types.get(name)
    try:
        seen = await types.properties(platform, call.actor, name, locale=call.locale)
    except NotFound:
        if registered is None:
            raise
        seen = None
    wanted = explorer.LogWanted(names=name, limit=_LAST)
    page = await explorer.latest(platform, call.actor, wanted, locale=call.locale, key=call.host.cursor_key)
    kind = registered.kind if registered else page.items[0].event.kind if page.items else "behaviour"
    condition = {"type": "event", "event": name, "measure": "count", "within": "P30D", "op": "gte", "value": 1}
    return await call.render(
        "events/type.html",
        name=name,
        label=label_of(platform.registry, name, call.locale),
        kind=KINDS[kind],
        owner=platform.registry.owner("event_types", name),
        registered=registered,
        seen=seen,
        expected=_expected(registered) if seen is None else [],
        listeners=sorted(
            plugin for plugin, each in platform.registry.consumers.items() if {"*", name} & set(each.events)
        ),
        latest=rows(call, page.items),
        condition=msgspec.json.encode(condition).decode() if kind == "behaviour" else None,
    )


def _seen(call: PageCall, figures: types.TypeFigures) -> dict[str, Any]:
    return {
        "id": figures.name,
        "path": f"/events/types/{figures.name}",
        "name": figures.name,
        "label": figures.label,
        "kind": KINDS[figures.kind],
        "plugin": _owner(call, figures.registered_by),
        "count": figures.count,
        "about": figures.about,
        "last_at": figures.last_at,
    }


def _unseen(call: PageCall, kind: EventType) -> dict[str, Any]:
    label: Text | str = label_of(call.host.platform.registry, kind.name, call.locale)
    plugin = _owner(call, call.host.platform.registry.owner("event_types", kind.name))
    row = {"id": kind.name, "path": f"/events/types/{kind.name}", "name": kind.name, "label": label}
    return row | {"kind": KINDS[kind.kind], "plugin": plugin, "count": 0, "about": False, "last_at": None}


def _owner(call: PageCall, plugin: str | None) -> Text | str | None:
    return plugin and label_of_plugin(call.host.platform, plugin)


def _expected(kind: EventType | None) -> list[str]:
    """Return the properties that a type is registered with."""
    described = type_info(kind.payload) if kind is not None and kind.payload is not None else None
    return [field.encode_name for field in described.fields] if isinstance(described, StructType) else []
