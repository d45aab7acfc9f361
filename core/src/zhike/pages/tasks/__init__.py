"""Tasks: lists, board, calendar, the page of one, and the page that says who calls."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from zhike.access.roles import CUSTOMERS_READ, TASKS_READ, TASKS_WRITE
from zhike.contracts import NavItem, PageRoute
from zhike.i18n import text
from zhike.pages.tasks import agenda, board, changing, checklist, editing, listing, lookup, making, page, talk
from zhike.pages.tasks.narrowing import Narrowing
from zhike.pages.tasks.panels import PANELS

_read = partial(PageRoute, permission=TASKS_READ)
_write = partial(PageRoute, permission=TASKS_WRITE)
_post = partial(_write, method="POST")
_ONE = "/tasks/{task_id}"
_ITEMS, _ITEM = f"{_ONE}/items", f"{_ONE}/items/{{item_id}}"
_COMMENTS, _COMMENT = f"{_ONE}/comments", f"{_ONE}/comments/{{comment_id}}"

PAGES: Sequence[PageRoute] = (
    _read(path="/tasks", handler=listing.show, query=listing.ListQuery),
    _read(path="/tasks/board", handler=board.show, query=Narrowing),
    _post(path="/tasks/board/move", handler=board.move, query=Narrowing),
    _read(path="/tasks/calendar", handler=agenda.show, query=agenda.CalendarQuery),
    _write(path="/tasks/new", handler=making.ask, query=making.NewQuery),
    _post(path="/tasks/new", handler=making.make),
    _write(path="/tasks/due", handler=making.when, query=making.DueQuery),
    _read(path=_ONE, handler=page.show),
    _read(path=f"{_ONE}/history", handler=page.past),
    _write(path=f"{_ONE}/edit", handler=editing.edit),
    _post(path=f"{_ONE}/edit", handler=editing.edit),
    _write(path=f"{_ONE}/end", handler=changing.ask_end, query=changing.EndQuery),
    _post(path=f"{_ONE}/status", handler=changing.set_status),
    _post(path=f"{_ONE}/tick", handler=changing.tick),
    _read(path=_ITEMS, handler=checklist.show),
    _post(path=_ITEMS, handler=checklist.add),
    _post(path=f"{_ITEMS}/order", handler=checklist.order),
    _post(path=f"{_ITEM}/tick", handler=checklist.tick),
    _post(path=f"{_ITEM}/remove", handler=checklist.remove),
    _read(path=_COMMENTS, handler=talk.show),
    _post(path=_COMMENTS, handler=talk.add),
    _write(path=f"{_COMMENTS}/colleagues", handler=talk.colleagues),
    _write(path=f"{_COMMENT}/edit", handler=talk.ask_edit),
    _post(path=f"{_COMMENT}/edit", handler=talk.edit),
    _post(path=f"{_COMMENT}/remove", handler=talk.remove),
    PageRoute(path="/customers/lookup", handler=lookup.show, permission=CUSTOMERS_READ, query=lookup.PopQuery),
)
NAV: Sequence[NavItem] = (
    NavItem(
        key="pages.tasks",
        label=text("Tasks"),
        icon="checkbox",
        path="/tasks",
        permission=TASKS_READ,
        group="work",
        order=20,
    ),
    NavItem(
        key="pages.lookup",
        label=text("Who calls"),
        icon="phone-incoming",
        path="/customers/lookup",
        permission=CUSTOMERS_READ,
        group="work",
        order=30,
    ),
)

__all__ = ["NAV", "PAGES", "PANELS"]
