"""Who sends a request, by its Authorization header, and whether that grants the route's permission."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from zhike.access.tokens import PREFIX
from zhike.api import Public
from zhike.errors import Unauthorized, Unavailable, ZhikeError
from zhike.i18n import text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zhike._host.web.services import Services
    from zhike.access.actor import Actor
    from zhike.hooks import Hooks

logger = logging.getLogger("zhike.web")


async def authorise(headers: Mapping[bytes, bytes], permission: str | Public, services: Services) -> Actor | None:
    """Return who sends the request, or None on a public route.

    Args:
        headers: The request's headers, names in small letters.
        permission: What the route needs.
        services: Where tokens are looked up, and the plugins that are asked about everything else.

    Raises:
        Unauthorized: If no token came along, or one that is unknown, expired or revoked.
        Forbidden: If its role does not grant the permission.
        Unavailable: If the token is not cached and the database cannot be asked, or a plugin failed.
    """
    if isinstance(permission, Public):
        return None
    header = headers.get(b"authorization", b"")
    scheme, _, token = header.partition(b" ")
    secret = token.strip().decode("latin-1") if scheme.lower() == b"bearer" else ""
    if secret.startswith(PREFIX):
        actor = await services.tokens.find(secret)
    else:
        actor = await _resolve(services.platform.hooks, header.decode("latin-1")) if header else None
    if actor is None and secret:
        raise Unauthorized(text("The token is not known, has expired or was revoked"), code="invalid_token")
    if actor is None:
        raise Unauthorized(text("Send a token made by `zhike token create`, as `Authorization: Bearer <token>`"))
    actor.require(permission)
    return actor


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
