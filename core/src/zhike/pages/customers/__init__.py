"""The list of customers, and what is done to many of them."""

from __future__ import annotations

from collections.abc import Sequence

from zhike.access.roles import CONDITIONS_COUNT, CUSTOMERS_READ, CUSTOMERS_WRITE
from zhike.api import Personal
from zhike.contracts import NavItem, PageRoute, Panel
from zhike.i18n import text
from zhike.pages.customers import bulk, conditions, creating, listing, views

_OWN = Personal("it concerns nothing but the caller's own views")

PAGES: Sequence[PageRoute] = (
    PageRoute(path="/customers", handler=listing.show, permission=CUSTOMERS_READ, query=listing.ListQuery),
    PageRoute(path="/customers/new", handler=creating.ask, permission=CUSTOMERS_WRITE, query=creating.NewQuery),
    PageRoute(method="POST", path="/customers/new", handler=creating.make, permission=CUSTOMERS_WRITE),
    PageRoute(method="POST", path="/customers/bulk/{action}", handler=bulk.ask, permission=CUSTOMERS_READ),
    PageRoute(method="POST", path="/customers/bulk/{action}/start", handler=bulk.start, permission=CUSTOMERS_READ),
    PageRoute(path="/conditions/catalogue", handler=conditions.catalogue, permission=CONDITIONS_COUNT),
    PageRoute(method="POST", path="/conditions/count", handler=conditions.count, permission=CONDITIONS_COUNT),
    PageRoute(path="/views/new", handler=views.ask, permission=_OWN, query=views.ViewQuery),
    PageRoute(method="POST", path="/views/new", handler=views.save, permission=_OWN),
    PageRoute(path="/views/{view_id}/remove", handler=views.ask_removal, permission=_OWN),
    PageRoute(method="POST", path="/views/{view_id}/remove", handler=views.remove, permission=_OWN),
)
NAV: Sequence[NavItem] = (
    NavItem(
        key="pages.customers",
        label=text("Customers"),
        icon="users",
        path="/customers",
        permission=CUSTOMERS_READ,
        group="customers",
        order=10,
    ),
)
PANELS: Sequence[Panel] = ()
