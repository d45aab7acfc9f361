"""Who sends a request: the bearer token it carries and whether that grants the route's permission."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zhike.api import Public
from zhike.errors import Unauthorized
from zhike.i18n import text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zhike._host.web.services import Services
    from zhike.access.actor import Actor


async def authorise(headers: Mapping[bytes, bytes], permission: str | Public, services: Services) -> Actor | None:
    """Return who sends the request, or None on a public route.

    Args:
        headers: The request's headers, names in small letters.
        permission: What the route needs.
        services: Where tokens are looked up.

    Raises:
        Unauthorized: If no token came along, or one that is unknown, expired or revoked.
        Forbidden: If its role does not grant the permission.
        Unavailable: If the token is not cached and the database cannot be asked.
    """
    if isinstance(permission, Public):
        return None
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() != b"bearer":
        raise Unauthorized(text("Send a token made by `zhike token create`, as `Authorization: Bearer <token>`"))
    actor = await services.tokens.find(token.strip().decode("latin-1"))
    if actor is None:
        raise Unauthorized(text("The token is not known, has expired or was revoked"), code="invalid_token")
    actor.require(permission)
    return actor
