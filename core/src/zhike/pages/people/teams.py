"""The tree of teams: who is in each, adding, renaming, moving and removing."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import msgspec

from zhike.access import members, teams
from zhike.access.roles import ADMIN_USERS
from zhike.access.teams import NewTeam, Team, TeamChange
from zhike.api import Id
from zhike.errors import NotFound
from zhike.i18n import text
from zhike.pages.people import choices
from zhike.ui import Form, Html, PageCall, Redirect, asked, submit

_BESIDE = {"circle": "parent_id"}


class TeamQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The address of the form for a new team.

    Args:
        parent: The team above it.
    """

    parent: Id | None = None


class TeamForm(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for.

    Args:
        name: Name for people.
        parent_id: The team above it.
    """

    name: Annotated[str, asked("What it is called", placeholder="Sales, East China", min_length=1, max_length=200)]
    parent_id: Annotated[
        Id | None,
        asked("Below", help="Whoever sees a team's customers also sees those of the teams below it", kind="select"),
    ] = None


async def show(call: PageCall) -> Html:
    """Show the tree."""
    ordered = choices.tree(await teams.list_(call.db))
    return await call.render(
        "people/teams.html",
        fragment="tree",
        teams=ordered,
        people=await members.by_team(call.db, call.actor),
        everywhere=call.actor.scope(ADMIN_USERS) == "all",
    )


async def make(call: PageCall, query: TeamQuery) -> Html | Redirect:
    """Ask for a new team, and make it."""

    async def save(typed: TeamForm) -> Redirect:
        await teams.create(call.db, call.actor, NewTeam(typed.name, typed.parent_id))
        return call.redirect("/teams", toast=text("The team {name} is there", name=typed.name))

    return await submit(call, TeamForm, save, partial(_dialog, call, None), {"parent_id": query.parent}, beside=_BESIDE)


async def change(call: PageCall) -> Html | Redirect:
    """Ask what is to be another way about a team: rename it, or move it with all that is below it."""
    team = await _team(call)

    async def save(typed: TeamForm) -> Redirect:
        given = {name: value for name, value in msgspec.structs.asdict(typed).items() if value != getattr(team, name)}
        if given:
            said = TeamChange(**given, version=call.version)
            await teams.change(call.db, call.actor, team.id, said, call.host.platform.directory)
        return call.redirect("/teams", toast=text("The team {name} is saved", name=typed.name))

    return await submit(call, TeamForm, save, partial(_dialog, call, team), team, beside=_BESIDE)


async def remove(call: PageCall) -> Redirect:
    """Remove a team that is empty."""
    name = await teams.remove(call.db, call.actor, call.id("team_id"), call.host.platform.directory)
    return call.redirect("/teams", toast=text("The team {name} is removed", name=name))


async def _team(call: PageCall) -> Team:
    team_id = call.id("team_id")
    found = await teams.list_(call.db, after=team_id - 1, limit=1)
    if not found or found[0].id != team_id:
        raise NotFound(text("There is no team {id}", id=team_id))
    return found[0]


async def _dialog(call: PageCall, team: Team | None, form: Form) -> Html:
    choices.offering(form, parent_id=await choices.team_options(call, without=team.id if team else None))
    return await call.render("people/team.html", status=form.status, form=form, team=team)
