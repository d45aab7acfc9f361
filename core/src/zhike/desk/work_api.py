"""Routes of what runs in the background: how far it is, stopping it, and doing something to many customers."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from zhike import wire
from zhike.access.roles import CUSTOMERS_READ
from zhike.api import Call, Page, PageQuery, Route
from zhike.desk import bulk, progress
from zhike.desk.progress import Progress
from zhike.desk.selection import Selection
from zhike.i18n import say


class BulkRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `POST /desk/bulk` takes.

    Args:
        action: Key of the action, such as `customers.set_owner`.
        selection: To whom.
        options: As the action's form asks for.
    """

    action: Annotated[str, Meta(max_length=200)]
    selection: Selection
    options: dict[str, Any] | None = None


class ActionItem(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the caller can do to many customers.

    Args:
        key: Its key.
        label: Name for people.
        icon: Name of an icon.
        options: JSON Schema of its options; null when there are none.
    """

    key: str
    label: str
    icon: str
    options: dict[str, Any] | None


class Actions(msgspec.Struct, frozen=True):
    """What the caller can do to many customers.

    Args:
        items: By key.
    """

    items: list[ActionItem]


async def list_actions(call: Call) -> Actions:
    """List what the caller can do to many customers."""
    known = call.host.platform.registry.bulk_actions
    return Actions(
        [
            ActionItem(
                key=key,
                label=say(action.label, call.locale),
                icon=action.icon,
                options=None if action.form is None else msgspec.json.schema(action.form),
            )
            for key, action in sorted(known.items())
            if call.actor.scope(action.permission) is not None
        ]
    )


async def start_bulk(call: Call) -> Progress:
    """Begin to do something to many customers: those that the caller sees and may do it to."""
    said = wire.decode(call.body, call.body_type, BulkRequest)
    platform = call.host.platform
    progress_id = await bulk.start(platform, call.actor, said.action, said.selection, said.options)
    return await progress.get(call.db, call.actor, progress_id, call.locale)


async def list_progress(call: Call, query: PageQuery) -> Page[Progress]:
    """List what the caller has started, the latest first."""
    return await progress.list_(call.db, call.actor, query, call.locale, key=call.host.cursor_key)


async def get_progress(call: Call) -> Progress:
    """Return how far something is that the caller has started."""
    return await progress.get(call.db, call.actor, call.id("progress_id"), call.locale)


async def cancel_progress(call: Call) -> Progress:
    """Have something stop before its next piece; what is done stays done."""
    progress_id = call.id("progress_id")
    await progress.cancel(call.db, call.actor, progress_id)
    return await progress.get(call.db, call.actor, progress_id, call.locale)


_route = partial(Route, permission=CUSTOMERS_READ)
_one = partial(_route, answer=Progress)

ROUTES = (
    _route(
        method="GET",
        path="/desk/bulk",
        handler=list_actions,
        summary="What can be done to many customers",
        answer=Actions,
    ),
    _route(
        method="POST",
        path="/desk/bulk",
        handler=start_bulk,
        summary="Do something to many customers",
        body=BulkRequest,
        answer=Progress,
        status=202,
    ),
    _route(
        method="GET",
        path="/desk/progress",
        handler=list_progress,
        summary="What the caller has started",
        query=PageQuery,
        answer=Page[Progress],
    ),
    _one(method="GET", path="/desk/progress/{progress_id}", handler=get_progress, summary="How far something is"),
    _one(
        method="POST",
        path="/desk/progress/{progress_id}/cancel",
        handler=cancel_progress,
        summary="Stop something that runs",
        statuses=(409,),
    ),
)
