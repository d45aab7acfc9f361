"""The explorer of events, and their types."""

from __future__ import annotations

from collections.abc import Sequence

from zhike.access.roles import EVENTS_READ
from zhike.contracts import NavItem, PageRoute, Panel
from zhike.i18n import text
from zhike.pages.events import listing, single, tail, types
from zhike.pages.events.wanted import ExplorerQuery

PAGES: Sequence[PageRoute] = (
    PageRoute(path="/events", handler=listing.show, permission=EVENTS_READ, query=ExplorerQuery),
    PageRoute(path="/events/tail", handler=tail.show, permission=EVENTS_READ, query=tail.TailQuery),
    PageRoute(path="/events/event", handler=single.show, permission=EVENTS_READ, query=single.EventQuery),
    PageRoute(path="/events/types", handler=types.listed, permission=EVENTS_READ, query=types.TypesQuery),
    PageRoute(path="/events/types/{name}", handler=types.show, permission=EVENTS_READ),
)
NAV: Sequence[NavItem] = (
    NavItem(
        key="pages.events",
        label=text("Events"),
        icon="activity",
        path="/events",
        permission=EVENTS_READ,
        group="data",
        order=5,
    ),
)
PANELS: Sequence[Panel] = ()
