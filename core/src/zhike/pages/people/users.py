"""The list of users."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from zhike.access import members
from zhike.access.members import Member, State
from zhike.access.paging import page, start
from zhike.api import Id, PageQuery
from zhike.i18n import Text, text
from zhike.pages.people import choices
from zhike.ui import Html, PageCall
from zhike.ui.tables import Filter, Table, TableColumn

_Word = Annotated[str, Meta(max_length=200, pattern=r"\A[^\x00]*\Z")]


class UsersQuery(PageQuery, frozen=True, kw_only=True):
    """The list's address.

    Args:
        q: Part of a name or login.
        role: Only users with this role.
        team: Only users of this team.
        state: Only those who may log in, or only those who may not.
    """

    q: _Word = ""
    role: _Word = ""
    team: Id | None = None
    state: State | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """What narrows the list."""
        given = {"q": self.q, "role": self.role, "team": self.team, "state": self.state}
        return {name: value for name, value in given.items() if value}


async def show(call: PageCall, query: UsersQuery) -> Html:
    """Show the users whom the reader manages."""
    roles = await choices.all_roles(call)
    names: dict[str, Text | str] = {role.name: choices.role_label(role) for role in roles}
    found = await members.find(
        call.db,
        call.actor,
        q=query.q,
        role=query.role,
        team_id=query.team,
        state=query.state,
        after=start(call, query, "users", 0),
        limit=query.size + 1,
    )
    shown = page(call, query, found, "users")
    table = Table(
        id="users",
        path="/users",
        columns=_COLUMNS,
        rows=[_row(user, names) for user in shown.items],
        query=query.parameters,
        newer="" if query.cursor else None,
        older=shown.next,
        filters=[
            Filter(name="q", label=text("Name or login")),
            Filter(name="role", label=text("Role"), kind="select", options=list(names.items())),
            Filter(name="team", label=text("Team"), kind="team"),
            Filter(name="state", label=text("State"), kind="select", options=_STATES),
        ],
        empty={"icon": "users", "title": text("No user yet")},
    )
    return await call.render("people/users.html", fragment="list", table=table)


_STATES = (("active", text("May log in")), ("disabled", text("Disabled")))
_COLUMNS = (
    TableColumn(key="name", label=text("Name"), kind="custom"),
    TableColumn(key="login", label=text("Login")),
    TableColumn(key="role", label=text("Role")),
    TableColumn(key="team", label=text("Team"), kind="team"),
    TableColumn(key="seen_at", label=text("Last here"), kind="instant"),
    TableColumn(key="state", label=text("State"), kind="badge"),
)


def _row(user: Member, names: dict[str, Text | str]) -> dict[str, Any]:
    active = user.disabled_at is None
    return {
        "id": user.id,
        "path": f"/users/{user.id}",
        "name": user.name,
        "login": user.login,
        "role": names.get(user.role, user.role),
        "team": user.team_id,
        "seen_at": user.seen_at,
        "state": {"label": _STATES[0 if active else 1][1], "color": "green" if active else "gray"},
    }
