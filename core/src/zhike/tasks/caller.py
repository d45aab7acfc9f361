"""Who calls: the customer with a phone number, what they did last, and what is to be done for them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from zhike.access.roles import CUSTOMERS_READ, CUSTOMERS_WRITE, TASKS_READ
from zhike.api import Call, Route
from zhike.contracts import Task
from zhike.customers.figures import Figure
from zhike.customers.lookup import lookup
from zhike.customers.service import Customer
from zhike.events.service import TimelineEvent
from zhike.tasks import lists
from zhike.tasks.query import TasksQuery

_MOST_TASKS = 20


class LookupQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The query parameters of `GET /customers/lookup`.

    Args:
        phone: A whole phone number in any form.
    """

    phone: Annotated[str, Meta(min_length=1, max_length=100)]


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a phone number belongs to.

    Args:
        phone: The number in E.164.
        customers: Who has it and is seen, the newest first, at most 10.
        recent: If that is one, the 20 things they did last, the latest first.
        figures: If that is one, what their events with money come to, the latest first.
        tasks: If that is one, what is still to be done for them, by due time, at most 20.
        create: If nobody has it and the caller may make customers, the body for `POST /customers`; else null.
    """

    phone: str
    customers: list[Customer]
    recent: list[TimelineEvent]
    figures: list[Figure]
    tasks: list[Task]
    create: dict[str, dict[str, str]] | None


async def caller(call: Call, query: LookupQuery) -> Caller:
    """Show who calls from a phone number; where numbers are masked it is audited."""
    known = await lookup(call.host.platform, call.actor, query.phone)
    tasks: list[Task] = []
    if len(known.customers) == 1 and call.actor.scope(TASKS_READ) is not None:
        theirs = TasksQuery(customer_id=known.customers[0].id, finished=False, sort="due_at", limit=_MOST_TASKS)
        tasks = (await lists.list_(call.db, call.actor, theirs, zone=call.settings.zone)).items
    new = not known.customers and call.actor.scope(CUSTOMERS_WRITE) is not None
    return Caller(
        **msgspec.structs.asdict(known), tasks=tasks, create={"identities": {"phone": known.phone}} if new else None
    )


ROUTES = (
    Route(
        method="GET",
        path="/customers/lookup",
        handler=caller,
        permission=CUSTOMERS_READ,
        summary="Who calls",
        query=LookupQuery,
        answer=Caller,
    ),
)
