"""Circuits kept in the database: a hook that failed five times in a row is off in all processes until staff try it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import NamedTuple

from zhike.access import audit
from zhike.access.actor import Actor
from zhike.desk import warnings
from zhike.errors import NotFound, Unavailable
from zhike.i18n import text
from zhike.orm import Database

LIMIT = 5
"""Failures in a row that switch a hook off."""
REFRESH_SECONDS = 5.0
FLUSH_SECONDS = 0.1
"""Least time between two looks at the database."""

logger = logging.getLogger("zhike.plugins")

_READ = "SELECT plugin, hook, failures, opened_at FROM circuit"
# What is off stays off until somebody closes it: a success may have begun before.
_SUCCEEDED = """
DELETE FROM circuit USING unnest($1::text[], $2::text[]) AS f (plugin_name, hook_name)
WHERE (plugin, hook) = (plugin_name, hook_name) AND opened_at IS NULL
"""
_CLOSE = "DELETE FROM circuit WHERE plugin = $1 AND hook = coalesce($2, hook) AND opened_at IS NOT NULL RETURNING hook"
_FAILED = """
INSERT INTO circuit AS c (plugin, hook, failures, last_error, opened_at)
SELECT plugin, hook, n, error, CASE WHEN n >= $5 THEN now() END
FROM unnest($1::text[], $2::text[], $3::int[], $4::text[]) AS f (plugin, hook, n, error) ORDER BY plugin, hook
ON CONFLICT (plugin, hook) DO UPDATE
SET failures = c.failures + excluded.failures, last_error = excluded.last_error,
  opened_at = coalesce(c.opened_at, CASE WHEN c.failures + excluded.failures >= $5 THEN now() END)
"""

_Key = tuple[str, str]


class _Change(NamedTuple):
    """What happened since the last flush: whether there was a success, failures after it, the last one's text."""

    succeeded: bool = False
    failures: int = 0
    error: str = ""


class StoredCircuits:
    """The circuits of all processes, as this one knows them.

    Asking and noting only touch memory; `run`, or `step` in a command, exchanges them with the database.

    Args:
        db: Where they are kept.
        announce: Told the topic `plugins` when a circuit was opened here.
    """

    def __init__(self, db: Database, announce: Callable[[str], None] = lambda _: None) -> None:
        self.announce = announce
        self._db = db
        self._failures: dict[_Key, int] = {}
        self._changes: dict[_Key, _Change] = {}
        self._rung = asyncio.Event()

    def is_open(self, plugin: str, hook: str) -> bool:
        """Return whether the plugin's implementation is not to be called."""
        return self._failures.get((plugin, hook), 0) >= LIMIT

    def failed(self, plugin: str, hook: str, error: str) -> None:
        """Note a failure; `error` says what happened, without any data."""
        self._note((plugin, hook), _Change(failures=1, error=error))
        if self._failures[plugin, hook] == LIMIT:
            logger.warning("hook %s of plugin %s is switched off after repeated failures", hook, plugin)

    def succeeded(self, plugin: str, hook: str) -> None:
        """Note a success; costs nothing unless failures came before it."""
        if 0 < self._failures.get((plugin, hook), 0) < LIMIT:
            self._note((plugin, hook), _Change(succeeded=True))

    def wake(self) -> None:
        """Have `run` look at the database at once."""
        self._rung.set()

    async def run(self) -> None:
        """Exchange circuits with the database until cancelled, after changes and at least every five seconds."""
        while True:
            self._rung.clear()
            with contextlib.suppress(Unavailable):  # what is known holds on
                await self.step()
            await asyncio.sleep(FLUSH_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_SECONDS - FLUSH_SECONDS):
                    await self._rung.wait()

    async def step(self) -> None:
        """Write what was noted and read what the other processes have written.

        Raises:
            Unavailable: If the database cannot be used; what was noted is kept.
        """
        changes, self._changes = self._changes, {}
        try:
            stored = await self._exchange(changes)
        except BaseException:
            later, self._changes = self._changes, changes
            for key, change in later.items():
                self._changes[key] = _after(self._changes.get(key), change)
            raise
        self._failures = stored
        for key, change in self._changes.items():  # noted meanwhile
            self._count(key, change)

    async def _exchange(self, changes: dict[_Key, _Change]) -> dict[_Key, int]:
        async with self._db.transaction() if changes else self._db.connection() as connection:
            failed = {key: change for key, change in changes.items() if change.failures}
            if changes:
                succeeded = [key for key, change in changes.items() if change.succeeded]
                await connection.execute(_SUCCEEDED, [key[0] for key in succeeded], [key[1] for key in succeeded])
                counts = [change.failures for change in failed.values()]
                errors = [change.error for change in failed.values()]
                plugins, hooks = [key[0] for key in failed], [key[1] for key in failed]
                await connection.execute(_FAILED, plugins, hooks, counts, errors, LIMIT)
            rows = await connection.fetch(_READ)
            for row in rows:
                if row["opened_at"] and (row["plugin"], row["hook"]) in failed:
                    await warnings.hook_switched_off(connection, row["plugin"], row["hook"], row["opened_at"])
        stored = {(row["plugin"], row["hook"]): LIMIT if row["opened_at"] else row["failures"] for row in rows}
        if any(stored[key] >= LIMIT for key in failed):
            self.announce("plugins")
        return stored

    def _note(self, key: _Key, change: _Change) -> None:
        self._changes[key] = _after(self._changes.get(key), change)
        self._count(key, change)
        self._rung.set()

    def _count(self, key: _Key, change: _Change) -> None:
        before = self._failures.get(key, 0)
        self._failures[key] = (0 if change.succeeded and before < LIMIT else before) + change.failures


def _after(before: _Change | None, change: _Change) -> _Change:
    if before is None or change.succeeded:
        return change
    return _Change(before.succeeded, before.failures + change.failures, change.error)


async def close_circuit(db: Database, actor: Actor, name: str, hook: str | None) -> list[str]:
    """Have a hook of a plugin that was switched off called again, or all of them; return which.

    Raises:
        NotFound: If none of that name is switched off.
    """
    async with db.transaction() as connection:
        rows = await connection.fetch(_CLOSE, name, hook)
        if not rows:
            raise NotFound(text("No such hook of the plugin {name} is switched off", name=name))
        for row in rows:
            await audit.record(connection, actor, "plugin.close_circuit", f"plugin:{name}", {"hook": row["hook"]})
    return [row["hook"] for row in rows]
