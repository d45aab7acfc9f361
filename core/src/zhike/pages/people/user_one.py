"""The page of one user: changing, disabling, ending sessions, a new password."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import msgspec

from zhike.access import sessions, user_changes, users
from zhike.access.grants import NOTHING, require_grantable
from zhike.access.passwords import MAX_PASSWORD
from zhike.access.schemas import User, UserChange
from zhike.api import Id
from zhike.errors import BadRequest, Conflict, Forbidden
from zhike.i18n import Text, text
from zhike.pages.people import choices
from zhike.ui import Form, Html, PageCall, Redirect, asked, submit
from zhike.ui.submitting import refused

_BESIDE = {"last_admin": "role"}


class UserForm(msgspec.Struct, frozen=True, kw_only=True):
    """What can be changed.

    Args:
        name: Name for people.
        role: What they may do.
        team_id: Their team.
    """

    name: Annotated[str, asked("Name", min_length=1, max_length=200)]
    role: Annotated[str, asked("Role", help="Another role ends the user's sessions", kind="select", max_length=50)]
    team_id: Annotated[Id | None, asked("Team", kind="select")] = None


class PasswordForm(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for a new password.

    Args:
        password: The password; one is made where it is empty.
    """

    password: Annotated[
        str,
        asked(
            "New password",
            help="Leave it empty and one is made and shown once",
            kind="password",
            max_length=MAX_PASSWORD,
        ),
    ] = ""


async def edit(call: PageCall) -> Html | Redirect:
    """Show a user, and change them."""
    user = await _user(call)

    async def save(typed: UserForm) -> Redirect:
        given = {name: value for name, value in msgspec.structs.asdict(typed).items() if value != getattr(user, name)}
        if given:
            await _change(call, user, UserChange(**given, version=call.version))
        return call.redirect("/users", toast=text("{name} is saved", name=typed.name))

    return await submit(call, UserForm, save, partial(_page, call, user), user, beside=_BESIDE)


async def disable(call: PageCall) -> Html | Redirect:
    """Keep a user from logging in."""
    return await _switch(call, disabled=True)


async def enable(call: PageCall) -> Html | Redirect:
    """Let a user log in again."""
    return await _switch(call, disabled=False)


async def end_sessions(call: PageCall) -> Redirect:
    """End all sessions of a user."""
    user = await _user(call)
    await sessions.end(call.db, call.host.sessions, call.actor, user.id, None)
    return call.redirect(f"/users/{user.id}", toast=text("{name} is logged out everywhere", name=user.name))


async def set_password(call: PageCall) -> Html | Redirect:
    """Ask for a new password, set it, and show the one that was made."""
    user = await _user(call)

    async def save(typed: PasswordForm) -> Html:
        password = typed.password or choices.made_password()
        await _change(call, user, UserChange(password=password))
        made = None if typed.password else password
        return await call.render("people/user_password_made.html", user=user, password=made)

    async def ask(form: Form) -> Html:
        return await call.render("people/user_password.html", status=form.status, user=user, form=form)

    return await submit(call, PasswordForm, save, ask)


async def _switch(call: PageCall, *, disabled: bool) -> Html | Redirect:
    user = await _user(call)
    try:
        await _change(call, user, UserChange(disabled=disabled))
    except (BadRequest, Conflict, Forbidden) as error:
        typed = UserForm(name=user.name, role=user.role, team_id=user.team_id)
        return await _page(call, user, refused(typed, error, _BESIDE))
    done = (
        text("{name} cannot log in any more", name=user.name) if disabled else text("{name} may log in", name=user.name)
    )
    return call.redirect(f"/users/{user.id}", toast=done)


async def _user(call: PageCall) -> User:
    return await users.find(call.db, call.actor, call.id("user_id"))


async def _change(call: PageCall, user: User, change: UserChange) -> None:
    await user_changes.change(call.db, call.actor, user.id, change, **choices.here(call))
    call.host.sessions.forget()


async def _page(call: PageCall, user: User, form: Form) -> Html:
    roles = await choices.all_roles(call)
    teams = await choices.team_options(call)
    if user.team_id is not None and str(user.team_id) not in dict(teams):
        teams.append((str(user.team_id), call.host.ui.people.teams.get(user.team_id, str(user.team_id))))
    choices.offering(form, role=choices.givable(call, roles, kept=user.role), team_id=teams)
    known = await sessions.list_(call.db, call.host.sessions, user.id, None)
    return await call.render(
        "people/user.html",
        fragment="one",
        status=form.status,
        user=user,
        form=form,
        sessions=known,
        kept=await _kept(call, user),
    )


async def _kept(call: PageCall, user: User) -> Text | None:
    """Return why the reader cannot change the user, who may do more than they; None if they can."""
    async with call.db.connection() as connection:
        granted = await call.host.platform.directory.grants(connection, [user.role], archived=True)
    try:
        require_grantable(call.actor, granted.get(user.role, NOTHING), user_id=user.id, team_id=user.team_id)
    except Forbidden as error:
        return error.message
    return None
