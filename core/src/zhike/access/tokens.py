"""API tokens: made and revoked by commands, checked on every request, stored only as a hash."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from zhike import clock
from zhike.access import audit
from zhike.access.actor import Actor
from zhike.access.roles import ROLES, Roles
from zhike.contracts import TokenDraft
from zhike.errors import BadRequest, NotFound
from zhike.i18n import text

if TYPE_CHECKING:
    from zhike.hooks import Hooks
    from zhike.orm import Database

PREFIX = "zk_"
CACHE_SECONDS = 5.0
CACHE_SIZE = 4096
_PATTERN = re.compile(r"zk_[A-Za-z0-9_-]{43}")
_DURATION = re.compile(r"P(?:(?P<weeks>[0-9]{1,4})W|(?P<days>[0-9]{1,5})D|T(?P<hours>[0-9]{1,6})H)")


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A stored token, without its secret.

    Args:
        id: Its id.
        name: Name given by whoever made it.
        role: Role it acts with.
        created_at: When it was made.
        expires_at: From when it is refused, or None.
        revoked_at: When it was revoked, or None.
    """

    id: int
    name: str
    role: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class TokenCache:
    """Finds the actor behind a token; what it finds, also that there is none, holds for at most five seconds.

    Args:
        db: Where tokens are stored.
        roles: What each role grants here.
    """

    def __init__(self, db: Database, roles: Roles = ROLES) -> None:
        self._db = db
        self._roles = roles
        self._known: dict[bytes, tuple[float, Actor | None, datetime | None]] = {}

    async def find(self, token: str) -> Actor | None:
        """Return the actor of a token that is neither expired nor revoked, or None.

        Args:
            token: The secret as the client sent it.

        Raises:
            Unavailable: If it is not cached and the database cannot be asked.
        """
        if not _PATTERN.fullmatch(token):
            return None
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is None or known[0] < time.monotonic():
            known = await self._load(digest)
        _, actor, expires_at = known
        return None if expires_at is not None and expires_at <= clock.now() else actor

    async def _load(self, digest: bytes) -> tuple[float, Actor | None, datetime | None]:
        # The time is taken before the query: no answer may live longer than five seconds after it was true.
        until = time.monotonic() + CACHE_SECONDS
        async with self._db.connection() as connection:
            row = await connection.fetchrow(
                "SELECT id, name, role, expires_at FROM api_token WHERE hash = $1 AND revoked_at IS NULL",
                digest,
            )
        actor = Actor.of_token(row["id"], row["name"], row["role"], self._roles) if row else None
        self._known.pop(digest, None)
        while len(self._known) >= CACHE_SIZE:
            del self._known[next(iter(self._known))]
        known = (until, actor, row["expires_at"] if row else None)
        self._known[digest] = known
        return known


async def create(
    db: Database,
    actor: Actor,
    name: str,
    role: str,
    *,
    expires_at: datetime | None = None,
    hooks: Hooks | None = None,
) -> tuple[Token, str]:
    """Make a token.

    Args:
        db: Where to store it.
        actor: Who makes it.
        name: Name for people to read, 1 to 200 characters.
        role: One of `ROLES`.
        expires_at: From when it is refused, or None for never.
        hooks: Asks the plugins first; None where none are loaded.

    Returns:
        The token and its secret, which nobody can read again later.

    Raises:
        BadRequest: If the name or role is none.
        Rejected: If a plugin stops it.
    """
    if not 1 <= len(name) <= 200 or not name.isprintable():
        raise BadRequest(text("The name of a token has 1 to 200 printable characters"))
    require_role(role)
    secret = PREFIX + secrets.token_urlsafe(32)
    async with db.transaction() as connection:
        if hooks is not None:
            draft = TokenDraft(name=name, role=role, expires_at=expires_at)
            await hooks.veto("before_tokens_create", actor=actor, tokens=(draft,))
        rows = await connection.fetch(
            "INSERT INTO api_token (name, hash, role, expires_at) VALUES ($1, $2, $3, $4)"
            " RETURNING id, name, role, created_at, expires_at, revoked_at",
            name,
            hashlib.sha256(secret.encode()).digest(),
            role,
            expires_at,
        )
        token = Token(**rows[0])
        details = {"name": name, "role": role, "expires_at": expires_at}
        await audit.record(connection, actor, "token.create", f"token:{token.id}", details)
    return token, secret


async def list_(db: Database) -> list[Token]:
    """Return all tokens, revoked ones too, oldest first."""
    async with db.connection() as connection:
        rows = await connection.fetch(
            "SELECT id, name, role, created_at, expires_at, revoked_at FROM api_token ORDER BY id"
        )
    return [Token(**row) for row in rows]


async def revoke(db: Database, actor: Actor, token_id: int) -> None:
    """Revoke a token: web processes refuse it at the latest five seconds later.

    Raises:
        NotFound: If there is no such token that is not revoked yet.
    """
    async with db.transaction() as connection:
        name = await connection.fetchval(
            "UPDATE api_token SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL RETURNING name",
            token_id,
        )
        if name is None:
            raise NotFound(text("There is no valid token {id}", id=token_id))
        await audit.record(connection, actor, "token.revoke", f"token:{token_id}", {"name": name})


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


def require_role(role: str) -> None:
    """Raise `BadRequest` unless `role` is one of `ROLES`."""
    if role not in ROLES:
        raise BadRequest(text("There is no role {role!r}; expected one of {roles}", role=role, roles=", ".join(ROLES)))
