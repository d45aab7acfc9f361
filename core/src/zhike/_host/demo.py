"""Builds the sample company in an empty database, once: every plugin that brings a part of it makes that."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable
from datetime import datetime
from random import Random
from typing import TYPE_CHECKING

from zhike._ring import ring
from zhike.access import audit, new_users, passwords, tokens
from zhike.access.actor import Actor
from zhike.contracts import DemoContext
from zhike.errors import Refused
from zhike.i18n import text

if TYPE_CHECKING:
    from zhike.orm import Database
    from zhike.platform import Platform
    from zhike.settings import Settings

LOGIN = "admin"
TOKEN_NAME = "demo"  # noqa: S105  # a name, not a secret
ACTOR = Actor.command("demo")
_DONE = "SELECT action, object FROM audit WHERE actor = $1 AND action LIKE 'demo.%'"
_HASH = "SELECT password_hash FROM app_user WHERE login = $1 AND disabled_at IS NULL"


async def build(platform: Platform, now: datetime, *, size: int, password: str, say: Callable[[str], None]) -> bool:
    """Make the sample company, unless there are customers; what was cut off goes on.

    Args:
        platform: On a migrated database.
        now: The present instant; the company's story ends there.
        size: How many customers to make. Of a start that goes on, that of the first one counts, and its instant.
        password: What everybody in it logs in with.
        say: Told how far it is.

    Returns:
        Whether there was anything to do.

    Raises:
        Refused: If no plugin brings a part of it.
    """
    async with platform.db.connection() as connection:
        done = [(row["action"], row["object"]) for row in await connection.fetch(_DONE, ACTOR.origin)]
        foreign = not done and await connection.fetchval("SELECT EXISTS (SELECT FROM customer)")
    if foreign or ("demo.end", "demo") in done:
        return False
    parts = sorted(platform.registry.demo_data.values(), key=lambda part: (part.order, part.key))
    if not parts:
        raise Refused(text("No plugin brings a sample company; install zhike-sample"))
    begun = next((what for action, what in done if action == "demo.begin"), None)
    if begun is None:
        begun = f"{now.astimezone(platform.settings.zone).isoformat(timespec='minutes')}/{size}"
        await _note(platform.db, "demo.begin", begun)
    instant, _, number = begun.partition("/")
    await _make_admin(platform, password)
    for part in parts:
        if ("demo.part", part.key) not in done:
            context = DemoContext(
                platform=platform,
                now=datetime.fromisoformat(instant).astimezone(platform.settings.zone),
                size=int(number),
                random=Random(part.key),  # noqa: S311  # sample data, not a secret
                password=password,
                say=say,
            )
            await part.make(context)
            await _note(platform.db, "demo.part", part.key)
    await _note(platform.db, "demo.end", "demo")
    return True


def password_of(settings: Settings) -> str:
    """Return the password of the sample company's logins: another one in each installation, and always the same there.

    Raises:
        Refused: If the key ring cannot be used.
    """
    digest = hmac.digest(ring(settings)[0].cursors, b"zhike demo", "sha256")
    word = base64.b32encode(digest).decode().lower()
    return "-".join(word[start : start + 4] for start in (0, 4, 8))


async def opens(db: Database, password: str) -> bool | None:
    """Say whether the sample company's administrator logs in with a password; None if the company is not there."""
    async with db.connection() as connection:
        if not await connection.fetch(_DONE, ACTOR.origin):
            return None
        stored = await connection.fetchval(_HASH, LOGIN)
    return await passwords.matches(stored, password)


async def first_token(db: Database) -> str | None:
    """Make a token for the sample company's administrator at the first start, else return None.

    A database whose customers do not come from here gets none: no command but `token` opens a company's own
    data.
    """
    async with db.connection() as connection:
        known = await connection.fetchval("SELECT EXISTS (SELECT FROM api_token WHERE name = $1)", TOKEN_NAME)
        if known or not await connection.fetch(_DONE, ACTOR.origin):
            return None
    _, secret = await tokens.create(db, ACTOR, TOKEN_NAME, "admin", expires_at=None)
    return secret


async def _make_admin(platform: Platform, password: str) -> None:
    async with platform.db.connection() as connection:
        if await connection.fetchval("SELECT EXISTS (SELECT FROM app_user WHERE login = $1)", LOGIN):
            return
    await new_users.create(
        platform.db,
        ACTOR,
        login=LOGIN,
        name="管理员",
        role="admin",
        password=password,
        directory=platform.directory,
    )


async def _note(db: Database, action: str, subject: str) -> None:
    async with db.transaction() as connection:
        await audit.record(connection, ACTOR, action, subject, {})
