"""Serves static files at addresses that change with their content, so that browsers may keep them for ever."""

from __future__ import annotations

from typing import Any

from litestar import Request
from litestar.handlers import get
from litestar.types import ASGIApp

from zhike._host.web.endpoint import SERVICES, locale_of
from zhike._host.web.problems import from_error
from zhike._host.web.reply import Reply
from zhike._host.web.services import Services
from zhike.api import Public
from zhike.errors import NotFound
from zhike.i18n import text

_FOREVER = (b"cache-control", b"public, max-age=31536000, immutable")
_BRIEFLY = (b"cache-control", b"no-cache")


@get(
    "/static/{owner:str}/{digest:str}/{file:path}",
    opt={"permission": Public("static files are the same for everybody")},
    name="static",
)
async def static(request: Request[Any, Any, Any]) -> ASGIApp:
    """Send a static file; at the address of another content than today's it may not be kept."""
    headers = dict(request.scope["headers"])
    services: Services = request.scope[SERVICES]  # type: ignore[literal-required]  # our own key
    try:
        return _send(services, headers, **request.path_params)
    except Exception as error:
        return from_error(error, locale_of(headers, services.settings.locale))


def _send(services: Services, headers: dict[bytes, bytes], owner: str, digest: str, file: str) -> Reply:
    statics = services.ui.statics
    name = str(file).lstrip("/")
    found = statics.find(owner, name)
    if found is None:
        raise NotFound(text("There is no such file"))
    kept = _FOREVER if statics.address(owner, name).split("/")[3] == digest else _BRIEFLY
    given = [kept, (b"vary", b"accept-encoding")]
    if found.packed is not None and b"gzip" in headers.get(b"accept-encoding", b""):
        return Reply(found.packed, found.media_type.encode(), headers=(*given, (b"content-encoding", b"gzip")))
    return Reply(found.content, found.media_type.encode(), headers=tuple(given))
