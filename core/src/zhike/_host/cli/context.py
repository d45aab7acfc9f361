"""What commands have in common: the database they work on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from zhike.errors import Refused
from zhike.i18n import text
from zhike.orm import Database
from zhike.platform import Platform
from zhike.settings import Settings


@contextmanager
def database_url(settings: Settings) -> Iterator[str]:
    """Yield the URL of the deployment's database, which keeps running inside the block.

    Args:
        settings: `database_url` names a server; without it the embedded one in `data` is started.

    Raises:
        Refused: If the embedded database cannot be started.
    """
    if settings.database_url is not None:
        yield settings.database_url
        return
    from zhike._host.database import attach

    with attach(settings.data) as url:
        yield url


@asynccontextmanager
async def open_database(settings: Settings, *, migrated: bool = True) -> AsyncIterator[Database]:
    """Open the deployment's database for one command.

    Args:
        settings: Says which one, and how many connections.
        migrated: Whether to refuse one whose schema is not that of this version.

    Raises:
        Refused: If migrations are pending, or were made by a newer version.
        Unavailable: If the database cannot be reached.
    """
    from zhike._host.db import migrate

    with database_url(settings) as url:
        database = await Database.open(url, max_size=settings.pool_size)
        try:
            if migrated:
                async with database.connection() as connection:
                    pending = await migrate.pending_on(connection)
                if pending:
                    raise Refused(
                        text(
                            "The database is not up to date ({names}); run `zhike migrate`",
                            names=", ".join(pending),
                        )
                    )
            yield database
        finally:
            await database.close()


@asynccontextmanager
async def open_platform(settings: Settings) -> AsyncIterator[Platform]:
    """Open the deployment's database with all plugins loaded, for one command.

    Args:
        settings: Says which database.

    Raises:
        Refused: If migrations are pending, or Redis is wanted and cannot be used from here.
        Unavailable: If the database cannot be reached.
    """
    from zhike._host.plugins.load import load
    from zhike.transport import open_transport

    async with open_database(settings) as db:
        platform = await load(settings, db, threads=True)
        transport = await open_transport(settings, db.engine.config["dsn"])
        platform.announce = transport.announce
        try:
            yield platform
            if platform.circuits is not None:
                await platform.circuits.step()
        finally:
            await transport.close()
