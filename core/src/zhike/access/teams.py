"""Teams, which are a tree: whoever may see a team's customers also sees those of the teams below it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from zhike._versions import require_version
from zhike.access import audit
from zhike.access.actor import Actor
from zhike.access.roles import ADMIN_USERS
from zhike.api import Id
from zhike.errors import BadRequest, Conflict, Forbidden, NotFound
from zhike.i18n import text

if TYPE_CHECKING:
    from zhike.access.directory import Directory
    from zhike.orm import Connection, Database

Name = Annotated[str, Meta(min_length=1, max_length=200)]

# One change at a time: two that are right each by themselves could make a circle together.
_LOCK = "LOCK TABLE team IN SHARE ROW EXCLUSIVE MODE"
_ABOVE = """
WITH RECURSIVE above AS (
  SELECT id, parent_id FROM team WHERE id = $1
  UNION SELECT t.id, t.parent_id FROM team AS t JOIN above ON t.id = above.parent_id
) SELECT id FROM above
"""
_USED = """
SELECT EXISTS (SELECT FROM app_user WHERE team_id = $1) OR EXISTS (SELECT FROM team WHERE parent_id = $1)
  OR EXISTS (SELECT FROM customer WHERE team = $1) OR EXISTS (SELECT FROM task WHERE team = $1)
"""
_COLUMNS = "id, name, parent_id, created_at, version"
_LIST = f"SELECT {_COLUMNS} FROM team WHERE id > $1 ORDER BY id LIMIT $2"
_INSERT = f"INSERT INTO team (name, parent_id) VALUES ($1, $2) RETURNING {_COLUMNS}"
_UPDATE = "UPDATE team SET name = $2, parent_id = $3, version = $4 WHERE id = $1"


class Team(msgspec.Struct, frozen=True):
    """A team.

    Args:
        id: Its id.
        name: Name for people.
        parent_id: The team above it, or None.
        created_at: When it was made.
        version: Goes up with each change.
    """

    id: int
    name: str
    parent_id: int | None
    created_at: datetime
    version: int


class NewTeam(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `POST /teams` takes.

    Args:
        name: Name for people.
        parent_id: The team above it, or null.
    """

    name: Name
    parent_id: Id | None = None


class TeamChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be another way about a team; what is left out stays as it is.

    Args:
        name: Name for people.
        parent_id: The team above it; null for none.
        version: That of the team which is changed; if it has another one by now, nothing is changed (409). Left out, it
            is not asked for.
    """

    name: Name | UnsetType = UNSET
    parent_id: Id | UnsetType | None = UNSET
    version: int | UnsetType = UNSET


async def list_(db: Database, *, after: int = 0, limit: int | None = None) -> list[Team]:
    """Return teams by id, at most `limit` of those with an id greater than `after`."""
    async with db.connection() as connection:
        return [Team(*row) for row in await connection.fetch(_LIST, after, limit)]


async def create(db: Database, actor: Actor, new: NewTeam) -> Team:
    """Make a team.

    Raises:
        BadRequest: If there is no such team above it, or the name cannot be used.
        Forbidden: If `actor` manages only some users.
    """
    _require_all(actor)
    _check_name(new.name)
    async with db.transaction() as connection:
        await connection.execute(_LOCK)
        await _above(connection, new.parent_id)
        [row] = await connection.fetch(_INSERT, new.name, new.parent_id)
        await audit.record(connection, actor, "team.create", f"team:{row[0]}", msgspec.structs.asdict(new))
    return Team(*row)


async def change(db: Database, actor: Actor, team_id: int, change: TeamChange, directory: Directory) -> Team:
    """Rename a team or put it below another one.

    Args:
        db: Where it is.
        actor: Who changes it.
        team_id: The team.
        change: What is to be another way.
        directory: Finds everybody anew afterwards.

    Raises:
        BadRequest: With code `circle`, if it would stand above itself; or if there is no such team above it.
        Conflict: With code `version`, if somebody has changed it since.
        Forbidden: If `actor` manages only some users, or moves a team while they see customers by team.
        NotFound: If there is no such team.
    """
    _require_all(actor)
    given = {key: value for key, value in msgspec.structs.asdict(change).items() if value is not UNSET}
    if "name" in given:
        _check_name(given["name"])
    if "parent_id" in given and "team" in actor.scopes.values():
        # They could put the team of others below their own.
        raise Forbidden(text("{name} sees customers by team and cannot move teams", name=actor.name), code="escalation")
    async with db.transaction() as connection:
        await connection.execute(_LOCK)
        row = await connection.fetchrow(f"SELECT {_COLUMNS} FROM team WHERE id = $1", team_id)
        if row is None:
            raise NotFound(text("There is no team {id}", id=team_id))
        old = Team(*row)
        require_version(old.version, given.pop("version", None))
        team = msgspec.structs.replace(old, **given, version=old.version + 1)
        if team_id in await _above(connection, team.parent_id):
            raise BadRequest(text("The team {id} would stand above itself", id=team_id), code="circle")
        await connection.execute(_UPDATE, team_id, team.name, team.parent_id, team.version)
        await audit.record(connection, actor, "team.change", f"team:{team_id}", given)
    directory.forget()
    return team


async def remove(db: Database, actor: Actor, team_id: int, directory: Directory) -> str:
    """Remove a team that nobody and nothing belongs to, and return its name.

    Raises:
        Conflict: With code `team_used`, if users, teams, customers or tasks belong to it.
        Forbidden: If `actor` manages only some users.
        NotFound: If there is no such team.
    """
    _require_all(actor)
    async with db.transaction() as connection:
        await connection.execute(_LOCK)
        name: str | None = await connection.fetchval("SELECT name FROM team WHERE id = $1 FOR UPDATE", team_id)
        if name is None:
            raise NotFound(text("There is no team {id}", id=team_id))
        if await connection.fetchval(_USED, team_id):
            what = text("Users, teams, customers or tasks still belong to {name}; move them first", name=name)
            raise Conflict(what, code="team_used")
        await connection.execute("DELETE FROM team WHERE id = $1", team_id)
        await audit.record(connection, actor, "team.remove", f"team:{team_id}", {"name": name})
    directory.forget()
    return name


def _require_all(actor: Actor) -> None:
    if actor.scope(ADMIN_USERS) != "all":
        raise Forbidden(text("{name} manages only some users and cannot change teams", name=actor.name))


def _check_name(name: str) -> None:
    if not name.isprintable() or name.isspace():
        raise BadRequest(text("The name of a team has 1 to 200 printable characters"), code="name")


async def _above(connection: Connection, team_id: int | None) -> set[int]:
    """Return a team and those above it."""
    if team_id is None:
        return set()
    found = {row[0] for row in await connection.fetch(_ABOVE, team_id)}
    if not found:
        wrong = text("there is no team {id}", id=team_id)
        raise BadRequest(text("{where}: {detail}", where="parent_id", detail=wrong), code="team")
    return found
