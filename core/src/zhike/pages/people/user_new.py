"""The form for a new user; a first password that is made here is shown once."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import msgspec

from zhike.access import new_users
from zhike.access.passwords import MAX_PASSWORD
from zhike.api import Id
from zhike.pages.people import choices
from zhike.ui import Form, Html, PageCall, Redirect, asked, submit

_BESIDE = {"conflict": "login"}


class NewForm(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for.

    Args:
        name: Name for people.
        login: Name to log in with.
        role: What they may do.
        team_id: Their team.
        password: The first password; one is made where it is empty.
    """

    name: Annotated[str, asked("Name", placeholder="Li Na", min_length=1, max_length=200)]
    login: Annotated[
        str,
        asked("Login", help="Small letters, digits and . _ @ + -", placeholder="li.na", min_length=1, max_length=100),
    ]
    role: Annotated[str, asked("Role", kind="select", max_length=50)]
    team_id: Annotated[Id | None, asked("Team", kind="select")] = None
    password: Annotated[
        str,
        asked(
            "First password",
            help="Leave it empty and one is made and shown once",
            kind="password",
            max_length=MAX_PASSWORD,
        ),
    ] = ""


async def make(call: PageCall) -> Html | Redirect:
    """Ask for a new user, make them, and show what to hand over to them."""

    async def save(typed: NewForm) -> Html:
        password = typed.password or choices.made_password()
        given = msgspec.structs.replace(typed, password=password)
        user = await new_users.create(call.db, call.actor, **choices.here(call), **msgspec.structs.asdict(given))
        made = None if typed.password else password
        return await call.render("people/user_made.html", fragment="made", user=user, password=made)

    return await submit(call, NewForm, save, partial(_form, call), beside=_BESIDE)


async def _form(call: PageCall, form: Form) -> Html:
    roles = choices.givable(call, await choices.all_roles(call))
    choices.offering(form, role=roles, team_id=await choices.team_options(call))
    return await call.render("people/user_new.html", fragment="form", status=form.status, form=form)
