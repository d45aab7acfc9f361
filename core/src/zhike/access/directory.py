"""Finds the actor behind a token or a user, with all that their roles grant at the moment."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from zhike import clock
from zhike.access.actor import Actor
from zhike.access.finding import load
from zhike.access.role_book import RoleBook
from zhike.access.roles import ROLES, Roles
from zhike.orm import Database

CACHE_SECONDS = 5.0
CACHE_SIZE = 4096
_SECRET = re.compile(r"zk_[A-Za-z0-9_-]{43}")


class _Found(NamedTuple):
    """Who was found, until when that holds, and when the token expires."""

    until: float
    actor: Actor | None
    expires_at: datetime | None


class Directory(RoleBook):
    """Finds actors; what it finds, also that there is none, holds for at most five seconds.

    Args:
        db: Where tokens, users and roles are stored.
        roles: What each shipped role grants here, with what plugins add.
        whole: See `RoleBook`.
    """

    def __init__(self, db: Database, roles: Roles = ROLES, whole: Collection[str] = ()) -> None:
        super().__init__(roles, whole)
        self._db = db
        self._known: dict[bytes | int, _Found] = {}

    def forget(self) -> None:
        """Find everybody anew: after a commit that has changed what somebody may do."""
        self._known = {}

    async def find(self, token: str) -> Actor | None:
        """Return the actor of a token that is neither expired nor revoked, nor its user disabled; or None.

        Args:
            token: The secret as the client sent it.

        Raises:
            Unavailable: If it is not cached and the database cannot be asked.
        """
        if not _SECRET.fullmatch(token):
            return None
        found = await self._found(hashlib.sha256(token.encode()).digest())
        return None if found.expires_at is not None and found.expires_at <= clock.now() else found.actor

    async def user(self, user_id: int) -> Actor | None:
        """Return the actor that a user is, or None if there is none or they are disabled.

        Raises:
            Unavailable: If it is not cached and the database cannot be asked.
        """
        return (await self._found(user_id)).actor

    async def _found(self, key: bytes | int) -> _Found:
        known = self._known  # what is loaded while somebody calls `forget` is forgotten with the rest
        found = known.get(key)
        if found is not None and found.until >= time.monotonic():
            return found
        # The time is taken before the query: no answer may live longer than five seconds after it was true.
        until = time.monotonic() + CACHE_SECONDS
        async with self._db.connection() as connection:
            found = _Found(until, *await load(connection, key, self))
        known.pop(key, None)
        while len(known) >= CACHE_SIZE:
            del known[next(iter(known))]
        known[key] = found
        return found
