"""The list of tasks: one's own, one's team's, or all."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from zhike.access.roles import TASKS_WRITE
from zhike.i18n import Text, text
from zhike.pages.customers.views import offered
from zhike.pages.tasks.narrowing import Narrowing, around, filters
from zhike.pages.tasks.words import STATUSES, shown
from zhike.tasks import lists
from zhike.tasks.query import Sort
from zhike.ui import Html, PageCall
from zhike.ui.tables import Filter, Table, TableColumn

PAGE = "tasks"
_DUE: list[tuple[str, Text | str]] = [
    ("overdue", text("Overdue")),
    ("today", text("Due today")),
    ("week", text("Due this week")),
]
_COLUMNS = (
    TableColumn(key="title", label=text("Task"), kind="custom"),
    TableColumn(key="customer", label=text("Customer"), kind="custom"),
    TableColumn(key="status", label=text("Status"), kind="badge"),
    TableColumn(key="priority", label=text("Priority"), kind="custom", sort="priority"),
    TableColumn(key="due", label=text("Due"), kind="custom", sort="due_at"),
    TableColumn(key="assignee", label=text("Assignee"), kind="custom"),
    TableColumn(key="created", label=text("Made"), kind="custom", sort="created_at"),
)


class ListQuery(Narrowing, frozen=True, kw_only=True):
    """The list's address.

    Args:
        status: Only those with this status; what is not finished when empty.
        due: Only what is overdue, or due today or this week.
        sort: What they are ordered by.
        cursor: Where the page begins.
    """

    status: Literal["", "open", "in_progress", "done", "cancelled", "all"] = ""
    due: Literal["", "overdue", "today", "week"] = ""
    sort: Sort | Literal[""] = ""
    cursor: Annotated[str, Meta(max_length=2000)] | None = None


async def show(call: PageCall, query: ListQuery) -> Html:
    """Show the tasks that the reader sees, what is due first."""
    sort = query.sort or "due_at"
    more: dict[str, Any] = {"sort": sort, "cursor": query.cursor}
    if query.due == "overdue":
        more["overdue"] = True
    elif query.due:
        more["due"] = query.due
    if query.status in STATUSES:
        more["status"] = query.status
    elif query.status == "":
        more["finished"] = False
    page = await lists.list_(call.db, call.actor, query.wanted(**more), zone=call.zone, key=call.host.cursor_key)
    statuses: list[tuple[str, Text | str]] = [(key, each.label) for key, each in STATUSES.items()]
    search, *others = await filters(call, query)
    table = Table(
        id="tasks",
        path="/tasks",
        columns=_COLUMNS,
        rows=await shown(call, page.items),
        query=query.parameters,
        sort=sort,
        newer="" if query.cursor else None,
        older=page.next,
        filters=[
            search,
            Filter(
                name="status",
                label=text("Not finished"),
                kind="select",
                options=[*statuses, ("all", text("Any status"))],
            ),
            Filter(name="due", label=text("Due"), kind="select", options=_DUE),
            *others,
        ],
        views=await offered(call, PAGE, "/tasks", query.parameters),
        save_view=f"/views/new?page={PAGE}" if call.user_id is not None else "",
        empty={
            "icon": "checkbox",
            "title": text("Nothing to do here"),
            "text": text("Tasks remind you and your colleagues of what a customer is waiting for."),
            "label": text("New task") if call.may(TASKS_WRITE) else "",
            "path": "/tasks/new",
        },
    )
    return await call.render(
        "tasks/list.html", fragment="list", table=table, query=query, **await around(call, query, "/tasks")
    )
