"""Which customers something is to be done to: those named, or all who are found now, page by page."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from zhike import wire
from zhike.access.scope import visible_customers
from zhike.api import MAX_ID, Id
from zhike.conditions import service as conditions
from zhike.customers.service import found_ids
from zhike.i18n import text
from zhike.wire import Fault

if TYPE_CHECKING:
    from zhike.access.actor import Actor
    from zhike.conditions.checked import Checked
    from zhike.orm import Connection
    from zhike.platform import Platform

PAGE = 10_000
"""Customers that are looked up at a time, and most that can be named."""


class Selection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Customers: those named, or all for whom a condition holds and whom a search finds.

    Args:
        ids: At most 10,000 customers; those out of sight are left out.
        condition: A condition; `{"type": "all", "of": []}` is everybody.
        q: A search as in `GET /customers?q=`.
    """

    ids: Annotated[list[Id], Meta(min_length=1, max_length=PAGE)] | UnsetType = UNSET
    condition: msgspec.Raw | UnsetType = UNSET
    q: Annotated[str, Meta(min_length=1, max_length=1_000)] | UnsetType = UNSET


class Rest(msgspec.Struct, frozen=True, kw_only=True):
    """The customers that are left.

    Args:
        ids: The next ones.
        condition: Who comes after them, as JSON knows it; None without a condition.
        q: Likewise.
        at: The instant that counts as now for the condition.
        place: Where the search goes on; None at its end.
    """

    ids: list[int]
    condition: Any = None
    q: str | None = None
    at: datetime
    place: int | None = None

    @property
    def empty(self) -> bool:
        """Whether none are left."""
        return not self.ids and self.place is None


def rest_of(selection: Selection, now: datetime) -> Rest:
    """Return all customers of a selection as what is left.

    Raises:
        BadRequest: If it says both who they are and how they are found, or neither.
    """
    named, found = selection.ids is not UNSET, selection.condition is not UNSET or selection.q is not UNSET
    if named == found:
        raise wire.refuse(Fault("selection", text("expected either ids, or condition or q")))
    if selection.ids is not UNSET:
        return Rest(ids=sorted(set(selection.ids)), at=now)
    condition = None if selection.condition is UNSET else msgspec.json.decode(selection.condition)
    q = None if selection.q is UNSET else selection.q
    return Rest(ids=[], condition=condition, q=q, at=now, place=0 if q is None else MAX_ID)


def checked(platform: Platform, actor: Actor, rest: Rest) -> Checked | None:
    """Return the condition by which customers are found, checked against what `actor` sees; None without one.

    Raises:
        BadCondition: If it cannot be used.
    """
    return None if rest.condition is None else conditions.check(platform, rest.condition, actor=actor)


async def filled(connection: Connection, platform: Platform, actor: Actor, rest: Rest) -> Rest:
    """Return what is left with the next page of customers, unless some are there or none are left.

    Raises:
        BadCondition: If the condition cannot be used any more.
    """
    condition = checked(platform, actor, rest)
    moment = conditions.moment(platform.settings, rest.at)
    while not rest.ids and rest.place is not None:
        if rest.q is None:
            assert condition is not None  # noqa: S101  # `rest_of` sees to it
            visible = visible_customers(actor)
            page = await conditions.members_after(
                connection, condition, moment, visible=visible, after=rest.place, limit=PAGE
            )
            ids = page
        else:
            page = await found_ids(connection, actor, rest.q, rest.place, PAGE)
            ids = (
                page
                if condition is None
                else sorted(await conditions.members(connection, condition, moment, among=page))
            )
        rest = msgspec.structs.replace(rest, ids=ids, place=page[-1] if len(page) == PAGE else None)
    return rest
