"""The command palette and the page of global search: pages, customers and tasks."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from zhike.access.roles import CUSTOMERS_READ, CUSTOMERS_WRITE, TASKS_READ, TASKS_WRITE
from zhike.customers import suggest as customers
from zhike.i18n import Text, say, text
from zhike.tasks import suggest as tasks
from zhike.ui import Html, PageCall
from zhike.ui.formats import phone

_FEW, _MANY = 6, 20
_COMMANDS = (
    (text("New customer"), "user-plus", "/customers/new", CUSTOMERS_WRITE),
    (text("New task"), "checkbox", "/tasks/new", TASKS_WRITE),
)


class SearchQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The address of a search.

    Args:
        q: What is looked for.
    """

    q: Annotated[str, Meta(max_length=200)] = ""


async def suggest(call: PageCall, query: SearchQuery) -> dict[str, list[dict[str, Any]]]:
    """Answer the command palette with what it may mean, the surest first."""
    return {"items": await _found(call, query.q.strip(), _FEW)}


async def show(call: PageCall, query: SearchQuery) -> Html:
    """Show all that is found, as a page."""
    items = await _found(call, query.q.strip(), _MANY) if query.q.strip() else []
    return await call.render("home/search.html", q=query.q, items=items)


async def _found(call: PageCall, q: str, limit: int) -> list[dict[str, Any]]:
    found = []
    if q and call.may(CUSTOMERS_READ):
        for hit in await customers.suggest(call, q, limit):
            name = hit.name or text("Customer {id}", id=hit.id).render(call.locale)
            icon = "building" if hit.kind == "company" else "user"
            hint = " · ".join(filter(None, (phone(hit.phone, absent=""), hit.company)))
            found.append(_item(call, text("Customers"), name, f"/customers/{hit.id}", icon, hint))
    if q and call.may(TASKS_READ):
        for task in await tasks.suggest(call, q, limit):
            found.append(_item(call, text("Tasks"), task.title, f"/tasks/{task.id}", "checkbox"))
    return found + _pages(call, q)


def _pages(call: PageCall, q: str) -> list[dict[str, Any]]:
    """Return commands and entries of the navigation, which are found in both languages."""
    fold = q.casefold()
    entries: list[tuple[Text, Text | str, str, str]] = [
        (text("Commands"), label, icon, path) for label, icon, path, permission in _COMMANDS if call.may(permission)
    ]
    items = call.host.platform.registry.nav_items.values()
    seen = [item for item in items if item.permission is None or call.may(item.permission)]
    entries += [(text("Pages"), item.label, item.icon, item.path) for item in sorted(seen, key=lambda each: each.order)]
    return [
        _item(call, group, label, path, icon)
        for group, label, icon, path in entries
        if fold in path or any(fold in say(label, locale).casefold() for locale in (call.locale, "en", "zh_CN"))
    ]


def _item(call: PageCall, group: Text, label: Text | str, path: str, icon: str, hint: str = "") -> dict[str, Any]:
    words = {"group": group.render(call.locale), "label": say(label, call.locale), "hint": hint}
    return {**words, "path": path, "icon": icon}
