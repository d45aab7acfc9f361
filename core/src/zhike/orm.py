"""PostgreSQL for the core and its plugins: a pool per process, nesting transactions, Piccolo tables."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from urllib.parse import urlsplit

from asyncpg import Record
from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder
from piccolo.table import Table

from zhike._engine import Connection, Engine, Pool, ServerConnection, Transaction
from zhike.errors import Refused, Unavailable
from zhike.i18n import text

__all__ = ["Connection", "Database", "Engine", "MigrationManager", "Pool", "Transaction", "sql_migration"]

OLDEST_SERVER = 15
"""The oldest major version of PostgreSQL that is supported."""
COMMAND_TIMEOUT = 60.0
"""Seconds after which a silent server is given up; its own limit on statements is 30 seconds."""
CLOSE_TIMEOUT = 5.0
"""Seconds that connections in use are given when the database is closed."""

# Sent when a connection starts, so that nothing on it has to be reset between two users.
SERVER_SETTINGS = {
    "application_name": "zhike",
    "timezone": "UTC",
    "jit": "off",  # compiling costs more than it saves in statements of less than some seconds
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
}
TABLES = (
    "zhike.customers.tables",
    "zhike.events.tables",
    "zhike.access.tables",
    "zhike.calendar.tables",
    "zhike.config.tables",
    "zhike.consumers.tables",
    "zhike.desk.tables",
    "zhike.files.tables",
    "zhike.jobs.tables",
    "zhike.plugins.tables",
    "zhike.tasks.tables",
)
"""The modules of the core's Piccolo tables."""


class Database:
    """One process's connections to PostgreSQL: an asyncpg pool inside Piccolo's engine.

    On its connections jsonb is JSON text in both directions. Nothing may change a session's state (SET,
    LISTEN, session advisory locks), since a connection is given to its next user as it is.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._bound: list[type[Table]] = []

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        max_size: int = 8,
        command_timeout: float | None = COMMAND_TIMEOUT,
        on_connect: Callable[[Connection], None] | None = None,
    ) -> Database:
        """Connect, and put the core's Piccolo tables on this database.

        Args:
            url: `postgresql://user:password@host:port/name`.
            max_size: Most connections at one time.
            command_timeout: Seconds one statement may take as seen from here, or None.
            on_connect: Called with each new connection before its first use.

        Raises:
            Unavailable: If the server cannot be reached or does not let us in.
            Refused: If the URL cannot be understood or the server is older than `OLDEST_SERVER`.
        """
        if not url.startswith(("postgresql://", "postgres://")):
            raise _not_understood()
        engine = Engine(url, SERVER_SETTINGS)

        async def prepare(connection: Connection) -> None:
            if on_connect is not None:
                on_connect(connection)

        # No least size: while a server restarts, asyncpg logs a traceback for each attempt to restore it.
        await engine.start_connection_pool(
            min_size=0,
            max_size=max_size,
            max_inactive_connection_lifetime=0,
            command_timeout=command_timeout,
            connection_class=ServerConnection,
            init=prepare,
            reset=_keep,
        )
        database = cls(engine)
        try:
            await database._check_server(url)
            for module_name in TABLES:
                module = importlib.import_module(module_name)
                database.bind(getattr(module, name) for name in module.__all__)
        except BaseException:
            await database.close()
            raise
        return database

    @property
    def pool(self) -> Pool:
        """The asyncpg pool; `connection` and `transaction` are the doors to use."""
        if self.engine.pool is None:
            raise RuntimeError("the database is closed")
        return self.engine.pool

    def bind(self, tables: Iterable[type[Table]]) -> None:
        """Let these Piccolo tables' queries run here, until it is closed or another database binds them."""
        for table in tables:
            table._meta.db = self.engine
            self._bound.append(table)

    async def close(self) -> None:
        """Close all connections; those still in use after `CLOSE_TIMEOUT` are cut."""
        if self.engine.pool is None:
            return
        for table in self._bound:
            if table._meta._db is self.engine:
                table._meta._db = None
        with suppress(TimeoutError):  # the pool cuts its connections when it is interrupted
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self.engine.pool.close()
        self.engine.pool = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Run the block in a transaction, or in a savepoint when this context is in a transaction already.

        Yields:
            The connection; Piccolo queries and `connection` inside the block use the same one.

        Raises:
            Unavailable: If the database cannot be reached, or is lost on the way. If it was lost during
                COMMIT, nobody knows whether that took effect.
            RuntimeError: In a task that was started inside a transaction which has ended (see `Transaction`).
        """
        async with self.engine.transaction() as transaction:
            yield transaction.connection

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """Lend a connection for reads: the transaction's inside one, else one of the pool.

        Do not ask for a second one inside the block: when all tasks do, each waits for the others.

        Raises:
            Unavailable: If the database cannot be reached, or is lost on the way.
            RuntimeError: As for `transaction`.
        """
        return self.engine.connect()

    async def fetch(self, statement: str, *values: object) -> list[Record]:
        """Return the rows of one statement on its own; see `connection`."""
        async with self.connection() as connection:
            return await connection.fetch(statement, *values)

    async def _check_server(self, url: str) -> None:
        try:
            async with self.connection() as connection:
                version = connection.get_server_version().major
        except (Unavailable, ValueError) as failure:
            cause = failure.__cause__ or failure
            if isinstance(cause, ValueError) or not _address(url):
                raise _not_understood() from None  # the cause's text may hold a piece of the password
            message = text(
                "The database at {address} cannot be used: {reason}",
                address=_address(url),
                reason=str(cause) or type(cause).__name__,
            )
            raise Unavailable(message, retry_after=1) from cause
        if version < OLDEST_SERVER:
            message = text(
                "The database at {address} runs PostgreSQL {version}; expected {oldest} or newer",
                address=_address(url),
                version=version,
                oldest=OLDEST_SERVER,
            )
            raise Refused(message)


def sql_migration(migration_id: str, app_name: str, sql: str) -> MigrationManager:
    """Return what a Piccolo migration file's `forwards()` returns, for a migration written in SQL.

    Args:
        migration_id: The file's `ID`, which is also its name without `.py`.
        app_name: The app the file belongs to.
        sql: Statements separated by `;`; they run in one transaction with the record that they ran.
    """
    manager = MigrationManager(migration_id=migration_id, app_name=app_name)

    async def run() -> None:
        engine = engine_finder()
        if engine is None:
            raise RuntimeError("Piccolo knows no engine")
        await engine.run_ddl(sql)

    manager.add_raw(run)
    return manager


async def _keep(connection: Connection) -> None:
    """Reset nothing between two users of a connection: none changes its session."""


def _not_understood() -> Refused:
    expected = "postgresql://user:password@host:port/name"
    return Refused(text("The database URL cannot be understood; expected {expected}", expected=expected))


def _address(url: str) -> str:
    """Return the part of a database URL that may be shown."""
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] + parts.path
