"""Tasks for the command palette, and the search that answers with tasks and customers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from zhike.access.roles import CUSTOMERS_READ, TASKS_READ
from zhike.api import MAX_ID, Call, Route
from zhike.contracts import TaskStatus
from zhike.customers import suggest as customers
from zhike.tasks import sql

MOST = 20
_READ_THROUGH = 20_000
# No index knows what stands in the middle of a title: only so many are read, those that are due first.
_FIND = """
SELECT t.id, t.title, t.status, t.customer_id, t.assignee, t.due_at FROM (
  SELECT t.* FROM task AS t WHERE {unfinished} AND t.id = $1 UNION ALL
  (SELECT t.* FROM task AS t WHERE {unfinished} AND t.id <> $1 ORDER BY {due}, t.id LIMIT {most})
) AS t
WHERE (t.id = $1 OR strpos(lower(t.title), lower($2)) > 0) AND {visible} ORDER BY t.id <> $1, {due}, t.id LIMIT $3
"""


class SearchQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The query parameters of `GET /search`.

    Args:
        q: What is looked for.
        limit: Most hits of each kind.
    """

    q: Annotated[str, Meta(min_length=1, max_length=200)]
    limit: Annotated[int, Meta(ge=1, le=MOST)] = 8


class TaskHit(msgspec.Struct, frozen=True, kw_only=True):
    """A task that is suggested.

    Args:
        id: Its id.
        title: What is to be done.
        status: `open` or `in_progress`.
        customer_id: The customer it is about, or None.
        assignee: Id of the user who is to do it, or None.
        due_at: Until when, or None.
    """

    id: int
    title: str
    status: TaskStatus
    customer_id: int | None
    assignee: int | None
    due_at: datetime | None


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, by its kind.

    Args:
        customers: The newest whom the query means.
        tasks: Those that are not finished with the query in their title or as their id, by due time.
    """

    customers: list[customers.CustomerHit]
    tasks: list[TaskHit]


async def suggest(call: Call, q: str, limit: int) -> list[TaskHit]:
    """Return unfinished tasks that a query means and the caller sees.

    Args:
        call: Who asks.
        q: Part of a title, or an id.
        limit: Most of them.
    """
    if call.actor.scope(TASKS_READ) is None:
        return []
    statement = _FIND.format(
        unfinished=sql.IS_UNFINISHED, visible=sql.visible(call.actor), due=sql.DUE, most=_READ_THROUGH
    )
    number = int(q) if q.isascii() and q.isdigit() and int(q) <= MAX_ID else 0
    return [TaskHit(**row) for row in await call.db.fetch(statement, number, q, limit)]


async def search(call: Call, query: SearchQuery) -> Found:
    """Find customers by name, pinyin, phone or any identity, and unfinished tasks by their title."""
    if not (q := query.q.strip()):
        return Found(customers=[], tasks=[])
    found = await customers.suggest(call, q, query.limit)
    return Found(customers=found, tasks=await suggest(call, q, query.limit))


ROUTES = (
    Route(
        method="GET",
        path="/search",
        handler=search,
        permission=CUSTOMERS_READ,
        summary="Search everything",
        query=SearchQuery,
        answer=Found,
    ),
)
