"""Who sends a request, by its Authorization header or its session, and whether that grants the route's permission."""

from __future__ import annotations

import logging

import msgspec
from litestar.types import HTTPScope

from zhike._host.web.client import Headers, address_of, browser_of, require_same_origin
from zhike._host.web.services import Services
from zhike.access.actor import Actor
from zhike.access.cookies import CSRF_HEADER, check_csrf
from zhike.access.tokens import PREFIX
from zhike.api import Browser, Public, Route
from zhike.contracts import PageRoute
from zhike.errors import Forbidden, Unauthorized, Unavailable, ZhikeError
from zhike.hooks import Hooks
from zhike.i18n import text

PASSIVE_HEADER = b"x-zhike-passive"
"""Comes with what a page asks for by itself, again and again."""
logger = logging.getLogger("zhike.web")


async def authorise(
    scope: HTTPScope, headers: Headers, route: Route | PageRoute, services: Services, csrf: str | None = None
) -> tuple[Actor | None, Browser | None]:
    """Return who sends the request, None on a public route; and, on a route of logins, where it comes from.

    Args:
        scope: The request.
        headers: Its headers, names in small letters.
        route: What is asked for.
        services: Where tokens and sessions are looked up, and the plugins that are asked about everything else.
        csrf: What a form brings along instead of the header `X-CSRF-Token`.

    Raises:
        Unauthorized: If no token came along, or one that is unknown, expired or revoked; or so of a session.
        Forbidden: If the actor does not hold the permission, or another site's page sent the request.
        TooMany: If a token of kind `collect` is used too often.
        Unavailable: If the token is not cached and the database cannot be asked, or a plugin failed.
    """
    permission = route.permission
    if isinstance(permission, Public):
        if not permission.same_origin:
            return None, None
        if route.method != "GET":
            require_same_origin(scope, headers, services.settings)
        return None, browser_of(scope, headers, services.settings)
    actor, browser = await _by_header(headers, services), None
    if actor is None:
        actor, browser = await _by_session(scope, headers, services)
    try:
        if browser is not None and route.method != "GET":
            require_same_origin(scope, headers, services.settings)
            check_csrf(browser.token or "", headers.get(CSRF_HEADER, b"").decode("latin-1") or csrf or "")
        if actor.collects:
            if not (isinstance(route, Route) and route.collects):
                raise Forbidden(text("A token of kind collect may only send events"))
            origin = headers.get(b"origin", b"").decode("latin-1")
            services.gate.admit(actor, origin, address_of(scope, headers, services.settings))
        if isinstance(permission, str):
            actor.require(permission)
        elif browser is None:
            raise Forbidden(text("This is for those who have logged in, not for tokens"))
    except Forbidden as error:
        logger.warning("%s was refused %s %s: %s", actor.origin, route.method, route.path, error.code)
        raise
    return actor, browser


async def _by_header(headers: Headers, services: Services) -> Actor | None:
    """Return who an Authorization header names; None without one."""
    if not (header := headers.get(b"authorization")):
        return None
    scheme, _, token = header.partition(b" ")
    secret = token.strip().decode("latin-1") if scheme.lower() == b"bearer" else ""
    if secret.startswith(PREFIX):
        actor = await services.directory.find(secret)
    else:
        actor = await _resolve(services.platform.hooks, header.decode("latin-1"))
    if actor is None and secret:
        raise Unauthorized(text("The token is not known, has expired or was revoked"), code="invalid_token")
    if actor is None:
        raise _nobody()
    return actor


async def _by_session(scope: HTTPScope, headers: Headers, services: Services) -> tuple[Actor, Browser]:
    """Return the user whose session's cookie came along, and where they are."""
    browser = browser_of(scope, headers, services.settings) if b"cookie" in headers else None
    if browser is None or browser.token is None:
        raise _nobody()
    found = await services.sessions.find(browser.token, used=PASSIVE_HEADER not in headers)
    if found is None:
        raise Unauthorized(text("The session has ended; log in again"), code="session_ended")
    return found.actor, msgspec.structs.replace(browser, session=found.id)


def _nobody() -> Unauthorized:
    return Unauthorized(text("Send a token made by `zhike token create`, as `Authorization: Bearer <token>`"))


async def _resolve(hooks: Hooks, header: str) -> Actor | None:
    """Ask the plugins. One that fails may be the one that would have said no, so that nobody gets in then."""
    try:
        actor: Actor | None = await hooks.first("resolve_actor", authorization=header)
        if actor is None or actor.kind in {"token", "user"}:
            return actor
        logger.error("resolve_actor answered with an actor of kind %s, which no request may be", actor.kind)
    except Exception as error:  # the hooks have logged it
        if isinstance(error, ZhikeError) and error.status < 500:
            raise
    raise Unavailable(text("It cannot be found out at the moment who sends this request; try again"), retry_after=1)
