"""Reads who is behind a token or a user, and what the kind of a token leaves of what their roles grant."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec
from asyncpg import Record

from zhike.access.actor import Actor
from zhike.access.grants import NOTHING, Grants
from zhike.access.role_book import RoleBook
from zhike.access.roles import EVENTS_WRITE
from zhike.orm import Connection

_TEAMS = """
ARRAY(
  WITH RECURSIVE below AS (
    SELECT team.id FROM team WHERE team.id = u.team_id
    UNION SELECT team.id FROM team JOIN below ON team.parent_id = below.id
  ) SELECT id FROM below
) AS teams
"""
_TOKEN = f"""
SELECT t.id, t.name, t.role, t.kind, t.origins, t.expires_at, t.user_id, u.role AS user_role,
  u.locale, u.zone, u.theme, {_TEAMS}
FROM api_token AS t LEFT JOIN app_user AS u ON u.id = t.user_id
WHERE t.hash = $1 AND t.revoked_at IS NULL AND u.disabled_at IS NULL
"""
_USER = f"""
SELECT u.id, u.name, u.role, u.locale, u.zone, u.theme, {_TEAMS} FROM app_user AS u
WHERE u.id = $1 AND u.disabled_at IS NULL
"""


def narrowed(grants: Grants, kind: str) -> Grants:
    """Return what a kind of token leaves of what is granted.

    Args:
        grants: Those of the token's role, and of its user's.
        kind: `admin` tokens act with all of it, `service` tokens without permissions over access (`admin.…`), and
            `collect` tokens may only record events.
    """
    if kind == "admin":
        return grants
    return grants.only([EVENTS_WRITE] if kind == "collect" else [key for key in grants.scopes if key[:6] != "admin."])


async def load(connection: Connection, key: bytes | int, roles: RoleBook) -> tuple[Actor | None, datetime | None]:
    """Return the actor behind a token or a user, or None; and when the token expires.

    Args:
        connection: To the database.
        key: The SHA-256 of the token, or the user's id.
        roles: What roles grant.
    """
    row = await connection.fetchrow(_USER if isinstance(key, int) else _TOKEN, key)
    if row is None:
        return None, None
    granted = await roles.grants(connection, {row[name] for name in ("role", "user_role") if row.get(name)})
    if isinstance(key, int):
        return _actor("user", row, granted.get(row["role"], NOTHING), key), None
    return _token(row, granted), row["expires_at"]


def _token(row: Record, granted: dict[str, Grants]) -> Actor:
    found = granted.get(row["role"], NOTHING)
    if row["user_id"] is not None:
        found = found.within(granted.get(row["user_role"], NOTHING))
    actor = _actor("token", row, narrowed(found, row["kind"]), row["user_id"])
    return msgspec.structs.replace(actor, token_kind=row["kind"], origins=frozenset(row["origins"]))


def _actor(kind: Literal["token", "user"], row: Record, granted: Grants, user_id: int | None) -> Actor:
    return Actor(
        kind=kind,
        id=row["id"],
        name=row["name"],
        role=row["role"],
        permissions=frozenset(granted.scopes),
        user_id=user_id,
        teams=frozenset(row["teams"]),
        scopes={key: scope for key, scope in granted.scopes.items() if scope != "all"},
        rules=granted.rules,
        locale=row["locale"],
        zone=row["zone"],
        theme=row["theme"] or "auto",
    )
