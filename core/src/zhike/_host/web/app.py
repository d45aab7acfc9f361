"""The ASGI application: core's routes on Litestar behind one thin edge that every request passes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from urllib.parse import unquote_to_bytes

from litestar import Litestar, Request, Response
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.plugins import PluginProtocol
from litestar.types import HTTPScope, Message, Receive, Scope, Send

from zhike._host.web import cors, health
from zhike._host.web.endpoint import SERVICES, locale_of, to_handler
from zhike._host.web.openapi import openapi_route
from zhike._host.web.page import call_of, failed, to_page_handler, wants_page
from zhike._host.web.problems import PROBLEM_JSON, from_error, from_status, problem
from zhike._host.web.reply import Reply
from zhike._host.web.services import Services
from zhike._host.web.static import static
from zhike.api import API, Route
from zhike.contracts import PageRoute
from zhike.errors import NotFound, Refused, Unavailable
from zhike.i18n import text
from zhike.platform import Platform
from zhike.settings import Settings

MAX_ADDRESS = 8192
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (
        b"content-security-policy",
        b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
TLS_ONLY = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
"""For browsers that come over TLS: they are to do so for a year."""


Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]


class Application:
    """The ASGI application.

    Its edge refuses addresses that are no text, answers HEAD as GET without the body, and puts the security
    headers on everything that goes out; one function, where every request would pay for a stack of middleware.

    Args:
        services: What requests are answered with.
        litestar: Routes and lifespan; another one takes its place when the plugins are loaded.
    """

    def __init__(self, services: Services, litestar: Litestar) -> None:
        self.services = services
        self.litestar = litestar

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan of the process."""
        if scope["type"] != ScopeType.HTTP:
            await self.litestar(scope, receive, send)
            return

        secure = self.services.settings.secure or scope.get("scheme") == "https"
        ours = (*HEADERS, TLS_ONLY) if secure else HEADERS

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(each for each in ours if each[0] not in given)]
            await send(message)

        served: dict[str, Any] = {**scope, SERVICES: self.services}
        if scope["method"] == "HEAD":
            served["method"] = "GET"  # the server leaves the body out
        refusal = self._refusal(scope)
        if scope["method"] == "OPTIONS" and refusal is None:
            refusal = await cors.preflight(scope, self.services)
        app = self.litestar if refusal is None else refusal
        await app(served, receive, send_with_headers)  # type: ignore[arg-type]  # a scope with our own key

    def _refusal(self, scope: HTTPScope) -> Reply | None:
        path, query = scope.get("raw_path") or b"", scope["query_string"]
        if len(path) + len(query) > MAX_ADDRESS:
            status, detail = 414, text("The address has more than {n} bytes", n=MAX_ADDRESS)
        elif (b"%" in path and not _is_text(path)) or (b"%" in query and not _is_text(query)):
            status, detail = 400, text("The address is no UTF-8 text, or has a NUL in it")
        else:
            return None
        locale = locale_of(dict(scope["headers"]), self.services.settings.locale)
        return problem(status, "address", detail, locale)


def create_app(settings: Settings, url: str, *, routes: Iterable[Route] = ()) -> Application:
    """Return the application, ready to be served.

    Args:
        settings: The deployment's settings.
        url: The database's URL; opened at the start of the lifespan and closed at its end.
        routes: Further routes under `/api/v1`.

    Raises:
        Refused: If a route declares no permission.
    """
    services = Services(settings, url)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with services.running():
            yield

    # Which other routes there are is known when the plugins are loaded, for which the database is needed.
    given = tuple(routes)
    application = Application(services, _router(given, [lifespan]))

    def loaded(platform: Platform) -> None:
        registry = platform.registry
        application.litestar = _router(
            (*(route for _, route in registry.routes), *given), pages=[page for _, page in registry.pages]
        )

    services.on_loaded = loaded
    return application


class _Router(Litestar):
    """Litestar without its plugins for pydantic and attrs: importing those takes every start an eighth of a second."""

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return plugins


def _router(api: Sequence[Route], lifespan: Sequence[Lifespan] = (), pages: Sequence[PageRoute] = ()) -> Litestar:
    litestar = _Router(
        [
            *(to_handler(route, API) for route in api),
            *(to_handler(route, "") for route in health.ROUTES),
            *([static, *(to_page_handler(page) for page in pages)] if pages else []),
            *([to_handler(openapi_route(api, health.ROUTES), "")] if api else []),
        ],
        exception_handlers={Exception: _router_problem},
        lifespan=lifespan,
        logging_config=None,
        openapi_config=None,
    )
    require_permissions(litestar)
    return litestar


def require_permissions(litestar: Litestar) -> None:
    """Refuse an application in which some route says neither which permission it needs nor why it needs none.

    Raises:
        Refused: The message names the route.
    """
    for route in litestar.routes:
        for handler in _handlers(route):
            if not handler.opt.get("permission") and not _answers_options(handler):
                raise Refused(text("The route {path} declares no permission", path=route.path))


def _handlers(route: Any) -> list[BaseRouteHandler]:
    handlers: list[BaseRouteHandler] = getattr(route, "route_handlers", None) or [route.route_handler]
    return handlers


def _answers_options(handler: BaseRouteHandler) -> bool:
    """Tell whether this is the handler Litestar adds to every path, which only lists the allowed methods."""
    return isinstance(handler, HTTPRouteHandler) and handler.http_methods == {"OPTIONS"}


def _router_problem(request: Request[Any, Any, Any], error: Exception) -> Any:
    """Tell of what the router itself raised: an unknown path, a wrong method, a bad host, or a defect."""
    services: Services = request.scope[SERVICES]  # type: ignore[literal-required]  # our own key
    absent = isinstance(error, HTTPException) and error.status_code == 404
    if not services.loaded and absent:
        error = Unavailable(text("The server is starting; try again"), retry_after=1)
    if wants_page(request) and (absent or not isinstance(error, HTTPException)):
        return _PageProblem(request, NotFound(text("There is no such page")) if services.loaded and absent else error)
    locale = locale_of(dict(request.scope["headers"]), services.settings.locale)
    if isinstance(error, HTTPException) and error.status_code < 500:
        reply = from_status(error.status_code, locale, error.headers)
    else:
        reply = from_error(error, locale)
    headers = {name.decode(): value.decode() for name, value in reply.headers[2:]}
    return Response(reply.body, status_code=reply.status, media_type=PROBLEM_JSON.decode(), headers=headers)


class _PageProblem:
    """A response of Litestar's that is drawn when it is sent: its exception handlers cannot wait for anything."""

    def __init__(self, request: Request[Any, Any, Any], error: Exception) -> None:
        self._request = request
        self._error = error

    def to_asgi_response(self, **_: object) -> _PageProblem:
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reply = await failed(call_of(self._request), self._error)
        await reply(scope, receive, send)


def _is_text(escaped: bytes) -> bool:
    plain = unquote_to_bytes(escaped)
    try:
        plain.decode()
    except UnicodeDecodeError:
        return False
    return b"\x00" not in plain
