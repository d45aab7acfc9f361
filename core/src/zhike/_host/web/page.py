"""Serves the pages of the web UI: who may see one, its form, and what is shown when something goes wrong."""

from __future__ import annotations

import gzip
from typing import Any
from urllib.parse import quote

import msgspec
from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from zhike._host.web.auth import authorise
from zhike._host.web.client import browser_of
from zhike._host.web.endpoint import SERVICES
from zhike._host.web.problems import Problem, from_error
from zhike._host.web.reply import Reply, stream
from zhike._host.web.reply import answer as as_json
from zhike._host.web.services import Services
from zhike.api import API, Stream
from zhike.contracts import PageRoute
from zhike.errors import BadRequest, Forbidden, NotFound, Unauthorized, Unavailable, ZhikeError
from zhike.i18n import Text, text
from zhike.ui import queries
from zhike.ui.call import Html, PageCall, Redirect

HTML = b"text/html; charset=utf-8"
POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    b"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY),
    (b"referrer-policy", b"same-origin"),  # with none at all, browsers would not say where a form comes from
    (b"vary", b"HX-Request-Type, Accept-Language, Accept-Encoding, Cookie"),
)
_LEAST = 1400  # bytes that are worth compressing


def to_page_handler(route: PageRoute) -> HTTPRouteHandler:
    """Return the Litestar handler that serves a page.

    Args:
        route: What to serve.
    """

    async def endpoint(request: Request[Any, Any, Any]) -> ASGIApp:
        services: Services = request.scope[SERVICES]  # type: ignore[literal-required]  # our own key
        call = call_of(request)
        try:
            return await _serve(route, services, request, call)
        except Exception as error:
            return await failed(call, error)

    return HTTPRouteHandler(
        path=route.path.replace("}", ":str}"),
        http_method=route.method,
        status_code=200,
        opt={"permission": route.permission, "route": route},
        name=f"{route.method} page {route.path}",
    )(endpoint)


def _address(request: Request[Any, Any, Any]) -> str:
    query = request.scope["query_string"].decode("latin-1")
    return quote(request.scope["path"]) + (f"?{query}" if query else "")


async def _serve(route: PageRoute, services: Services, request: Request[Any, Any, Any], call: PageCall) -> ASGIApp:
    scope, headers = request.scope, call.given
    if route.method == "POST":
        from zhike.ui.upload import read_form

        call.form, call.uploaded = await read_form(request.receive, headers)
        call.posted = True
    actor, browser = await authorise(scope, headers, route, services, call.field("csrf_token"))
    if call.uploaded is not None and not route.upload:
        raise BadRequest(text("This form takes no file"))
    if services.ui.problem is not None:
        raise Unavailable(services.ui.problem)
    call.identify(actor, browser or browser_of(scope, headers, services.settings))
    await services.ui.people.renew(services)
    if route.query is None:
        result = await route.handler(call)
    else:
        result = await route.handler(call, queries.parse(scope["query_string"].decode("latin-1"), route.query))
    return answer(call, result)


def answer(call: PageCall, result: object) -> ASGIApp:
    """Return what a page's handler gave as a response; what is no page is data for a widget, sent as JSON."""
    if isinstance(result, Stream):
        return stream(result)
    if isinstance(result, Redirect):
        reply = Reply(b"", HTML, status=200 if call.fragment else 303)
        name = b"hx-redirect" if call.fragment else b"location"
        reply.headers += [(name, quote(result.path, safe="/?&=#%:+,~;@!$'()*").encode())]
    elif isinstance(result, Html):
        reply = _html(result.text, result.status, call.given)
    else:
        reply = result if isinstance(result, Reply) else as_json(result, None)
    reply.headers += [*call.headers, *HEADERS]
    return reply


