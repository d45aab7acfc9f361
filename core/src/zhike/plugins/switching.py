"""Enabling and disabling plugins, and trying again what was switched off."""

from __future__ import annotations

from typing import Literal

from zhike.access import audit
from zhike.access.actor import Actor
from zhike.errors import Conflict, NotFound
from zhike.i18n import text
from zhike.orm import Connection, Database
from zhike.plugins import service

Resume = Literal["continue", "from_now"]
"""Where an enabled plugin takes the log up again: where it stopped, or with what comes from now on."""


async def enable(
    db: Database, actor: Actor, name: str, resume: Resume | None = None, look: service.Look | None = None
) -> bool:
    """Let a plugin run from the next generation on; return whether it was disabled, or lacked by a running process.

    Args:
        db: The database.
        actor: Who enables it.
        name: The plugin.
        resume: Needed if the plugin read the log before it was disabled.
        look: What is installed by now.

    Raises:
        NotFound: If there is no such plugin installed.
        Conflict: If `resume` is needed and absent.
    """
    from zhike.consumers import service as consumers

    async with db.transaction() as connection:
        if look is not None:
            await service.see(connection, look.installed)
        plugin = await _lock(connection, name)
        if not plugin.installed:
            raise NotFound(text("The plugin {name} is not installed", name=name))
        if plugin.enabled:
            newest = await service.running(connection, await service.generation(connection))
            if not any(process.lacks(name, look.code(name) if look else "") for process in newest):
                return False
        elif await connection.fetchval("SELECT EXISTS (SELECT FROM consumer_cursor WHERE consumer = $1)", name):
            if resume is None:
                message = text(
                    "The plugin {name} has read the log before: say whether it shall go on where it stopped "
                    "(continue) or leave out what happened meanwhile (from_now)",
                    name=name,
                )
                raise Conflict(message, code="resume")
            if resume == "from_now":
                await consumers.skip_to_now(connection, name)
        await _set(connection, actor, name, True, {"resume": resume})
        return True


async def disable(db: Database, actor: Actor, name: str) -> bool:
    """Let a plugin, installed or not, run no longer from the next generation on; return whether it was enabled.

    Its tables and its place in the log stay.

    Raises:
        NotFound: If there is no such plugin.
    """
    async with db.transaction() as connection:
        if was_enabled := (await _lock(connection, name)).enabled:
            await _set(connection, actor, name, False, {})
        return was_enabled


async def _lock(connection: Connection, name: str) -> service.Known:
    await connection.execute("SELECT FROM plugin WHERE name = $1 FOR UPDATE", name)
    plugin = (await service.known(connection)).get(name)
    if plugin is None:
        raise NotFound(text("There is no plugin {name}", name=name))
    return plugin


async def _set(connection: Connection, actor: Actor, name: str, enabled: bool, details: dict[str, object]) -> None:
    # Without a fingerprint its code is tried again, also if that has hung or crashed before.
    sql = "UPDATE plugin SET enabled = $2, fingerprint = NULL, updated_at = now() WHERE name = $1"
    await connection.execute(sql, name, enabled)
    await service.bump(connection)
    await audit.record(connection, actor, "plugin.enable" if enabled else "plugin.disable", f"plugin:{name}", details)
