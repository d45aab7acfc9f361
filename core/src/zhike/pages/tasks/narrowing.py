"""What narrows tasks, in the list as on the board and in the calendar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypedDict

import msgspec
from msgspec import Meta

from zhike.access.roles import CUSTOMERS_READ
from zhike.api import Id
from zhike.contracts import TaskPriority
from zhike.customers.service import many
from zhike.i18n import Text, text
from zhike.pages.tasks.words import PRIORITIES, called
from zhike.tasks import board
from zhike.tasks.query import TasksQuery
from zhike.ui import PageCall
from zhike.ui.rendering import url
from zhike.ui.tables import Filter

VIEWS = (
    ("/tasks", text("List"), "list"),
    ("/tasks/board", text("Board"), "layout-kanban"),
    ("/tasks/calendar", text("Calendar"), "calendar"),
)
_WHOSE = (("me", text("My tasks")), ("team", text("My team's")), ("all", text("All")))


class Narrowing(msgspec.Struct, frozen=True, kw_only=True):
    """The part of the address that is the same for list, board and calendar.

    Args:
        whose: One's own tasks, those of one's team, or all that one sees.
        q: Part of a title, or a number.
        priority: Only those of this priority.
        assignee: Only those of this user.
        team: Only those in this team's queue.
        customer: Only those about this customer.
    """

    whose: Literal["me", "team", "all"] = "me"
    q: Annotated[str, Meta(max_length=200, pattern=r"\A[^\0]*\Z")] = ""
    priority: TaskPriority | None = None
    assignee: Id | None = None
    team: Id | None = None
    customer: Id | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """What is set, for links and saved views."""
        defaults = {each.name: each.default for each in msgspec.structs.fields(self)}
        given = msgspec.structs.asdict(self)
        return {name: value for name, value in given.items() if value != defaults[name] and name != "cursor"}

    def wanted(self, **more: Any) -> TasksQuery:
        """Return the query for the tasks, with more to it."""
        return TasksQuery(
            whose=None if self.whose == "all" else self.whose,
            q=self.q,
            priority=self.priority,
            assignee=self.assignee,
            team=self.team,
            customer_id=self.customer,
            **more,
        )


class Around(TypedDict):
    """What stands above the tasks: the tabs, and the ways to look at them."""

    tabs: list[dict[str, Any]]
    views: list[dict[str, Any]]


async def around(call: PageCall, query: Narrowing, path: str) -> Around:
    """Return the tabs with their counts and the ways to look at tasks, with what is narrowed kept."""
    found = await board.counts(call.db, call.actor, zone=call.zone)
    counts = {"me": found.mine.unfinished, "team": found.team.unfinished, "all": None}
    kept = {name: value for name, value in query.parameters.items() if name in Narrowing.__struct_fields__}
    beside = {name: value for name, value in query.parameters.items() if name != "whose"}
    return Around(
        tabs=[
            {
                "label": label,
                "path": url(path, **({"whose": key} if key != "me" else {}), **beside),
                "active": query.whose == key,
                "count": counts[key],
            }
            for key, label in _WHOSE
        ],
        views=[
            {"label": label, "icon": icon, "path": url(each, **kept), "active": each == path}
            for each, label, icon in VIEWS
        ],
    )


async def filters(call: PageCall, query: Narrowing) -> Sequence[Filter]:
    """Return the fields that narrow; the picker of customers is told what the chosen one is called."""
    priorities: list[tuple[str, Text | str]] = [(key, each.label) for key, each in PRIORITIES.items()]
    found = [
        Filter(name="q", label=text("Search"), placeholder=text("Title or number")),
        Filter(name="priority", label=text("Priority"), kind="select", options=priorities),
        Filter(name="assignee", label=text("Assignee"), kind="user"),
        Filter(name="team", label=text("Team"), kind="team"),
    ]
    if call.may(CUSTOMERS_READ):
        customers = await many(call.db, call.actor, {query.customer} if query.customer else set())
        options = [(str(key), called(each) or "") for key, each in customers.items()]
        found.append(Filter(name="customer", label=text("Customer"), kind="customer", options=options))
    return found
