"""Teams, which are a tree: whoever may see a team's customers also sees those of the teams below it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from zhike.access import audit
from zhike.access.actor import Actor
from zhike.access.roles import ADMIN_USERS
from zhike.api import Id
from zhike.errors import BadRequest, Forbidden, NotFound
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
_LIST = "SELECT id, name, parent_id, created_at FROM team WHERE id > $1 ORDER BY id LIMIT $2"


class Team(msgspec.Struct, frozen=True):
    """A team.

    Args:
        id: Its id.
        name: Name for people.
        parent_id: The team above it, or None.
        created_at: When it was made.
    """

    id: int
    name: str
    parent_id: int | None
    created_at: datetime


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
    """

    name: Name | UnsetType = UNSET
    parent_id: Id | UnsetType | None = UNSET


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
        [row] = await connection.fetch(
            "INSERT INTO team (name, parent_id) VALUES ($1, $2) RETURNING id, name, parent_id, created_at",
            new.name,
            new.parent_id,
        )
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
        row = await connection.fetchrow("SELECT id, name, parent_id, created_at FROM team WHERE id = $1", team_id)
        if row is None:
            raise NotFound(text("There is no team {id}", id=team_id))
        team = msgspec.structs.replace(Team(*row), **given)
        if team_id in await _above(connection, team.parent_id):
            raise BadRequest(text("The team {id} would stand above itself", id=team_id), code="circle")
        await connection.execute(
            "UPDATE team SET name = $2, parent_id = $3 WHERE id = $1", team_id, team.name, team.parent_id
        )
        await audit.record(connection, actor, "team.change", f"team:{team_id}", given)
    directory.forget()
    return team


def _require_all(actor: Actor) -> None:
    if actor.scope(ADMIN_USERS) != "all":
        raise Forbidden(text("{name} manages only some users and cannot change teams", name=actor.name))


def _check_name(name: str) -> None:
    if not name.isprintable() or name.isspace():
        raise BadRequest(text("The name of a team has 1 to 200 printable characters"))


async def _above(connection: Connection, team_id: int | None) -> set[int]:
    """Return a team and those above it."""
    if team_id is None:
        return set()
    found = {row[0] for row in await connection.fetch(_ABOVE, team_id)}
    if not found:
        raise BadRequest(text("parent_id: there is no team {id}", id=team_id), code="team")
    return found
