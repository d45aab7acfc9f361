"""Tells what was in the way when events were offered: the database, slowness, or a fault that will be there again."""

from __future__ import annotations

import asyncpg

from zhike.errors import Unavailable
from zhike.hooks import HookTimeout

ENDED = "the process ended while this event was handled"
"""Stands for an error when there was nobody left to say what happened."""

# A handler's own statement took too long; it has no part in any other reason why the database is unavailable.
_TOO_LONG = (
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)


class MergedError(Exception):
    """A customer was merged into another one, or erased, after an event of theirs was read."""


def is_slow(error: Exception) -> bool:
    """Tell whether the handler took too long, which may be different the next time."""
    cause = error.__cause__ if isinstance(error, Unavailable) else error
    return isinstance(cause, _TOO_LONG) or isinstance(error, HookTimeout | TimeoutError)


def is_outage(error: Exception) -> bool:
    """Tell whether the database is to blame, or others who use it."""
    return not is_slow(error) and (isinstance(error, Unavailable) or _rolled_back(error))


def _rolled_back(error: BaseException | None) -> bool:
    """Tell whether the server ended the transaction for another's sake, whatever a handler made of the error."""
    while error is not None and not isinstance(error, asyncpg.TransactionRollbackError):
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return error is not None
