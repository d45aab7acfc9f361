"""Who may be the same customer, and merging them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from zhike.access.roles import CUSTOMERS_MERGE, CUSTOMERS_READ
from zhike.contracts import NavItem, PageRoute, Panel
from zhike.i18n import text
from zhike.pages.duplicates import accepting, merging, review, undoing

_page = partial(PageRoute, permission=CUSTOMERS_MERGE)
_post = partial(_page, method="POST")

PAGES: Sequence[PageRoute] = (
    _page(path="/duplicates", handler=review.show, query=review.QueueQuery),
    _post(path="/duplicates/scan", handler=review.scan),
    _page(path="/duplicates/accept", handler=accepting.ask, query=accepting.AcceptForm),
    _post(path="/duplicates/accept", handler=accepting.accept),
    _post(path="/duplicates/pairs/{pair_id}", handler=review.decide),
    _page(path="/duplicates/merges", handler=undoing.recent, query=undoing.MergesQuery),
    _page(path="/customers/{customer_id}/merge", handler=merging.ask, query=merging.MergeQuery),
    _post(path="/customers/{customer_id}/merge", handler=merging.merge),
    PageRoute(
        path="/customers/{customer_id}/merges",
        handler=undoing.of_customer,
        permission=CUSTOMERS_READ,
        query=undoing.MergesQuery,
    ),
    _post(path="/merges/{merge_id}/undo", handler=undoing.undo),
)
NAV: Sequence[NavItem] = (
    NavItem(
        key="pages.duplicates",
        label=text("Duplicates"),
        icon="users-group",
        path="/duplicates",
        permission=CUSTOMERS_MERGE,
        group="customers",
        order=30,
    ),
)
PANELS: Sequence[Panel] = (
    Panel(
        key="pages.duplicates",
        label=text("Duplicates and merges"),
        load=undoing.panel,
        template="duplicates/panel.html",
        permission=CUSTOMERS_MERGE,
        place="customer.side",
        order=80,
    ),
)
