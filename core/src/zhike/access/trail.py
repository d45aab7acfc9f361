"""What administrators read of the audit trail."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from zhike.access.actor import Actor
from zhike.access.masking import masked_fields, sees_all
from zhike.access.roles import ADMIN_AUDIT
from zhike.access.sealer import HEAD
from zhike.api import Call, Page, PageQuery, Route, check_instant
from zhike.ids import decode_cursor, encode_cursor
from zhike.orm import Database

_Instant = Annotated[datetime, Meta(tz=True)]
_ASKED = frozenset({"condition", "q"})
"""Details that quote values somebody has asked about."""
_SEARCHED = 50_000
"""Rows that a text is looked for in."""
_Word = Annotated[str, Meta(min_length=1, max_length=300)]


class AuditQuery(PageQuery, frozen=True, kw_only=True):
    """Which rows.

    Args:
        actor: Who did it, such as `user:3`.
        action: What was done, such as `token.create`.
        object: What it was done to, such as `token:7`.
        from_: Not before this instant.
        to: Before this instant.
        text: Part of action, object or details; looked for in the newest 50,000 rows that the others leave.
    """

    actor: _Word | None = None
    action: _Word | None = None
    object: _Word | None = None
    from_: _Instant | None = msgspec.field(default=None, name="from")
    to: _Instant | None = None
    text: Annotated[str, Meta(min_length=1, max_length=300, pattern=r"\A[^\x00]*\Z")] | None = None


class AuditRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the audit trail.

    Args:
        id: Its id.
        at: When it was written.
        actor: Who did it.
        action: What was done.
        object: What it was done to.
        details: Further facts; null when they were cleared.
        sequence: Its place in the chain; null until it is sealed, a second later at most.
    """

    id: int
    at: datetime
    actor: str
    action: str
    object: str
    details: Any
    sequence: int | None


async def list_(db: Database, actor: Actor, query: AuditQuery, key: bytes = b"") -> Page[AuditRow]:
    """Return a page of the trail, the newest first.

    Args:
        db: Where it is.
        actor: Who asks; if something of customers is kept from them, so are the details that may say it.
        query: Which of it.
        key: The deployment's secret that signs cursors.

    Raises:
        BadRequest: If the cursor was not made for this list, or an instant is out of range.
    """
    for name, instant in (("from", query.from_), ("to", query.to)):
        if instant is not None:
            check_instant(name, instant)
    scope = f"audit:{query.actor}:{query.action}:{query.object}:{query.from_}:{query.to}:{query.text}"
    filters = {
        "actor = {}": query.actor,
        "action = {}": query.action,
        "object = {}": query.object,
        "at >= {}": query.from_,
        "at < {}": query.to,
    }
    after = None if query.cursor is None else decode_cursor(query.cursor, key, tuple[datetime, int], scope=scope)
    given: list[Any] = [value for value in filters.values() if value is not None]
    places = [condition for condition, value in filters.items() if value is not None]
    conditions = [condition.format(f"${place}") for place, condition in enumerate(places, 1)]
    if after is not None:
        conditions.append(f"(at, id) < (${len(given) + 1}, ${len(given) + 2})")
        given += after
    kept = frozenset() if sees_all(actor) else _ASKED | masked_fields(actor)
    rows_of = f"""
        SELECT id, at, actor, action, object, details::text, sequence FROM audit
        WHERE {" AND ".join(conditions) or "true"} ORDER BY at DESC, id DESC
    """
    statement = f"{rows_of} LIMIT {query.size + 1}"
    if query.text is not None:
        given.append(query.text)
        # Whom something is kept from learns nothing of it by looking for it either.
        told = "action || ' ' || object" + ("" if kept else " || ' ' || coalesce(details, '')")
        statement = f"""
            SELECT * FROM ({rows_of} LIMIT {_SEARCHED}) AS newest
            WHERE position(lower(${len(given)}) IN lower({told})) > 0
            ORDER BY at DESC, id DESC LIMIT {query.size + 1}
        """
    rows = await db.fetch(statement, *given)
    items = [AuditRow(**{**row, "details": _shown(row["details"], kept)}) for row in rows[: query.size]]
    last = (items[-1].at, items[-1].id) if len(rows) > query.size else None
    return Page(items, last and encode_cursor(last, key, scope=scope))


class Sealed(msgspec.Struct, frozen=True):
    """How far the chain reaches.

    Args:
        sequence: The number of its last row; 0 without one.
        at: When that was sealed, or None.
        waiting: Rows that are not sealed yet.
    """

    sequence: int
    at: datetime | None
    waiting: int


async def sealed(db: Database) -> Sealed:
    """Return how far the chain reaches."""
    async with db.connection() as connection:
        head = await connection.fetchrow(HEAD)
        waiting = await connection.fetchval("SELECT count(*) FROM audit WHERE sequence IS NULL")
    return Sealed(0, None, waiting) if head is None else Sealed(head["sequence"], head["at"], waiting)


async def list_audit(call: Call, query: AuditQuery) -> Page[AuditRow]:
    """List who did what, the newest first."""
    return await list_(call.db, call.actor, query, call.host.cursor_key)


def _shown(details: str | None, kept: frozenset[str]) -> Any:
    found = msgspec.json.decode(details or "null")
    return {key: value for key, value in found.items() if key not in kept} if isinstance(found, dict) else found


ROUTES = (
    Route(
        method="GET",
        path="/audit",
        handler=list_audit,
        permission=ADMIN_AUDIT,
        summary="The audit trail",
        query=AuditQuery,
        answer=Page[AuditRow],
    ),
)
