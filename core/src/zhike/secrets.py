"""Secrets of plugins, such as the password of another system: sealed in the database, never shown, never logged."""

from __future__ import annotations

from zhike.access import audit
from zhike.access.actor import Actor
from zhike.errors import NotFound
from zhike.i18n import text
from zhike.orm import Connection
from zhike.platform import Platform
from zhike.vault import Keys

_SET = """
INSERT INTO secret AS s (plugin, name, sealed) VALUES ($1, $2, $3)
ON CONFLICT (plugin, name) DO UPDATE SET sealed = excluded.sealed, version = s.version + 1
RETURNING version
"""


async def set(platform: Platform, actor: Actor, plugin: str, name: str, value: str) -> None:
    """Keep a secret, in place of an earlier one of that name.

    Args:
        platform: The process's platform.
        actor: Who enters it; the audit trail names the secret and not its value.
        plugin: Whose it is.
        name: Which one, such as `mall.token`.
        value: The secret.

    Raises:
        Unavailable: If the database or the deployment's keys cannot be used.
    """
    sealed = await platform.vault.seal(value, _context(plugin, name))
    async with platform.db.transaction() as connection:
        version = await connection.fetchval(_SET, plugin, name, sealed)
        await audit.record(connection, actor, "secret.set", f"secret:{plugin}.{name}", {"version": version})


async def get(platform: Platform, plugin: str, name: str) -> str | None:
    """Return a secret, for use and not to be shown; None if there is none.

    Raises:
        Unavailable: If the database or the deployment's keys cannot be used, or what is stored was changed.
    """
    async with platform.db.connection() as connection:
        sealed = await connection.fetchval("SELECT sealed FROM secret WHERE plugin = $1 AND name = $2", plugin, name)
    return None if sealed is None else await platform.vault.open(sealed, _context(plugin, name))


async def delete(platform: Platform, actor: Actor, plugin: str, name: str) -> None:
    """Forget a secret.

    Raises:
        NotFound: If there is none.
    """
    async with platform.db.transaction() as connection:
        done = await connection.execute("DELETE FROM secret WHERE plugin = $1 AND name = $2", plugin, name)
        if done == "DELETE 0":
            raise NotFound(text("There is no secret {name}", name=f"{plugin}.{name}"))
        await audit.record(connection, actor, "secret.delete", f"secret:{plugin}.{name}", {})


async def reseal(connection: Connection, keys: Keys, after: int, limit: int) -> int | None:
    """Seal the next secrets with the newest data key; see `zhike.vault.Reseal`."""
    rows = await connection.fetch(
        "SELECT id, plugin, name, sealed FROM secret WHERE id > $1 ORDER BY id LIMIT $2 FOR UPDATE", after, limit
    )
    for row in rows:
        if sealed := keys.reseal(row["sealed"], _context(row["plugin"], row["name"])):
            await connection.execute("UPDATE secret SET sealed = $2 WHERE id = $1", row["id"], sealed)
    return rows[-1]["id"] if rows else None


def _context(plugin: str, name: str) -> str:
    return f"secret:{plugin}:{name}"
