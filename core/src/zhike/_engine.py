"""The Piccolo engine of `zhike.orm`: its pool stays whole and its transactions nest, whatever fails."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import asyncpg
from piccolo.engine.exceptions import TransactionError
from piccolo.engine.postgres import AsyncBatch, PostgresEngine, PostgresTransaction
from piccolo.query.base import Query
from piccolo.querystring import QueryString

from zhike.errors import Unavailable
from zhike.i18n import text

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
else:
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool

ACQUIRE_TIMEOUT = 5.0
"""Seconds to wait for a free connection."""
ROLLBACK_TIMEOUT = 5.0
"""Seconds a ROLLBACK may take before its connection is thrown away."""

# The server said that it cannot serve now, rather than that the statement is wrong.
_UNAVAILABLE = (
    asyncpg.PostgresConnectionError,
    asyncpg.exceptions.OperatorInterventionError,  # shut down, starting, statement_timeout
    asyncpg.InsufficientResourcesError,  # disk full, too many connections
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InternalClientError,  # asyncpg got the server's farewell, but not yet the end of the stream
)
_log = logging.getLogger("zhike.orm")


class ServerConnection(asyncpg.Connection):
    """A connection whose COMMIT fails when PostgreSQL rolled back instead."""

    __slots__ = ()

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:  # noqa: ASYNC109  # asyncpg's
        """Run statements and return the last one's status, as asyncpg does.

        Raises:
            asyncpg.InFailedSQLTransactionError: If COMMIT came after an error that the block swallowed:
                PostgreSQL answers it with the status ROLLBACK and no error at all.
        """
        status = await super().execute(query, *args, timeout=timeout)
        if status == "ROLLBACK" and query.startswith("COMMIT"):
            raise asyncpg.InFailedSQLTransactionError(
                "nothing was committed: a statement of this transaction failed and its error was swallowed; "
                "put what may fail into a nested transaction"
            )
        return status


def is_dead(connection: Connection) -> bool:
    """Tell whether `connection` cannot be used any more."""
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:  # the pool has taken it back
        return True


def unavailable(error: BaseException, connection: Connection) -> Unavailable | None:
    """Return the `Unavailable` that an error raised on `connection` stands for, or None if it is no such."""
    # asyncpg raises InterfaceError for defects in the caller too, and files raise OSError.
    lost = isinstance(error, asyncpg.InterfaceError | OSError) and is_dead(connection)
    return as_unavailable(error) if lost or isinstance(error, _UNAVAILABLE) else None


def as_unavailable(error: BaseException) -> Unavailable:
    """Return what users are told of an error of the database: its type only."""
    kind = type(error).__name__
    return Unavailable(text("The database cannot be used at the moment ({kind})", kind=kind), retry_after=1)


async def _answers(connection: Connection) -> bool:
    """Tell whether the server still answers on `connection`."""
    try:
        async with asyncio.timeout(ROLLBACK_TIMEOUT):
            await connection.execute("SELECT 1")
    except Exception:
        return False
    return True


class Transaction(PostgresTransaction):
    """BEGIN to COMMIT, or a savepoint when entered inside another one.

    It belongs to the context it was entered in, so Piccolo queries there use its connection. It may be left
    in another context. Only the innermost transaction can be used. A task that was started inside it may use
    it while it is open, one statement at a time, and gets a RuntimeError afterwards: start background work
    with `asyncio.create_task(…, context=contextvars.Context())`.
    """

    __slots__ = ("allow_nested", "innermost", "names", "open", "parent", "root", "savepoint_name", "task")

    def __init__(self, engine: Engine, allow_nested: bool = True) -> None:
        # Piccolo's own constructor looks for the outer transaction; that is done on entry here.
        self.engine: Engine = engine
        self.allow_nested = allow_nested
        self.open = False
        self.root: Transaction = self
        self.parent: Transaction | None = None
        self.innermost: Transaction | None = None
        self._savepoint_id = 0

    async def __aenter__(self) -> Transaction:
        self.parent = self.engine.current()
        if self.parent is None:
            await self._begin()
        elif self.allow_nested:
            await self._begin_nested(self.parent)
        else:
            raise TransactionError("A transaction is already active")
        self.task = asyncio.current_task()
        self.open = True
        self.root.innermost = self
        self.engine.current_transaction.set(self)
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        innermost = self.root.innermost is self
        self.open = False
        self.root.innermost = self.parent if innermost else None
        # No token: this may be another context than the one that was entered.
        if self.engine.current_transaction.get() is self:
            self.engine.current_transaction.set(self.parent)
        error = unavailable(exception, self.connection) if exception else None
        try:
            if not innermost:
                self._discard()  # what was nested in it is half done
                raise RuntimeError("a transaction was left before the one nested in it") from exception
            if exception is None:
                await self._commit()
            else:
                await self._roll_back()
                if isinstance(exception, TimeoutError):  # the server's silence, if the rollback met it too
                    error = unavailable(exception, self.connection)
        finally:
            if self.parent is None:
                await self.engine.release(self.connection)
        if error is not None:
            raise error from exception
        return False

    async def _begin(self) -> None:
        self.names = itertools.count(1)
        self.connection = await self.engine.acquire()
        try:
            self.transaction = self.connection.transaction()
            await self.transaction.start()
        except BaseException as failure:
            error = unavailable(failure, self.connection)
            # BEGIN may have reached the server.
            await self.engine.release(self.connection, broken=True)
            if error is not None:
                raise error from failure
            raise

    async def _begin_nested(self, parent: Transaction) -> None:
        self.root = parent.root
        self.connection = parent.connection
        # Never the same name twice: tasks that nest side by side fail instead of undoing each other's work.
        self.savepoint_name = f"zhike_{next(self.root.names)}"
        await self.connection.execute(f"SAVEPOINT {self.savepoint_name}")

    async def _commit(self) -> None:
        try:
            if self.parent is None:
                await self.transaction.commit()
            else:
                await self.connection.execute(f"RELEASE SAVEPOINT {self.savepoint_name}")
        except BaseException as failure:
            error = unavailable(failure, self.connection)
            if not isinstance(failure, asyncpg.PostgresError):
                self._discard()
            elif self.parent is not None:  # a failed COMMIT has rolled back, a failed RELEASE has not
                await self._roll_back()
            if error is not None:
                raise error from failure
            raise

    async def _roll_back(self) -> None:
        """Undo; a failure to do so ends the connection and with it the transaction, so it is no error."""
        if is_dead(self.connection):
            return
        try:
            async with asyncio.timeout(ROLLBACK_TIMEOUT):
                if self.parent is None:
                    await self.transaction.rollback()
                else:
                    name = self.savepoint_name
                    await self.connection.execute(f"ROLLBACK TO SAVEPOINT {name}; RELEASE SAVEPOINT {name}")
        except Exception:
            _log.debug("a rollback failed; its connection is closed", exc_info=True)
            self._discard()
        except BaseException:
            self._discard()
            raise

    def _discard(self) -> None:
        if not is_dead(self.connection):
            self.connection.terminate()

    async def commit(self) -> None:
        """Not offered: statements after it would each be their own transaction."""
        raise NotImplementedError("leave the transaction's block to commit it")

    async def rollback(self) -> None:
        """Not offered: statements after it would each be their own transaction."""
        raise NotImplementedError("raise an exception out of the transaction's block to roll it back")


class Engine(PostgresEngine):
    """Piccolo's engine on an asyncpg pool; unlike its parent it opens no connection when it is made."""

    def __init__(self, url: str, server_settings: dict[str, str]) -> None:
        super().__init__(config={"dsn": url, "server_settings": server_settings}, extensions=())

    async def check_version(self) -> None:
        """Do nothing: Piccolo's opens a connection in the constructor."""

    async def prep_database(self) -> None:
        """Do nothing: no extensions are used."""

    def current(self) -> Transaction | None:
        """Return the transaction this context is in, or None.

        Raises:
            RuntimeError: If this is a task that was started inside a transaction which has ended, or in which
                another task has opened a nested transaction.
        """
        transaction = cast("Transaction | None", self.current_transaction.get())
        while transaction is not None and transaction.root.innermost is not transaction:
            if transaction.open:
                raise RuntimeError("another task has opened a nested transaction in this one")
            if transaction.task is not asyncio.current_task():
                raise RuntimeError(
                    "this task was started inside a transaction that has ended; start it with "
                    "asyncio.create_task(…, context=contextvars.Context())"
                )
            # It was left in another context, which could not clear this one's variable.
            transaction = transaction.parent
            self.current_transaction.set(transaction)
        return transaction

    async def acquire(self) -> Connection:
        """Take a connection from the pool.

        Raises:
            Unavailable: If none became free within `ACQUIRE_TIMEOUT`, or the server cannot be reached.
        """
        if self.pool is None:
            raise RuntimeError("the database is closed")
        try:
            # Not asyncio.wait_for around it: that can lose a connection on Python 3.11.
            return cast("Connection", await self.pool.acquire(timeout=ACQUIRE_TIMEOUT))
        except TimeoutError as failure:
            raise Unavailable(
                text("No database connection became free within {seconds} s", seconds=round(ACQUIRE_TIMEOUT)),
                retry_after=1,
            ) from failure
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as failure:
            raise as_unavailable(failure) from failure

    async def release(self, connection: Connection, *, broken: bool = False) -> None:
        """Give a connection back; never fails, since what was done on it is done.

        Args:
            connection: What `acquire` returned.
            broken: Whether to close it instead of letting others use it.
        """
        if broken and not is_dead(connection):
            connection.terminate()
        if self.pool is None:
            return
        try:
            await self.pool.release(cast("Any", connection))
        except Exception:  # asyncpg has closed the connection and freed its place
            _log.debug("a connection could not be reset; it is closed", exc_info=True)

    async def cut(self, connection: Connection) -> None:
        """End a connection that somebody who cannot be stopped may go on using, and its statement and locks with it."""
        server = connection.get_server_pid()
        connection.terminate()
        # The server would notice only after the statement.
        with suppress(Unavailable, asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            other = await self.acquire()
            try:
                await other.execute("SELECT pg_terminate_backend($1, 1000)", server)
            finally:
                await self.release(other)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        """Yield the transaction's connection if this context is in one, else one of the pool's.

        Raises:
            Unavailable: If the database cannot be reached, or is lost on the way.
        """
        transaction = self.current()
        if transaction is not None:
            yield transaction.connection
            return
        connection = await self.acquire()
        broken = False
        try:
            yield connection
        except BaseException as failure:
            error = unavailable(failure, connection)
            if isinstance(failure, asyncpg.InternalClientError):
                broken = True
            elif isinstance(failure, TimeoutError) and not await _answers(connection):
                error, broken = as_unavailable(failure), True
            if error is not None:
                raise error from failure
            raise
        finally:
            await self.release(connection, broken=broken)

    def transaction(self, allow_nested: bool = True) -> Transaction:
        """Return a transaction to enter.

        Args:
            allow_nested: Whether it may become a savepoint of the one that is open.
        """
        return Transaction(self, allow_nested)

    async def run_querystring(self, querystring: QueryString, in_pool: bool = True) -> Any:
        """Run one statement of Piccolo's and return its rows."""
        query, arguments = querystring.compile_string(engine_type=self.engine_type)
        async with self.connect() as connection:
            return await connection.fetch(query, *arguments)

    async def run_ddl(self, ddl: str, in_pool: bool = True) -> Any:
        """Run schema statements; several are separated by `;`."""
        async with self.connect() as connection:
            return await connection.execute(ddl)

    async def batch(self, query: Query[Any, Any], batch_size: int = 100, node: str | None = None) -> AsyncBatch:
        """Not offered: Piccolo's batches swallow every error raised in their block."""
        raise NotImplementedError("use a cursor of Database.transaction()'s connection")
