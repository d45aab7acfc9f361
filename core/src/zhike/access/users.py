"""Users: listed and found, and what is asked of their names and teams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zhike.access.actor import Actor
from zhike.access.roles import ADMIN_USERS
from zhike.access.schemas import User
from zhike.access.scope import visible_users
from zhike.errors import BadRequest, Forbidden, NotFound
from zhike.i18n import text

if TYPE_CHECKING:
    from zhike.orm import Connection, Database

COLUMNS = "id, login, name, role, team_id, created_at, disabled_at, version"
_ONE = "SELECT {columns} FROM app_user AS u WHERE {column} = $1 AND {visible} FOR NO KEY UPDATE"
_TEAM = "SELECT id FROM team WHERE id = $1 FOR KEY SHARE"


async def list_(db: Database, actor: Actor | None = None, *, after: int = 0, limit: int | None = None) -> list[User]:
    """Return users, disabled ones too, oldest first.

    Args:
        db: Where they are.
        actor: Who asks, and sees those they manage; None for all.
        after: Only those with a greater id.
        limit: At most so many.
    """
    seen = "TRUE" if actor is None else visible_users(actor, "u", ADMIN_USERS)
    async with db.connection() as connection:
        rows = await connection.fetch(
            f"SELECT {COLUMNS} FROM app_user AS u WHERE id > $1 AND {seen} ORDER BY id LIMIT $2", after, limit
        )
    return [User(**row) for row in rows]


async def find(db: Database, actor: Actor, who: int | str) -> User:
    """Return a user by id or login; errors are those of `locked`."""
    async with db.transaction() as connection:
        return await locked(connection, actor, who)


async def locked(connection: Connection, actor: Actor, who: int | str) -> User:
    """Return a user by id or login, whom nobody else changes until the transaction ends.

    Raises:
        NotFound: If there is none, or `actor` does not see them.
    """
    column, value = ("u.id", who) if isinstance(who, int) else ("u.login", who.strip().lower())
    visible = visible_users(actor, "u", ADMIN_USERS)
    row = await connection.fetchrow(_ONE.format(columns=COLUMNS, column=column, visible=visible), value)
    if row is None:
        raise NotFound(text("There is no user {who}", who=who))
    return User(**row)


def check_name(name: str) -> None:
    """Refuse a name that is not to be shown."""
    if not 1 <= len(name) <= 200 or not name.isprintable() or name.isspace():
        raise BadRequest(text("The name of a user has 1 to 200 printable characters"), code="name")


async def check_team(connection: Connection, actor: Actor, team_id: int | None) -> None:
    """Refuse a team that is not there, or whose users the actor does not manage, whatever their role grants today."""
    if actor.scope(ADMIN_USERS) != "all" and team_id not in actor.teams:
        raise Forbidden(text("{name} manages only the users of some teams", name=actor.name), code="escalation")
    if team_id is not None and await connection.fetchval(_TEAM, team_id) is None:
        wrong = text("there is no team {id}", id=team_id)
        raise BadRequest(text("{where}: {detail}", where="team_id", detail=wrong), code="team")
