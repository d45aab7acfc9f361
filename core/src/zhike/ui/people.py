"""The names of users and teams, for pages that know their ids."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zhike.api import Host

CACHE_SECONDS = 5.0
_NAMES = "SELECT true, id, name FROM app_user UNION ALL SELECT false, id, name FROM team"


class People:
    """Names by id; what is known holds for at most five seconds.

    Attributes:
        users: Of users, also of those who are disabled.
        teams: Of teams.
    """

    def __init__(self) -> None:
        self.users: dict[int, str] = {}
        self.teams: dict[int, str] = {}
        self._until = 0.0

    async def renew(self, host: Host) -> None:
        """Ask the database, if the names are too old."""
        if time.monotonic() < self._until:
            return
        async with host.db.connection() as connection:
            rows = await connection.fetch(_NAMES)
        self.users = {row[1]: row[2] for row in rows if row[0]}
        self.teams = {row[1]: row[2] for row in rows if not row[0]}
        self._until = time.monotonic() + CACHE_SECONDS
