"""What the home page and the page of a customer show of tasks."""

from __future__ import annotations

from typing import Any

from zhike.access.roles import TASKS_READ
from zhike.contracts import Panel
from zhike.i18n import text
from zhike.pages.tasks.words import shown
from zhike.tasks import board, lists
from zhike.tasks.query import TasksQuery
from zhike.ui import PageCall

_FEW = 8


async def counts(call: PageCall) -> dict[str, Any]:
    """Return how much is due for the reader and for their team."""
    return {"counts": await board.counts(call.db, call.actor, zone=call.zone)}


async def mine(call: PageCall) -> dict[str, Any]:
    """Return the reader's own tasks, what is due first."""
    return await _lines(call, TasksQuery(whose="me", finished=False, sort="due_at", limit=_FEW))


async def of_customer(call: PageCall, customer_id: int) -> dict[str, Any]:
    """Return what is still to be done for a customer."""
    return await _lines(call, TasksQuery(customer_id=customer_id, finished=False, sort="due_at", limit=_FEW))


async def _lines(call: PageCall, query: TasksQuery) -> dict[str, Any]:
    page = await lists.list_(call.db, call.actor, query, zone=call.zone)
    return {"lines": await shown(call, page.items), "more": page.next is not None}


PANELS = (
    Panel(
        key="pages.tasks_due",
        label=text("What is due"),
        load=counts,
        template="tasks/panel_due.html",
        permission=TASKS_READ,
        place="home.main",
        order=10,
    ),
    Panel(
        key="pages.tasks_mine",
        label=text("My tasks"),
        load=mine,
        template="tasks/panel_mine.html",
        permission=TASKS_READ,
        place="home.main",
        order=20,
    ),
    Panel(
        key="pages.tasks_customer",
        label=text("Tasks"),
        load=of_customer,
        template="tasks/panel_customer.html",
        permission=TASKS_READ,
        place="customer.side",
        order=20,
    ),
)
