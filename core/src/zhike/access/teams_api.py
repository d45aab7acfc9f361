"""Routes that manage teams."""

from __future__ import annotations

from functools import partial

from zhike import wire
from zhike.access import teams
from zhike.access.paging import page, start
from zhike.access.roles import ADMIN_USERS
from zhike.access.teams import NewTeam, Team, TeamChange
from zhike.api import Call, Page, PageQuery, Route


async def list_teams(call: Call, query: PageQuery) -> Page[Team]:
    """List teams, which are a tree by `parent_id`."""
    found = await teams.list_(call.db, after=start(call, query, "teams", 0), limit=query.size + 1)
    return page(call, query, found, "teams")


async def create_team(call: Call) -> Team:
    """Make a team."""
    return await teams.create(call.db, call.actor, wire.decode(call.body, call.body_type, NewTeam))


async def change_team(call: Call) -> Team:
    """Rename a team or put it below another one."""
    team_id, change = call.id("team_id"), wire.decode(call.body, call.body_type, TeamChange)
    return await teams.change(call.db, call.actor, team_id, change, call.host.platform.directory)


_route = partial(Route, permission=ADMIN_USERS)

ROUTES = (
    _route(method="GET", query=PageQuery, path="/teams", handler=list_teams, summary="Teams", answer=Page[Team]),
    _route(method="POST", path="/teams", handler=create_team, summary="Make a team", body=NewTeam, answer=Team),
    _route(
        method="PATCH",
        path="/teams/{team_id}",
        handler=change_team,
        summary="Change a team",
        body=TeamChange,
        answer=Team,
        statuses=(409,),
    ),
)
