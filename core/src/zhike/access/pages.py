"""Pages of logging in and out."""

from __future__ import annotations

from urllib.parse import unquote

from zhike.access import login, sessions
from zhike.access.cookies import csrf_token, masked_csrf, set_cookie
from zhike.api import Personal, Public
from zhike.contracts import PageRoute
from zhike.errors import TooMany, Unauthorized
from zhike.ui import Html, PageCall, Redirect

_ANYBODY = Public("whoever logs in has nothing yet to show but the password", same_origin=True)


async def show_login(call: PageCall) -> Html | Redirect:
    """Ask for login and password; whoever has logged in already goes on."""
    path = _local(unquote(call.address.partition("next=")[2]))
    token = call.browser.token
    if token is not None and not call.fragment and await call.host.sessions.find(token) is not None:
        return call.redirect(path)
    return await _ask(call, path)


async def log_in(call: PageCall) -> Html | Redirect:
    """Begin a session; in a dialog over a page, that page goes on with what was typed into it."""
    path, name = _local(call.field("next")), call.field("login")[:200]
    try:
        _, token = await login.log_in(call.host, call.browser, name, call.field("password")[:1000])
    except (Unauthorized, TooMany) as error:
        return await _ask(call, path, name, error)
    seconds = int(call.host.sessions.lifetime.total_seconds())
    call.headers.append((b"set-cookie", set_cookie(token, secure=call.browser.secure, seconds=seconds).encode()))
    if call.fragment and call.field("dialog"):
        call.event("logged-in", {"csrf": masked_csrf(csrf_token(token))})
        return Html("")
    return call.redirect(path)


async def log_out(call: PageCall) -> Redirect:
    """End the session."""
    await sessions.end(call.db, call.host.sessions, call.actor, call.user_id, call.browser.session)
    call.headers.append((b"set-cookie", set_cookie("", secure=call.browser.secure, seconds=0).encode()))
    return call.redirect("/login")


async def _ask(call: PageCall, path: str, name: str = "", error: Unauthorized | TooMany | None = None) -> Html:
    problem = error.message if error is not None else None
    status = error.status if error is not None else 200
    # A wrong password is told in place, also on the page of its own, which is no dialog for that.
    dialog = call.fragment and (call.field("dialog") != "" or not call.form)
    wait = isinstance(error, TooMany)
    if wait:  # a refusal that is told in place too, and leaves the password there to be sent again
        call.headers.append((b"hx-retarget", b"#login"))
    names = {"next": path, "login": name, "problem": problem, "dialog": dialog, "wait": wait}
    return await call.render("access/login.html", fragment="form", status=status, **names)


def _local(given: str) -> str:
    """Return where to go on: a page of this server, whatever a link says."""
    local = given.startswith("/") and not given.startswith(("//", "/\\", "/login")) and given.isprintable()
    return given if local else "/"


PAGES = (
    PageRoute(path="/login", handler=show_login, permission=_ANYBODY),
    PageRoute(method="POST", path="/login", handler=log_in, permission=_ANYBODY),
    PageRoute(
        method="POST", path="/logout", handler=log_out, permission=Personal("it ends nothing but the caller's session")
    ),
)
