"""The page of one customer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from zhike.access.roles import (
    CUSTOMERS_ERASE,
    CUSTOMERS_EXPORT,
    CUSTOMERS_READ,
    CUSTOMERS_REVEAL,
    CUSTOMERS_WRITE,
    EVENTS_READ,
)
from zhike.contracts import NavItem, PageRoute, Panel
from zhike.i18n import text
from zhike.pages.customer import editing, history, leaving, page, quick, relations, revealing, timeline

_ONE = "/customers/{customer_id}"
_read = partial(PageRoute, permission=CUSTOMERS_READ)
_write = partial(PageRoute, permission=CUSTOMERS_WRITE)
_post = partial(_write, method="POST")

PAGES: Sequence[PageRoute] = (
    _read(path=_ONE, handler=page.show),
    _read(path=f"{_ONE}/panels/{{key}}", handler=page.panel),
    PageRoute(path=f"{_ONE}/timeline", handler=timeline.show, permission=EVENTS_READ, query=timeline.TimelineQuery),
    PageRoute(
        path=f"{_ONE}/timeline/new", handler=timeline.newer, permission=EVENTS_READ, query=timeline.TimelineQuery
    ),
    _write(path=f"{_ONE}/edit", handler=editing.ask),
    _post(path=f"{_ONE}/edit", handler=editing.save),
    _write(path=f"{_ONE}/change/{{field}}", handler=quick.ask),
    _post(path=f"{_ONE}/change/{{field}}", handler=quick.save),
    _write(path=f"{_ONE}/identities/new", handler=quick.ask_identity),
    _post(path=f"{_ONE}/identities/new", handler=quick.add_identity),
    _post(path=f"{_ONE}/identities/remove", handler=quick.remove_identity),
    PageRoute(path=f"{_ONE}/reveal", handler=revealing.ask, permission=CUSTOMERS_REVEAL, query=revealing.RevealQuery),
    PageRoute(method="POST", path=f"{_ONE}/reveal", handler=revealing.show, permission=CUSTOMERS_REVEAL),
    _read(path=f"{_ONE}/relations", handler=relations.show),
    _write(path=f"{_ONE}/relations/new", handler=relations.ask),
    _post(path=f"{_ONE}/relations/new", handler=relations.add),
    _post(path=f"{_ONE}/relations/{{relation_id}}/remove", handler=relations.remove),
    _read(path=f"{_ONE}/history", handler=history.show, query=history.HistoryQuery),
    PageRoute(path=f"{_ONE}/export", handler=leaving.export, permission=CUSTOMERS_EXPORT),
    PageRoute(path=f"{_ONE}/erase", handler=leaving.ask, permission=CUSTOMERS_ERASE),
    PageRoute(method="POST", path=f"{_ONE}/erase", handler=leaving.start, permission=CUSTOMERS_ERASE),
    PageRoute(path="/erasures/{erasure_id}", handler=leaving.state, permission=CUSTOMERS_ERASE),
)
NAV: Sequence[NavItem] = ()
PANELS: Sequence[Panel] = (
    Panel(
        key="pages.browsing",
        label=text("Recent browsing"),
        load=timeline.recent,
        template="customer/browsing.html",
        permission=EVENTS_READ,
        place="customer.side",
        order=70,
    ),
)
