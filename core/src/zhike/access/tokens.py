"""API tokens: made, listed and revoked; only a hash of each is stored."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from zhike import wire
from zhike.access import audit
from zhike.access.actor import Actor, TokenKind
from zhike.access.collect import check_origins
from zhike.access.directory import Directory
from zhike.access.finding import narrowed
from zhike.access.grants import Grants, require_grantable
from zhike.access.roles import ADMIN_TOKENS
from zhike.access.scope import visible_users
from zhike.contracts import TokenDraft
from zhike.errors import BadRequest, NotFound
from zhike.hooks import Hooks
from zhike.i18n import text
from zhike.orm import Connection, Database

PREFIX = "zk_"
_COLUMNS = "id, name, role, kind, user_id, origins, created_at, expires_at, revoked_at"
_INSERT = f"""
INSERT INTO api_token (name, hash, role, kind, user_id, expires_at, origins) VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING {_COLUMNS}
"""
_DURATION = re.compile(r"P(?:(?P<weeks>[0-9]{1,4})W|(?P<days>[0-9]{1,5})D|T(?P<hours>[0-9]{1,6})H)")


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A stored token, without its secret.

    Args:
        id: Its id.
        name: Name given by whoever made it.
        role: Role it acts with.
        kind: What it is for: `admin`, `service` or `collect`.
        user_id: The user it acts for, or None.
        origins: The web sites that one of kind `collect` is for.
        created_at: When it was made.
        expires_at: From when it is refused, or None.
        revoked_at: When it was revoked, or None.
    """

    id: int
    name: str
    role: str
    kind: TokenKind
    user_id: int | None
    origins: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


async def create(
    db: Database,
    actor: Actor,
    name: str,
    role: str,
    *,
    kind: TokenKind | None = None,
    user_id: int | None = None,
    origins: Sequence[str] = (),
    expires_at: datetime | None = None,
    hooks: Hooks | None = None,
    directory: Directory | None = None,
) -> tuple[Token, str]:
    """Make a token.

    Args:
        db: Where to store it.
        actor: Who makes it; they hold all that it grants.
        name: Name for people to read, 1 to 200 characters.
        role: A shipped role or one of the installation's own.
        kind: What it is for, see `zhike.access.finding.narrowed`; for None `admin` with that role, else `service`.
        user_id: The user it acts for, with what both roles grant; None for a program of nobody's.
        origins: The web sites that a token of kind `collect` is for; others have none.
        expires_at: From when it is refused, or None for never.
        hooks: Asks the plugins first; None where none are loaded.
        directory: The process's; it knows what plugins let roles do.

    Returns:
        The token and its secret, which nobody can read again later.

    Raises:
        BadRequest: If the name, role or user is none.
        Forbidden: If it would grant more than `actor` holds.
        Rejected: If a plugin stops it.
    """
    directory, kind = directory or Directory(db), kind or ("admin" if role == "admin" else "service")
    listed = _checked(name, kind, origins)
    secret = PREFIX + secrets.token_urlsafe(32)
    async with db.transaction() as connection:
        granted, team_id = await directory.role(connection, role), None
        if user_id is not None:
            granted, team_id = await _of_user(connection, directory, actor, user_id, granted)
        require_grantable(actor, narrowed(granted, kind), user_id=user_id, team_id=team_id)
        if hooks is not None:
            draft = TokenDraft(name=name, role=role, expires_at=expires_at)
            await hooks.veto("before_tokens_create", actor=actor, tokens=(draft,))
        digest = hashlib.sha256(secret.encode()).digest()
        [row] = await connection.fetch(_INSERT, name, digest, role, kind, user_id, expires_at, listed)
        token = Token(**row)
        details = {"name": name, "role": role, "kind": kind, "user_id": user_id, "expires_at": expires_at}
        more = {"origins": listed} if listed else {}
        await audit.record(connection, actor, "token.create", f"token:{token.id}", {**details, **more})
    return token, secret


def _checked(name: str, kind: TokenKind, origins: Sequence[str]) -> list[str]:
    """Return the origins of a token that is to be made; its name was looked at, too."""
    if not 1 <= len(name) <= 200 or not name.isprintable() or name.isspace():
        raise BadRequest(text("The name of a token has 1 to 200 printable characters"), code="name")
    if kind == "collect":
        return check_origins(origins)
    if origins:
        raise BadRequest(text("Only a token of kind collect has origins"), code="origins")
    return []


async def _of_user(
    connection: Connection, directory: Directory, actor: Actor, user_id: int, granted: Grants
) -> tuple[Grants, int | None]:
    """Return what somebody is given who gets a token of a user with a role, and the user's team."""
    user = await connection.fetchrow(
        "SELECT role, team_id FROM app_user AS u WHERE id = $1 AND disabled_at IS NULL"
        f" AND {visible_users(actor, 'u', ADMIN_TOKENS)} FOR SHARE",
        user_id,
    )
    if user is None:
        raise wire.refuse(wire.Fault("user_id", text("there is no active user {id}", id=user_id)))
    within = granted.within(await directory.role(connection, user["role"]))
    # The user may be given another role later: within that the token would do more than whoever made it, if not they.
    return within if actor.kind == "user" and user_id == actor.id else granted, user["team_id"]


async def list_(db: Database, actor: Actor | None = None, *, after: int = 0, limit: int | None = None) -> list[Token]:
    """Return tokens, revoked ones too, oldest first.

    Args:
        db: Where they are.
        actor: Who asks, and sees those of users for whom they manage tokens; None for all.
        after: Only those with a greater id.
        limit: At most so many.
    """
    seen = "TRUE" if actor is None else _visible(actor)
    rows = await db.fetch(
        f"SELECT {_COLUMNS} FROM api_token AS t WHERE id > $1 AND {seen} ORDER BY id LIMIT $2", after, limit
    )
    return [Token(**row) for row in rows]


async def revoke(db: Database, actor: Actor, token_id: int) -> None:
    """Revoke a token: web processes refuse it at the latest five seconds later.

    Raises:
        NotFound: If there is no such token that is not revoked yet, or `actor` does not see it.
    """
    async with db.transaction() as connection:
        name = await connection.fetchval(
            "UPDATE api_token AS t SET revoked_at = now()"
            f" WHERE id = $1 AND revoked_at IS NULL AND {_visible(actor)} RETURNING name",
            token_id,
        )
        if name is None:
            raise NotFound(text("There is no valid token {id}", id=token_id))
        await audit.record(connection, actor, "token.revoke", f"token:{token_id}", {"name": name})


def _visible(actor: Actor) -> str:
    """Return the predicate over the tokens that `actor` manages: those of nobody need the scope `all`."""
    if actor.scope(ADMIN_TOKENS) == "all":
        return "TRUE"
    return f"EXISTS (SELECT FROM app_user AS u WHERE u.id = t.user_id AND {visible_users(actor, 'u', ADMIN_TOKENS)})"


def parse_duration(value: str) -> timedelta:
    """Return the ISO 8601 duration `value` of whole weeks, days or hours, such as `P30D`.

    Raises:
        BadRequest: If it is none, or not above zero.
    """
    match = _DURATION.fullmatch(value)
    duration = timedelta(**{unit: int(n) for unit, n in match.groupdict().items() if n}) if match else timedelta()
    if not duration:
        raise BadRequest(text("{value!r} is no duration; expected one such as P30D, P4W or PT12H", value=value))
    return duration
