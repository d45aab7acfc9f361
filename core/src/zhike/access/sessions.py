"""Sessions: logins in browsers, known by a random token of which only a hash is stored.

A session ends with its logout, when it is not used, when it is too old, and, by a trigger of the database, as soon as
its user is disabled or gets another password or role. A process notices what another one ended within five seconds.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from zhike import clock
from zhike.access import audit
from zhike.access.actor import Actor
from zhike.access.directory import CACHE_SECONDS, CACHE_SIZE
from zhike.api import Browser
from zhike.config.groups import Security
from zhike.errors import NotFound
from zhike.i18n import text
from zhike.orm import Connection, Database

if TYPE_CHECKING:
    from zhike.platform import Platform

_RENEW = timedelta(minutes=1)
"""A session that was used is noted as used at most so often."""
_AGENT = 200  # characters


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A login in one browser.

    Args:
        id: Its id.
        created_at: When the user logged in.
        seen_at: When it was used last, give or take a minute.
        address: The address from which the user logged in.
        agent: What the browser said it is.
        current: Whether it is the one that asks.
    """

    id: int
    created_at: datetime
    seen_at: datetime
    address: str
    agent: str
    current: bool


class Found(NamedTuple):
    """A session that is valid.

    Args:
        id: Its id.
        actor: Its user.
    """

    id: int
    actor: Actor


class _Known(NamedTuple):
    """The ids of a session and its user until it ends, and until when that holds; whether it was noted as used."""

    until: float
    ids: tuple[int, int] | None
    ends_at: datetime
    used: bool


class Sessions:
    """Finds the user behind a session's token; what it finds holds for at most five seconds.

    Args:
        platform: The process's platform; its settings say how long sessions last.
    """

    def __init__(self, platform: Platform) -> None:
        self._config = platform.config
        self._db = platform.db
        self._directory = platform.directory
        self._known: dict[bytes, _Known] = {}

    @property
    def idle(self) -> timedelta:
        """After which a session that is not used ends."""
        return timedelta(seconds=self._config.get(Security).session_idle)

    @property
    def lifetime(self) -> timedelta:
        """After which every session ends."""
        return timedelta(seconds=self._config.get(Security).session_lifetime)

    async def find(self, token: str, *, used: bool = True) -> Found | None:
        """Return the session with this token, or None if there is none or it has ended.

        Args:
            token: The session's token.
            used: Whether this counts as use; what a page asks for by itself keeps no session alive.

        Raises:
            Unavailable: If it is not cached and the database cannot be asked.
        """
        digest = _hash(token)
        known = self._known.get(digest)
        if known is None or known.until < time.monotonic() or (used and not known.used):
            known = await self._load(digest, used)
        if known.ids is None or clock.now() >= known.ends_at:
            return None
        actor = await self._directory.user(known.ids[1])
        return None if actor is None else Found(known.ids[0], actor)

    def forget(self) -> None:
        """Look at the database again, since sessions have ended."""
        self._known = {}

    async def _load(self, digest: bytes, used: bool) -> _Known:
        # The time is taken before the query: no answer may live longer than five seconds after it was true.
        until, now = time.monotonic() + CACHE_SECONDS, clock.now()
        known = self._known  # what is loaded while somebody calls `forget` is forgotten with the rest
        ids, ends_at = None, now
        async with self._db.connection() as connection:
            row = await connection.fetchrow(
                "SELECT id, user_id, created_at, seen_at FROM session WHERE hash = $1", digest
            )
            if row is not None:
                ids, ends_at = (row["id"], row["user_id"]), self._end_of(row["created_at"], row["seen_at"])
                if used and row["seen_at"] + min(_RENEW, self.idle / 10) <= now < ends_at:
                    await connection.execute("UPDATE session SET seen_at = $2 WHERE id = $1", row["id"], now)
                    ends_at = self._end_of(row["created_at"], now)
        known.pop(digest, None)
        while len(known) >= CACHE_SIZE:
            del known[next(iter(known))]
        known[digest] = found = _Known(until, ids, ends_at, used)
        return found

    def _end_of(self, created_at: datetime, seen_at: datetime) -> datetime:
        return min(seen_at + self.idle, created_at + self.lifetime)


async def begin(connection: Connection, sessions: Sessions, user_id: int, browser: Browser) -> tuple[int, str]:
    """Make a session and return its id and token; sessions of anybody that are over are removed.

    Args:
        connection: In the transaction in which the user's password was found to be right.
        sessions: How long sessions last.
        user_id: Whose session.
        browser: Where the user is; the session that the browser had ends.
    """
    now, token = clock.now(), secrets.token_urlsafe(32)
    await connection.execute(
        "DELETE FROM session WHERE hash = $1 OR seen_at <= $2 OR created_at <= $3",
        _hash(browser.token or ""),
        now - sessions.idle,
        now - sessions.lifetime,
    )
    session_id: int = await connection.fetchval(
        "INSERT INTO session (hash, user_id, created_at, seen_at, address, agent) VALUES ($1, $2, $3, $3, $4, $5)"
        " RETURNING id",
        _hash(token),
        user_id,
        now,
        browser.address,
        browser.agent[:_AGENT],
    )
    return session_id, token


async def list_(db: Database, sessions: Sessions, user_id: int | None, current: int | None) -> list[Session]:
    """Return a user's sessions that are not over, the latest first.

    Args:
        db: Where they are.
        sessions: How long they last.
        user_id: Whose.
        current: Id of the one that asks.
    """
    now = clock.now()
    rows = await db.fetch(
        "SELECT id, created_at, seen_at, address, agent, id = $2 AS current FROM session"
        " WHERE user_id = $1 AND seen_at > $3 AND created_at > $4 ORDER BY id DESC",
        user_id,
        current,
        now - sessions.idle,
        now - sessions.lifetime,
    )
    return [Session(**row) for row in rows]


async def end(
    db: Database,
    sessions: Sessions,
    actor: Actor,
    user_id: int | None,
    session_id: int | None,
    *,
    keep: int | None = None,
) -> None:
    """End one session of a user, or all of them.

    Args:
        db: Where they are.
        sessions: What this process knows of them.
        actor: Who ends it: the user, or an administrator.
        user_id: Whose session.
        session_id: Which one; None for all.
        keep: The one that goes on if all others end.

    Raises:
        NotFound: If the user has no such session.
    """
    async with db.transaction() as connection:
        ended = await connection.fetch(
            "DELETE FROM session WHERE user_id = $1 AND ($2::bigint IS NULL OR id = $2)"
            " AND id IS DISTINCT FROM $3::bigint RETURNING id",
            user_id,
            session_id,
            keep,
        )
        if session_id is not None and not ended:
            raise NotFound(text("There is no session {id}", id=session_id))
        for row in ended:
            await audit.record(connection, actor, "session.end", f"session:{row['id']}", {"user": user_id})
    sessions.forget()


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
