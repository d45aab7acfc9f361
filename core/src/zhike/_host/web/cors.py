"""Answers browsers that ask whether a page of another site may send events here (CORS): for `collect` tokens."""

from __future__ import annotations

from contextlib import suppress

from litestar.types import HTTPScope

from zhike._host.web.problems import from_error
from zhike._host.web.reply import Header, Reply
from zhike._host.web.services import Services
from zhike.api import API

PATH = f"{API}/events"
"""The one route that pages of other sites may call."""
_SECONDS = b"600"


def allow(origin: bytes) -> list[Header]:
    """Return the headers that let a page read the answer it gets.

    Args:
        origin: The page's, which was found to be allowed.
    """
    return [(b"access-control-allow-origin", origin), (b"vary", b"origin")]


async def readable(path: str, headers: dict[bytes, bytes], services: Services) -> list[Header]:
    """Return the headers that let a page read why its events were refused, and when to come again.

    Args:
        path: What was asked for.
        headers: Of the request.
        services: Where the origins of tokens are looked up.
    """
    origin = headers.get(b"origin", b"")
    if path == PATH and origin:
        with suppress(Exception):  # the database cannot serve, as the answer says
            if origin.decode("latin-1") in await services.gate.origins():
                return [*allow(origin), (b"access-control-expose-headers", b"retry-after")]
    return []


async def preflight(scope: HTTPScope, services: Services) -> Reply | None:
    """Answer a browser that asks before it sends events; None for whatever else it asks, or asks for another page.

    Args:
        scope: An OPTIONS request. It carries no token: the token is looked at when the events come.
        services: Where the origins of tokens are looked up.
    """
    headers = dict(scope["headers"])
    origin = headers.get(b"origin", b"")
    if scope["path"] != PATH or b"access-control-request-method" not in headers or not services.loaded:
        return None
    try:
        if origin.decode("latin-1") not in await services.gate.origins():
            return None
    except Exception as error:  # here is no route that would tell of it
        return from_error(error, services.settings.locale)
    allowed: tuple[Header, ...] = (
        *allow(origin),
        (b"access-control-allow-methods", b"POST"),
        (b"access-control-allow-headers", b"authorization, content-type"),
        (b"access-control-max-age", _SECONDS),
    )
    return Reply(b"", headers=allowed)
