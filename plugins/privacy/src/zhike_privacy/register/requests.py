"""Requests of persons: who has asked for what, and by when it is to be answered."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from msgspec import UNSET

from zhike import clock
from zhike.access import audit
from zhike.access.paging import paged
from zhike.access.scope import visible_customers
from zhike.api import MAX_ID, Call, Page
from zhike.customers import service as customers
from zhike.errors import NotFound
from zhike.i18n import text
from zhike.tasks.due import after_working_time
from zhike_privacy.register.instants import past
from zhike_privacy.register.request import NewRequest, Request, RequestChange, RequestFacts, RequestsQuery

if TYPE_CHECKING:
    from asyncpg import Record

    from zhike.access.actor import Actor
    from zhike.work import Work

DEADLINE = "P15D"
"""Working days in which a request is answered."""

_SEEN = "(r.customer_id IS NULL OR EXISTS (SELECT FROM customer AS c WHERE c.id = r.customer_id AND {visible}))"
_LIST = f"""
SELECT r.* FROM privacy_request AS r
WHERE r.id < $1 AND ($3::text IS NULL OR r.state = $3) AND {_SEEN} ORDER BY r.id DESC LIMIT $2
"""
_ONE = f"SELECT r.* FROM privacy_request AS r WHERE r.id = $1 AND {_SEEN} FOR UPDATE OF r"
_INSERT = """
INSERT INTO privacy_request (customer_id, kind, note, received_at, due_at, actor) VALUES ($1, $2, $3, $4, $5, $6)
RETURNING *
"""
_UPDATE = "UPDATE privacy_request SET state = $2, note = $3, closed_at = $4 WHERE id = $1 RETURNING *"


async def list_person_requests(call: Call, query: RequestsQuery) -> Page[Request]:
    """List what persons whom the actor sees have asked for, the newest first."""
    statement, make = (
        _LIST.format(visible=visible_customers(call.actor, "c", "privacy.read")),
        partial(_request, now=clock.now()),
    )
    return await paged(call, query, f"requests:{query.state}", statement, make, query.state, first=MAX_ID)


async def create(work: Work, actor: Actor, new: NewRequest) -> Request:
    """Note a request; its deadline counts by the default working calendar.

    Raises:
        NotFound: If there is no such customer, or `actor` does not see it.
        BadRequest: If it is said to come from the future.
    """
    platform, customer_id = work.platform, new.customer_id
    if customer_id is not None:
        customer_id = (await customers.get(platform.db, actor, customer_id, permission="privacy.record")).id
    received_at = past("received_at", new.received_at, platform.settings.zone, work.now)
    due_at = await after_working_time(platform, DEADLINE, received_at)
    row = await work.connection.fetchrow(_INSERT, customer_id, new.kind, new.note, received_at, due_at, actor.origin)
    assert row is not None  # noqa: S101  # an INSERT returns its row
    return await _noted(work, actor, _request(row, work.now), "opened")


async def change(work: Work, actor: Actor, changed: RequestChange, *, request_id: int) -> Request:
    """Note what has become of a request.

    Raises:
        NotFound: If there is none, or `actor` does not see its customer.
    """
    statement = _ONE.format(visible=visible_customers(actor, "c", "privacy.record"))
    if (old := await work.connection.fetchrow(statement, request_id)) is None:
        raise NotFound(text("There is no request with the id {id}", id=request_id))
    state = old["state"] if changed.state is UNSET else changed.state
    note = old["note"] if changed.note is UNSET else changed.note
    closed_at = None if state == "open" else old["closed_at"] or work.now
    row = await work.connection.fetchrow(_UPDATE, request_id, state, note, closed_at)
    assert row is not None  # noqa: S101  # it is locked
    return await _noted(work, actor, _request(row, work.now), None if state in {"open", old["state"]} else "closed")


async def _noted(work: Work, actor: Actor, request: Request, became: str | None) -> Request:
    if became and request.customer_id is not None:
        facts = RequestFacts(request_id=request.id, kind=request.kind, state=request.state, due_at=request.due_at)
        work.emit(f"privacy.request_{became}", request.customer_id, key=str(request.id), properties=facts)
    details = {"kind": request.kind, "state": request.state}
    await audit.record(work.connection, actor, "privacy.request", f"privacy_request:{request.id}", details)
    return request


def _request(row: Record, now: datetime) -> Request:
    return Request(**dict(row), overdue=row["state"] == "open" and row["due_at"] <= now)
