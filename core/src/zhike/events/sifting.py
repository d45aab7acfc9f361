"""Finds the events of a batch that the database refuses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import asyncpg

from zhike.events.schemas import CheckedEvent, Rejection
from zhike.i18n import text
from zhike.orm import Connection

# 22xxx, limits such as the largest jsonb, and what a CHECK refuses; asyncpg itself raises the first for values
# it cannot encode, the last two come from encoding traits.
DATA_ERRORS = (
    asyncpg.DataError,
    asyncpg.ProgramLimitExceededError,
    asyncpg.CheckViolationError,
    UnicodeEncodeError,
    OverflowError,
)


async def sift(
    connection: Connection, events: list[CheckedEvent], store: Callable[[list[int]], Awaitable[object]]
) -> tuple[list[int], dict[int, Rejection]]:
    """Find the events that the database refuses by halving the batch; every trial is rolled back.

    Nothing is kept of a trial because locks would then be taken in two passes. Events are tried for themselves
    first; what is refused only together with others, as a sum that overflows, is found by a second round.

    Args:
        connection: In a transaction.
        events: The batch.
        store: Stores the events at some places, or raises one of `DATA_ERRORS`.

    Returns:
        The places of the events that can be stored together, and a rejection by place for the others.
    """
    rejected: dict[int, Rejection] = {}

    async def refused(places: list[int]) -> Exception | None:
        try:
            async with connection.transaction():
                await store(places)
                raise _TrialError
        except _TrialError:
            return None
        except DATA_ERRORS as error:
            return error

    async def halve(kept: list[int], places: list[int], together: bool) -> None:
        error = await refused(kept + places if together else places)
        if error is None:
            kept += places
        elif len(places) == 1:
            rejected[places[0]] = _rejection(events[places[0]], error)
        else:
            middle = len(places) // 2
            await halve(kept, places[:middle], together)
            await halve(kept, places[middle:], together)

    alone: list[int] = []
    await halve(alone, list(range(len(events))), together=False)
    if not alone or await refused(alone) is None:
        return alone, rejected
    kept: list[int] = []
    await halve(kept, alone, together=True)
    return kept, rejected


class _TrialError(Exception):
    """Raised to roll a trial back."""


def _rejection(event: CheckedEvent, error: Exception) -> Rejection:
    # The server's words may quote the value, so that only its code is shown.
    code = getattr(error, "sqlstate", None) or "22000"
    message = text("the database cannot store a value of this event (PostgreSQL error {code})", code=code)
    return Rejection(index=event.index, code="data", message=message)
