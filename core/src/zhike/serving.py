"""Glue between routes and services: units of work, bodies, and changes that say which version they are of."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET
from msgspec.structs import asdict, replace

from zhike import wire
from zhike._versions import require_version
from zhike.api import Call, Route
from zhike.work import Work, begin

T = TypeVar("T", bound=msgspec.Struct)


def working(call: Call, plugin: str = "") -> AbstractAsyncContextManager[Work]:
    """Begin the unit of work of a request; see `zhike.work.begin`.

    Args:
        call: The request; its actor is the origin.
        plugin: Whose event types may be emitted; "" is the core.
    """
    return begin(call.host.platform, origin=call.actor.origin, plugin=plugin)


async def written(call: Call, do: Callable[..., Awaitable[Any]], given: Any, *, plugin: str = "") -> Any:
    """Have a service write what is given, in a unit of work of its own, and return its answer.

    Args:
        call: The request.
        do: Called with the unit of work, the actor and what is given, and with the path's places by name: those that
            end in `_id` as numbers.
        given: What is to be written.
        plugin: See `working`.
    """
    places = {place: call.id(place) if place.endswith("_id") else each for place, each in call.path.items()}
    async with working(call, plugin) as work:
        return await do(work, call.actor, given, **places)


def writing(write: Callable[..., Awaitable[Any]], *, plugin: str = "", name: str = "", **route: Any) -> Route:
    """Declare a route that does nothing but have a service write what its body says.

    Args:
        write: The `do` of `written`, to which the decoded body is given.
        plugin: See `working`.
        name: What the API's description calls it; the name of `write` when empty.
        **route: The rest of the `Route`.
    """

    async def handler(call: Call) -> Any:
        return await written(call, write, wire.decode(call.body, call.body_type, route["body"]), plugin=plugin)

    handler.__name__ = name or getattr(write, "__name__", "")
    handler.__doc__ = (inspect.getdoc(write) or "").partition("\n\n")[0]  # the rest is for who reads the code
    return Route(handler=handler, **route)


def changed(old: T, change: msgspec.Struct, now: datetime) -> tuple[T, dict[str, Any]]:
    """Return what something becomes, and what of it is another way.

    Args:
        old: As it is stored.
        change: What is to be another way; `UNSET` stays. Its `version` must be that of `old`; `archived` sets
            `archived_at`.
        now: The instant it counts as archived.

    Raises:
        Conflict: With code `version`, if somebody was quicker.
    """
    given = {name: value for name, value in asdict(change).items() if value is not UNSET}
    require_version(getattr(old, "version", None), given.pop("version", None))
    given = {name: value for name, value in given.items() if value != getattr(old, name, UNSET)}
    fields = dict(given)
    if "archived" in fields:
        before: datetime | None = getattr(old, "archived_at", None)
        fields["archived_at"] = (before or now) if fields.pop("archived") else None
    return replace(old, **fields), given
