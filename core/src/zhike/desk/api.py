"""Routes of notices, saved views and one's own profile: of whoever has logged in, and of nobody else."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from zhike import wire
from zhike.api import Call, Id, Page, PageQuery, Personal, Route
from zhike.desk import notices, profile, views
from zhike.desk.notices import Notice
from zhike.desk.profile import Profile, ProfileChange
from zhike.desk.views import NewView, View, ViewChange

_OWN = Personal("it concerns nothing but what the caller keeps for themselves")


class NoticesQuery(PageQuery, frozen=True, kw_only=True):
    """The query parameters of the list of notices.

    Args:
        limit: See `PageQuery`.
        cursor: See `PageQuery`.
        unread: Whether only those are listed that are not read.
    """

    unread: bool = False


class NoticesRead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `POST /notices/read` takes.

    Args:
        ids: The notices that were read; all when absent.
    """

    ids: Annotated[list[Id], Meta(max_length=1_000)] | UnsetType = UNSET


class Unread(msgspec.Struct, frozen=True):
    """How many notices are not read.

    Args:
        unread: The number.
    """

    unread: int


class ViewsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The query parameter of the list of saved views.

    Args:
        page: Key of the page, such as `customers`.
    """

    page: Annotated[str, Meta(max_length=100)]


class Views(msgspec.Struct, frozen=True):
    """Saved views.

    Args:
        items: One's own first.
    """

    items: list[View]


class Deleted(msgspec.Struct, frozen=True):
    """That it is deleted.

    Args:
        deleted: Always true.
    """

    deleted: bool = True


async def list_notices(call: Call, query: NoticesQuery) -> Page[Notice]:
    """List one's own notices, the newest first."""
    key = call.host.cursor_key
    return await notices.list_(call.db, _user(call), query, call.locale, unread=query.unread, key=key)


async def count_notices(call: Call) -> Unread:
    """Count one's own notices that are not read."""
    return Unread(await notices.unread(call.db, _user(call)))


async def read_notices(call: Call) -> Unread:
    """Note that one has read notices."""
    ids = wire.decode(call.body, call.body_type, NoticesRead).ids
    await notices.mark_read(call.db, _user(call), None if ids is UNSET else ids)
    return await count_notices(call)


async def list_views(call: Call, query: ViewsQuery) -> Views:
    """List the saved views of a page: one's own, and those that others share."""
    return Views(await views.list_(call.db, call.actor, query.page))


async def create_view(call: Call) -> View:
    """Save a view."""
    return await views.create(call.db, call.actor, wire.decode(call.body, call.body_type, NewView))


async def change_view(call: Call) -> View:
    """Change one of one's own views; what is left out of the body stays as it is."""
    said = wire.decode(call.body, call.body_type, ViewChange)
    return await views.change(call.db, call.actor, call.id("view_id"), said)


async def delete_view(call: Call) -> Deleted:
    """Delete one of one's own views."""
    await views.delete(call.db, call.actor, call.id("view_id"))
    return Deleted()


async def get_profile(call: Call) -> Profile:
    """Return one's own profile."""
    return await profile.get(call.host.platform, call.actor)


async def change_profile(call: Call) -> Profile:
    """Change one's own profile; what is left out of the body stays as it is."""
    said = wire.decode(call.body, call.body_type, ProfileChange)
    return await profile.change(call.host.platform, call.actor, said)


def _user(call: Call) -> int:
    return call.actor.user_id or 0  # who has logged in is one


_route = partial(Route, permission=_OWN)

ROUTES = (
    _route(
        method="GET",
        path="/notices",
        handler=list_notices,
        summary="One's own notices",
        query=NoticesQuery,
        answer=Page[Notice],
    ),
    _route(
        method="GET",
        path="/notices/unread",
        handler=count_notices,
        summary="How many notices are not read",
        answer=Unread,
    ),
    _route(
        method="POST",
        path="/notices/read",
        handler=read_notices,
        summary="Mark notices as read",
        body=NoticesRead,
        answer=Unread,
    ),
    _route(
        method="GET", path="/views", handler=list_views, summary="Saved views of a page", query=ViewsQuery, answer=Views
    ),
    _route(
        method="POST",
        path="/views",
        handler=create_view,
        summary="Save a view",
        body=NewView,
        answer=View,
        statuses=(409,),
    ),
    _route(
        method="PATCH",
        path="/views/{view_id}",
        handler=change_view,
        summary="Change a saved view",
        body=ViewChange,
        answer=View,
        statuses=(409,),
    ),
    _route(
        method="DELETE", path="/views/{view_id}", handler=delete_view, summary="Delete a saved view", answer=Deleted
    ),
    _route(method="GET", path="/profile", handler=get_profile, summary="One's own profile", answer=Profile),
    _route(
        method="PATCH",
        path="/profile",
        handler=change_profile,
        summary="Change one's own profile",
        body=ProfileChange,
        answer=Profile,
    ),
)
