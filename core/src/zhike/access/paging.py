"""Pages of lists: where one starts, what is on it, and the cursor of the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from asyncpg import Record

from zhike.api import Call, Page, PageQuery
from zhike.ids import decode_cursor, encode_cursor

T = TypeVar("T")


def start(call: Call, query: PageQuery, scope: str, first: Any) -> Any:
    """Return after what a page starts.

    Args:
        call: Who asks.
        query: Which page.
        scope: The list's name.
        first: After what the first page starts.

    Raises:
        BadRequest: If the cursor was not made for this list.
    """
    if query.cursor is None:
        return first
    return decode_cursor(query.cursor, call.host.cursor_key, type(first), scope=scope)


def page(call: Call, query: PageQuery, found: Sequence[T], scope: str, by: str = "id") -> Page[T]:
    """Return a page of what was found, which is one more than shown if there is a next page.

    Args:
        call: Who asks.
        query: Which page.
        found: At most one more than the page's size.
        scope: The list's name.
        by: What the list is in the order of.
    """
    items, more = list(found[: query.size]), len(found) > query.size
    return Page(items, encode_cursor(getattr(items[-1], by), call.host.cursor_key, scope=scope) if more else None)


async def paged(
    call: Call,
    query: PageQuery,
    scope: str,
    statement: str,
    make: Callable[[Record], T],
    *values: object,
    first: Any = 0,
    by: str = "id",
) -> Page[T]:
    """Return a page of what a statement finds.

    Args:
        call: Who asks.
        query: Which page.
        scope: The list's name, with all that narrows it.
        statement: In the order of `by`: $1 is after what the page starts, $2 how many rows are wanted.
        make: Makes an item of a row.
        *values: The statement's further values, from $3 on.
        first: After what the first page starts.
        by: What the list is in the order of.

    Raises:
        BadRequest: If the cursor was not made for this list.
    """
    after = start(call, query, scope, first)
    rows = await call.db.fetch(statement, after, query.size + 1, *values)
    return page(call, query, [make(row) for row in rows], scope, by)
