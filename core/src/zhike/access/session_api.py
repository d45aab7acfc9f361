"""Routes of logins: in, out, who am I, and one's own sessions and password."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import msgspec
from msgspec import Meta

from zhike import wire
from zhike.access import login, own_password, sessions, users
from zhike.access.actor import Actor
from zhike.access.cookies import csrf_token, set_cookie
from zhike.access.roles import ADMIN_USERS
from zhike.access.sessions import Session
from zhike.api import Call, Personal, Public, Route

_OWN = Personal("it concerns nothing but the caller's own login")


class Credentials(msgspec.Struct, frozen=True):
    """What `POST /session` takes.

    Args:
        login: Name to log in with; capital letters count as small ones.
        password: The password, as it was typed.
    """

    login: Annotated[str, Meta(max_length=200)]
    password: Annotated[str, Meta(max_length=1000)]


class PasswordChange(msgspec.Struct, frozen=True):
    """What `POST /session/password` takes.

    Args:
        old: The present password.
        new: The one that takes its place: 10 to 1,000 characters, and nothing that is soon guessed.
    """

    old: Annotated[str, Meta(max_length=1000)]
    new: Annotated[str, Meta(max_length=1000)]


class LoggedIn(msgspec.Struct, frozen=True, kw_only=True):
    """Who has logged in.

    Args:
        user_id: The user's id.
        name: Name for people to read.
        role: The user's role.
        permissions: What the user may do.
        csrf_token: To be sent as `X-CSRF-Token` along with whatever changes something.
    """

    user_id: int
    name: str
    role: str
    permissions: list[str]
    csrf_token: str


class SessionList(msgspec.Struct, frozen=True):
    """One's own sessions.

    Args:
        items: The latest first.
    """

    items: list[Session]


class Ended(msgspec.Struct, frozen=True):
    """That it has ended.

    Args:
        ended: Always true.
    """

    ended: bool = True


async def log_in(call: Call) -> LoggedIn:
    """Begin a session: the answer sets its cookie. After some wrong passwords one has to wait, ever longer."""
    given = wire.decode(call.body, call.body_type, Credentials)
    user, token = await login.log_in(call.host, call.browser, given.login, given.password)
    return _begun(call, user, token)


async def show_session(call: Call) -> LoggedIn:
    """Answer who has logged in, and what their pages send along with changes."""
    return _shown(call.actor, call.browser.token or "")


async def log_out(call: Call) -> Ended:
    """End the session that asks."""
    await _end(call, call.actor.user_id, call.browser.session)
    call.headers.append((b"set-cookie", set_cookie("", secure=call.browser.secure, seconds=0).encode()))
    return Ended()


async def list_sessions(call: Call) -> SessionList:
    """List one's own sessions that are not over."""
    user_id, current = call.actor.user_id, call.browser.session
    return SessionList(await sessions.list_(call.db, call.host.sessions, user_id, current))


async def end_session(call: Call) -> Ended:
    """End one of one's own sessions."""
    return await _end(call, call.actor.user_id, call.id("session_id"))


async def end_user_sessions(call: Call) -> Ended:
    """End all sessions of a user."""
    user_id = call.id("user_id")
    await users.find(call.db, call.actor, user_id)
    return await _end(call, user_id, None)


async def change_password(call: Call) -> LoggedIn:
    """Change one's own password: all one's sessions end, and the answer sets the cookie of a new one."""
    given = wire.decode(call.body, call.body_type, PasswordChange)
    user, token = await own_password.change(call.host, call.browser, call.actor, given.old, given.new)
    return _begun(call, user, token)


def _begun(call: Call, user: Actor, token: str) -> LoggedIn:
    seconds = int(call.host.sessions.lifetime.total_seconds())
    call.headers.append((b"set-cookie", set_cookie(token, secure=call.browser.secure, seconds=seconds).encode()))
    return _shown(user, token)


def _shown(user: Actor, token: str) -> LoggedIn:
    return LoggedIn(
        user_id=user.user_id or 0,
        name=user.name,
        role=user.role,
        permissions=sorted(user.permissions),
        csrf_token=csrf_token(token),
    )


async def _end(call: Call, user_id: int | None, session_id: int | None) -> Ended:
    await sessions.end(call.db, call.host.sessions, call.actor, user_id, session_id)
    return Ended()


_own = partial(Route, permission=_OWN)

ROUTES = (
    Route(
        method="POST",
        path="/session",
        handler=log_in,
        permission=Public("whoever logs in has nothing yet to show but the password", same_origin=True),
        summary="Log in",
        body=Credentials,
        answer=LoggedIn,
        statuses=(400, 401, 403, 429, 503),
    ),
    _own(method="GET", path="/session", handler=show_session, summary="Who has logged in", answer=LoggedIn),
    _own(method="DELETE", path="/session", handler=log_out, summary="Log out", answer=Ended, statuses=(404,)),
    _own(
        method="POST",
        path="/session/password",
        handler=change_password,
        summary="Change one's own password",
        body=PasswordChange,
        answer=LoggedIn,
        statuses=(429,),
    ),
    _own(method="GET", path="/sessions", handler=list_sessions, summary="One's own sessions", answer=SessionList),
    _own(
        method="DELETE",
        path="/sessions/{session_id}",
        handler=end_session,
        summary="End one of one's own sessions",
        answer=Ended,
    ),
    Route(
        method="DELETE",
        path="/users/{user_id}/sessions",
        handler=end_user_sessions,
        permission=ADMIN_USERS,
        summary="End all sessions of a user",
        answer=Ended,
    ),
)
