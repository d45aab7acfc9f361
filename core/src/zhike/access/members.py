"""Members of staff as the settings list them: found by name, role and team, and how many have each role."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

from zhike.access.actor import Actor
from zhike.access.roles import ADMIN_USERS
from zhike.access.schemas import User
from zhike.access.scope import visible_users

if TYPE_CHECKING:
    from zhike.orm import Database

State = Literal["active", "disabled"]
_FIND = """
SELECT u.id, u.login, u.name, u.role, u.team_id, u.created_at, u.disabled_at, u.version,
  (SELECT max(s.seen_at) FROM session AS s WHERE s.user_id = u.id) AS seen_at
FROM app_user AS u
WHERE {visible} AND u.id > $1 AND ($2 = '' OR position(lower($2) IN lower(u.name || ' ' || u.login)) > 0)
  AND ($3 = '' OR u.role = $3) AND ($4::bigint IS NULL OR u.team_id = $4)
  AND ($5::boolean IS NULL OR (u.disabled_at IS NULL) = $5)
ORDER BY u.id LIMIT $6
"""
_TEAMS = """
SELECT u.team_id, u.id, u.name FROM app_user AS u
WHERE {visible} AND u.disabled_at IS NULL AND u.team_id IS NOT NULL ORDER BY u.name, u.id
"""
_ROLES = """
SELECT role, count(*) FILTER (WHERE user_id IS NOT NULL) AS users, count(*) FILTER (WHERE user_id IS NULL) AS tokens
FROM (
  SELECT role, id AS user_id FROM app_user WHERE disabled_at IS NULL
  UNION ALL SELECT role, NULL FROM api_token WHERE revoked_at IS NULL
) AS n GROUP BY role
"""


class Member(User, frozen=True, kw_only=True):
    """A user, and when they were last here.

    Args:
        seen_at: Give or take a minute; None if they have no session.
    """

    seen_at: datetime | None


async def find(
    db: Database,
    actor: Actor,
    *,
    q: str = "",
    role: str = "",
    team_id: int | None = None,
    state: State | None = None,
    after: int = 0,
    limit: int = 50,
) -> list[Member]:
    """Return the users whom `actor` manages, oldest first.

    Args:
        db: Where they are.
        actor: Who asks.
        q: Part of their name or login.
        role: Only those with this role.
        team_id: Only those of this team.
        state: Only those who may log in, or only those who may not.
        after: Only those with a greater id.
        limit: At most so many.
    """
    statement = _FIND.format(visible=visible_users(actor, "u", ADMIN_USERS))
    active = None if state is None else state == "active"
    async with db.connection() as connection:
        rows = await connection.fetch(statement, after, q.strip(), role, team_id, active, limit)
    return [Member(**row) for row in rows]


async def by_team(db: Database, actor: Actor) -> dict[int, list[tuple[int, str]]]:
    """Return id and name of the active users of each team, by name; only those whom `actor` manages."""
    found: dict[int, list[tuple[int, str]]] = {}
    async with db.connection() as connection:
        for team_id, *user in await connection.fetch(_TEAMS.format(visible=visible_users(actor, "u", ADMIN_USERS))):
            found.setdefault(team_id, []).append((user[0], user[1]))
    return found


async def by_role(db: Database) -> dict[str, tuple[int, int]]:
    """Return how many active users, and how many tokens that are not revoked, have each role."""
    async with db.connection() as connection:
        return {row["role"]: (row["users"], row["tokens"]) for row in await connection.fetch(_ROLES)}
