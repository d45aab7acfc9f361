"""Giving a plugin's data up: everything of it that the database holds, also when its code is gone."""

from __future__ import annotations

import asyncpg

from zhike._host.db import migrate
from zhike._host.plugins.discover import Candidate, name_problem
from zhike.access import audit
from zhike.access.actor import Actor
from zhike.errors import Conflict, NotFound
from zhike.i18n import text
from zhike.orm import Connection, Database
from zhike.plugins import service

_TABLES = """
SELECT quote_ident(c.relname) AS name FROM pg_class AS c
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = current_schema()::regnamespace
  AND starts_with(c.relname, $1 || '_') ORDER BY c.relname
"""
_ROWS = (
    "migration WHERE app_name = $1",
    "consumer_attempt WHERE consumer = $1",
    "consumer_cursor WHERE consumer = $1",
    "consumer WHERE name = $1",
    "dead_letter WHERE consumer = $1",
    "job WHERE starts_with(name, $1 || '.')",
    "schedule WHERE plugin = $1",
    "circuit WHERE plugin = $1",
    "customer_rows WHERE plugin = $1",
    "secret WHERE plugin = $1",
)


async def tables(connection: Connection, plugin: str) -> list[str]:
    """Return the names of a plugin's tables, as they are written in SQL."""
    return [row["name"] for row in await connection.fetch(_TABLES, plugin)] if _owns(plugin) else []


def _owns(plugin: str) -> bool:
    """Say whether there can be anything of a plugin: it was never loaded if it has a name that none may have."""
    # Such a name may be how tables of the core begin, or of another plugin, whose name is a single word.
    return name_problem(Candidate(name=plugin)) is None


async def require_given_up(connection: Connection, plugin: str) -> service.Known:
    """Return what is known of a plugin that is disabled or gone; raises as `purge` does for any other."""
    known = (await service.known(connection)).get(plugin)
    if known is None:
        raise NotFound(text("There is no plugin {name}", name=plugin))
    if known.enabled and known.installed:
        raise Conflict(text("The plugin {name} is enabled; run `zhike plugin disable {name}` first", name=plugin))
    return known


async def purge(database: Database, actor: Actor, plugin: str) -> list[str]:
    """Drop a plugin's tables and forget its place in the log, its jobs and all that is known of it.

    Of a plugin that is still installed it stays known that it is disabled. What it has recorded as events stays.

    Args:
        database: Where.
        actor: Who gives it up.
        plugin: Its name.

    Returns:
        The tables that were dropped.

    Raises:
        NotFound: If there is no such plugin.
        Conflict: If it is enabled and installed, or, with the code `running`, a process still has it.
    """
    async with migrate.alone(database) as connection:
        known = await require_given_up(connection, plugin)
        if any(plugin in process.plugins for process in await service.running(connection)):
            message = text("Some processes still run the plugin {name}; try again when they have ended", name=plugin)
            raise Conflict(message, code="running")
        dropped = await tables(connection, plugin)
        if dropped:
            await _drop(connection, dropped)
        for rows in _ROWS if _owns(plugin) else ():
            await connection.execute(f"DELETE FROM {rows}", plugin)
        if known.installed:
            await service.record(connection, plugin, None)
        else:
            await connection.execute("DELETE FROM plugin WHERE name = $1", plugin)
        await audit.record(connection, actor, "plugin.purge", f"plugin:{plugin}", {"tables": dropped})
    return dropped


async def _drop(connection: Connection, names: list[str]) -> None:
    try:
        await connection.execute(f"DROP TABLE {', '.join(names)}")
    except asyncpg.DependentObjectsStillExistError as error:
        # Somebody's view or table; it is theirs to give up.
        detail = error.as_dict().get("detail", "")
        raise Conflict(
            text("Something else in the database depends on these tables: {detail}", detail=detail)
        ) from None