async def failed(call: PageCall, error: Exception) -> ASGIApp:
    """Return what is shown when a page cannot be: for a part of one a text that leaves everything as it is.

    Args:
        call: What was asked for.
        error: What was raised.
    """
    stale = isinstance(error, Forbidden) and error.code == "csrf"
    if stale:  # what programs are told, people cannot do
        error = Forbidden(text("This page was opened before you last logged in"), code="csrf")
    problem = _told(error, call.locale)
    status, detail = problem.status, problem.detail
    if isinstance(error, Unauthorized) and not call.fragment:
        return answer(call, Redirect(f"/login?next={quote(call.address, safe='')}"))
    if call.fragment:
        call.event("login" if status == 401 or stale else "toast", {"text": detail, "kind": "danger"})
        call.headers.append((b"hx-reswap", b"none"))
        return answer(call, Html("", status))
    services: Any = call.host
    if not services.loaded or services.ui.problem is not None:
        return bare(call, status, problem.title, [detail], refresh=status == 503)
    try:
        names = {"title": problem.title, "detail": detail, "request_id": problem.error_id or ""}
        page = await call.render("error.html", status=status, advice=_advice(error), **names)
    except Exception as again:  # the theme's own error page
        return bare(call, status, problem.title, [detail, _told(again, call.locale).detail])
    return answer(call, page)


def _advice(error: Exception) -> Text | None:
    """Return what can be done about it."""
    if isinstance(error, Forbidden):
        if error.code == "csrf":
            return text("Go back, reload that page, and send it once more.")
        return text("Ask an administrator for the role that you need.")
    if isinstance(error, NotFound):
        return text("It may have been removed, or is not for you to see. Look for it by the search.")
    if isinstance(error, ZhikeError) and error.retry_after is not None:
        return text("Try again in {n} s.", n=error.retry_after)
    return None


def _told(error: Exception, locale: str) -> Problem:
    """Return what the API would answer; a defect is logged, and told by an id only."""
    return msgspec.json.decode(from_error(error, locale).body, type=Problem)


def bare(call: PageCall, status: int, title: str, lines: list[str], *, refresh: bool = False) -> ASGIApp:
    """Return a page that needs no theme.

    Args:
        call: What was asked for.
        status: HTTP status.
        title: Its heading.
        lines: What it says.
        refresh: Whether the browser is to ask again in a moment.
    """
    from markupsafe import Markup

    language = "zh-CN" if call.locale == "zh_CN" else "en"
    again = Markup('<meta http-equiv="refresh" content="2">') if refresh else ""
    said = Markup("").join(Markup("<p>{}</p>").format(line) for line in lines)
    page = Markup(
        '<!doctype html><html lang="{}"><head><meta charset="utf-8">{}<meta name="viewport"'
        ' content="width=device-width"><meta name="color-scheme" content="light dark"><title>{}</title></head>'
        "<body><main><h1>{}</h1>{}</main></body></html>"
    ).format(language, again, title, title, said)
    return answer(call, Html(page, status))


def _html(text: str, status: int, headers: Any) -> Reply:
    body = text.encode()
    if len(body) > _LEAST and b"gzip" in headers.get(b"accept-encoding", b""):
        return Reply(gzip.compress(body, 5, mtime=0), HTML, status=status, headers=((b"content-encoding", b"gzip"),))
    return Reply(body, HTML, status=status)


def wants_page(request: Request[Any, Any, Any]) -> bool:
    """Tell whether a browser asks for a page, not a program for an answer of the API."""
    headers = dict(request.scope["headers"])
    return b"text/html" in headers.get(b"accept", b"") and not request.scope["path"].startswith(f"{API}/")


def call_of(request: Request[Any, Any, Any]) -> PageCall:
    """Return the call of a request for which nobody has been identified yet."""
    services: Services = request.scope[SERVICES]  # type: ignore[literal-required]  # our own key
    return PageCall(
        actor=None,
        host=services,
        path=request.scope.get("path_params", {}),
        headers=dict(request.scope["headers"]),
        address=_address(request),
    )
