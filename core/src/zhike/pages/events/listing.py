"""The explorer: the latest events of all customers, narrowed, with the way to see new ones as they come in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zhike.api import Page
from zhike.errors import BadRequest
from zhike.events import explorer
from zhike.events.telling import label_of
from zhike.i18n import Text, text
from zhike.pages.events.rows import COLUMNS, rows
from zhike.pages.events.wanted import ExplorerQuery
from zhike.ui import Html, PageCall
from zhike.ui.rendering import url
from zhike.ui.tables import Filter, Table

_LIMIT = 50


async def show(call: PageCall, query: ExplorerQuery) -> Html:
    """Show the latest events that the reader sees."""
    problem, found = None, Page[explorer.LoggedEvent]([], None)
    try:
        found = await _find(call, query)
    except BadRequest as error:
        if query.cursor:
            raise
        problem = error.message
    live, position = bool(query.live) and not query.cursor, None
    if live:
        now = await explorer.tail(call.host.platform, call.actor, explorer.TailWanted(), locale=call.locale)
        position = now.position
    parameters = query.parameters
    table = Table(
        id="events",
        path="/events",
        columns=COLUMNS,
        rows=rows(call, found.items),
        query=parameters,
        newer="" if query.cursor else None,
        older=found.next,
        filters=_filters(call, query, found.items),
        unfolds=True,
    )
    tail = {name: value for name, value in parameters.items() if name in {"q", "names", "kind", "source"}}
    return await call.render(
        "events/list.html",
        fragment="list",
        status=422 if problem else 200,
        table=table,
        problem=problem,
        live=live,
        position=position,
        tail_url=url("/events/tail", **tail),
        can_live=not (query.customer_id or query.identity or query.when_from or query.when_to or query.cursor),
        server=_server(call),
    )


async def _find(call: PageCall, query: ExplorerQuery) -> Page[explorer.LoggedEvent]:
    wanted = query.wanted(call.zone, _LIMIT)
    return await explorer.latest(call.host.platform, call.actor, wanted, locale=call.locale, key=call.host.cursor_key)


def _filters(call: PageCall, query: ExplorerQuery, found: Sequence[explorer.LoggedEvent]) -> Sequence[Filter]:
    kinds: list[tuple[str, Text | str]] = [
        ("behaviour", text("What customers did")),
        ("platform", text("What the platform did")),
    ]
    named: list[tuple[str, Text | str]] = []
    if query.names:
        named = [(query.names, label_of(call.host.platform.registry, query.names, call.locale))]
    whose: Any = []
    if query.customer_id:
        name = found[0].customer_name if found else None
        whose = [(query.customer_id, name or text("Customer {id}", id=query.customer_id))]
    return [
        Filter(name="q", label=text("Words in the event")),
        Filter(name="names", label=text("Event type"), kind="event", options=named),
        Filter(name="kind", label=text("By whom"), kind="select", options=kinds),
        Filter(name="customer_id", label=text("Customer"), kind="customer", options=whose),
        Filter(name="identity", label=text("Identity"), placeholder=text("Phone, or kind:value")),
        Filter(name="source", label=text("Source")),
        Filter(name="when", label=text("Happened"), kind="range"),
    ]


def _server(call: PageCall) -> str:
    """Return under which address programs reach this server."""
    host = call.given.get(b"host", b"localhost:8000").decode("latin-1")
    return call.host.settings.public_url or f"http://{host}"
