"""What commands have in common: the database they work on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

from zhike.errors import Refused
from zhike.i18n import text
from zhike.orm import Database
from zhike.platform import Platform
from zhike.settings import Settings

T = TypeVar("T")


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
                    refuse_pending(await migrate.pending_on(connection))
            yield database
        finally:
            await database.close()


def refuse_pending(names: Sequence[str]) -> None:
    """Refuse a database that lacks the migrations of these names.

    Raises:
        Refused: If there are any.
    """
    if names:
        raise Refused(text("The database is not up to date ({names}); run `zhike migrate`", names=", ".join(names)))


def on_database(settings: Settings, work: Callable[[Database], Awaitable[T]]) -> T:
    """Return what `work` returns for the deployment's database, which is opened for it as by `open_database`."""

    async def run() -> T:
        async with open_database(settings) as db:
            return await work(db)

    return asyncio.run(run())


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
