"""The whole schema brought up to date: the core's, then each enabled plugin's."""

from __future__ import annotations

import msgspec

from zhike._host.db import migrate
from zhike._host.db import plugins as migrations
from zhike._host.plugins import load
from zhike.errors import Refused, ZhikeError
from zhike.orm import Database
from zhike.platform import Problem
from zhike.settings import Settings


class Upgrade(msgspec.Struct, frozen=True):
    """What came of it.

    Args:
        ran: The ids of the migrations that ran, or would run.
        problems: What is wrong with plugins, which does not keep the others from being brought up to date.
    """

    ran: list[str]
    problems: list[Problem]


async def upgrade(settings: Settings, url: str, *, check: bool = False) -> Upgrade:
    """Run the migrations that are missing: the core's all or none, each plugin's all or none.

    Args:
        settings: The deployment's settings.
        url: Its database.
        check: Whether to run nothing and only tell.

    Raises:
        Refused: If the core's cannot be brought up to date; plugins are not looked at then.
        Unavailable: If the database cannot be used.
    """
    ran = await (migrate.pending(url) if check else migrate.forwards(url))
    if check and ran:
        return Upgrade(ran, [])
    db = await Database.open(url, max_size=2, command_timeout=None)
    try:
        loading = await load.import_all(settings, db)
        assembled = loading.assemble()
        for name in list(loading.modules):
            try:
                if check:
                    async with db.connection() as connection:
                        ran += await migrate.pending_on(connection, [loading.app(name)])
                else:
                    ran += await migrations.forwards(db, loading.app(name), assembled.registry.rows_of(name))
            except ZhikeError as error:
                if not isinstance(error, Refused):
                    await _require(db)
                loading.note(migrations.failed(name, error.message))
        if not check:
            await load.record(loading, db)
    finally:
        await db.close()
    return Upgrade(ran, list(loading.problems.values()))


async def _require(db: Database) -> None:
    """Raise `Unavailable` if not only a table is in use but the database is gone."""
    async with db.connection() as connection:
        await connection.execute("SELECT 1")
