"""Brings a database's schema up to date: all of the core's that is missing in one transaction, then plugins'.

Migration files are Piccolo's and run by Piccolo's migration manager; what ran is recorded in Piccolo's table.
The loop around them is ours: Piccolo's takes no lock, records a migration after its transaction (killed in
between, it would run twice), runs each in one of its own, imports the files by their bare names, and prints.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import io
import os
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from types import ModuleType

import asyncpg

from zhike._engine import unavailable
from zhike._host.db import piccolo_conf
from zhike._host.db.apps import CORE, App
from zhike.errors import Refused, Unavailable
from zhike.i18n import text
from zhike.orm import Connection, Database, Engine, MigrationManager

# Piccolo's own definition, so that its tools read the same table.
_RECORD = """
CREATE TABLE IF NOT EXISTS migration (
  id serial PRIMARY KEY,
  name varchar(200) NOT NULL DEFAULT '',
  app_name varchar(200) NOT NULL DEFAULT '',
  ran_on timestamp NOT NULL DEFAULT current_timestamp
)
"""
_QUOTED = re.compile('".*"', re.DOTALL)
TABLE_LOCK_TIMEOUT = "30s"
_LOCK = 0x7A68_696B_65  # "zhike"; advisory locks are counted per database


async def forwards(url: str, apps: Sequence[App] = CORE) -> list[str]:
    """Run the migrations that `url` lacks; all of them take effect, or none.

    Several processes may call it at once: one runs them, the others wait and find nothing left.

    Args:
        url: The database.
        apps: Whose migrations to run, in this order.

    Returns:
        The ids of those that ran.

    Raises:
        Refused: If the database holds migrations that this version does not know, or one fails.
        Unavailable: If the database cannot be used.
    """
    database = await Database.open(url, max_size=1, command_timeout=None)
    try:
        async with alone(database) as connection:
            return await run_missing(database, connection, apps)
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def alone(database: Database) -> AsyncIterator[Connection]:
    """Run the block in a transaction that may change the schema while no other process changes it."""
    async with database.transaction() as connection:
        # A migration may rewrite a large table, and so may the one that this process waits for.
        await connection.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
        # Held to the end of the transaction, so nothing is left to free if this process dies.
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        # Waiting for a table in use would hold up everybody behind this transaction.
        await connection.execute(f"SET LOCAL lock_timeout = '{TABLE_LOCK_TIMEOUT}'")
        yield connection


async def run_missing(database: Database, connection: Connection, apps: Sequence[App]) -> list[str]:
    """Run the migrations that are missing, inside the block of `alone`; returns and raises as `forwards`."""
    await connection.execute(_RECORD)
    missing = await _missing(connection, apps)
    with _piccolo_on(database.engine):
        for app, migration_id in missing:
            await _run(connection, app, migration_id)
    await connection.executemany(
        "INSERT INTO migration (name, app_name) VALUES ($1, $2)",
        [(migration_id, app.name) for app, migration_id in missing],
    )
    return [migration_id for _, migration_id in missing]


async def pending(url: str, apps: Sequence[App] = CORE) -> list[str]:
    """Return the ids of the migrations that `forwards` would run; changes nothing.

    Args:
        url: The database.
        apps: Whose migrations to look at.

    Raises:
        Refused: If the database holds migrations that this version does not know.
        Unavailable: If the database cannot be used.
    """
    database = await Database.open(url, max_size=1)
    try:
        async with database.connection() as connection:
            return await pending_on(connection, apps)
    finally:
        await database.close()


async def pending_on(connection: Connection, apps: Sequence[App] = CORE) -> list[str]:
    """Do what `pending` does on a connection that is open already."""
    return [migration_id for _, migration_id in await _missing(connection, apps)]


async def _missing(connection: Connection, apps: Sequence[App]) -> list[tuple[App, str]]:
    known = {(app.name, migration_id): app for app in apps for migration_id in app.migrations}
    ran: set[tuple[str, str]] = set()
    if await connection.fetchval("SELECT to_regclass('migration') IS NOT NULL"):
        rows = await connection.fetch("SELECT app_name, name FROM migration")
        ran = {(row["app_name"], row["name"]) for row in rows}
    names = {app.name for app in apps}  # what a plugin left behind that is gone does not matter
    if unknown := sorted(name for app, name in ran - known.keys() if app in names):
        raise Refused(
            text(
                "The database was made by a newer version: it holds migrations that this one does not know "
                "({names}). Install that version, or restore a backup made with this one",
                names=", ".join(unknown),
            )
        )
    return [(app, key[1]) for key, app in known.items() if key not in ran]


async def _run(connection: Connection, app: App, migration_id: str) -> None:
    try:
        manager = await _manager(app, migration_id)
        await manager.run()
    except (KeyboardInterrupt, asyncio.CancelledError, Unavailable):
        raise
    except BaseException as error:  # a plugin's file may raise anything, SystemExit too
        if unavailable(error, connection):
            raise
        # Not the error's details, which may hold a row, nor what a function says, nor a value that cannot be taken.
        reason = type(error).__name__
        if isinstance(error, asyncpg.PostgresError) and not isinstance(error, asyncpg.PLPGSQLError):
            reason = error.as_dict().get("message", reason)
            if isinstance(error, asyncpg.DataError):
                reason = _QUOTED.sub('"…"', reason)
        message = text("Migration {name} failed and nothing was changed: {reason}", name=migration_id, reason=reason)
        raise Refused(message) from error


async def _manager(app: App, migration_id: str) -> MigrationManager:
    file = app.folder / f"{migration_id}.py"
    spec = importlib.util.spec_from_file_location(f"zhike.migrations.{migration_id}", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    manager: MigrationManager = await module.forwards()
    return manager


@contextlib.contextmanager
def _piccolo_on(engine: Engine) -> Iterator[None]:
    """Let Piccolo's migration managers, and the tables they make up, find `engine`; and keep them quiet."""
    before = os.environ.get("PICCOLO_CONF")
    os.environ["PICCOLO_CONF"] = piccolo_conf.__name__
    token = piccolo_conf.migrating.set(engine)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        piccolo_conf.migrating.reset(token)
        if before is None:
            del os.environ["PICCOLO_CONF"]
        else:
            os.environ["PICCOLO_CONF"] = before
