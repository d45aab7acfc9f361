"""Answers questions about conditions from the database."""

from __future__ import annotations

from datetime import UTC, datetime

import asyncpg

from zhike import clock
from zhike.access.actor import Actor
from zhike.access.scope import visible_customers
from zhike.api import check_instant
from zhike.conditions.compiler.statement import PLANNING, compile_count
from zhike.conditions.durations import at_wall
from zhike.conditions.problems import BadCondition
from zhike.conditions.schema import Condition
from zhike.i18n import text
from zhike.orm import Database
from zhike.settings import Settings


async def count(db: Database, actor: Actor, condition: Condition, *, at: datetime | None, settings: Settings) -> int:
    """Return how many of the customers that `actor` sees a condition holds for.

    Args:
        db: The process's database.
        actor: Who asks.
        condition: A decoded condition.
        at: The instant that counts as now, in the deployment's zone when naive; None for the present one.
        settings: The deployment's settings.

    Raises:
        BadCondition: If the condition cannot be used, or takes longer than a statement may.
        BadRequest: With code `at`, if `at` is outside the years 1970 to 2999.
    """
    sql, values = compile_count(
        condition, now=_instant(at, settings), settings=settings, visible=visible_customers(actor)
    )
    async with db.transaction() as connection:
        await connection.execute(PLANNING)
        try:
            number: int = await connection.fetchval(sql, *values)
        except asyncpg.QueryCanceledError:
            raise BadCondition(
                text("the condition takes too long to count; use fewer event nodes or a shorter time window"),
                code="condition_cost",
            ) from None
    return number


def _instant(at: datetime | None, settings: Settings) -> datetime:
    if at is None:
        return clock.now()
    check_instant("at", at)
    return at.astimezone(UTC) if at.tzinfo else at_wall(at, settings.zone)
