"""Conditions for whoever has one: checked once, then counted, evaluated, watched over and explained.

What a plugin with rules of its own needs (segments, tags, journeys, alerts) is here:

- `check` turns a condition into its checked form, when the rule is saved and again when it is run;
- `members` finds everybody for whom it holds, or those among a few customers who have changed; `members_of_each` does
  the latter for many conditions at once;
- `dependencies` names the events after which it has to be evaluated again for their customers, and `edges` finds the
  customers for whom it may hold no longer, or now, only because time has passed;
- `check_where` and `matches` are for a condition about one event, such as a trigger's, and need no database;
- `count` and `explain` answer an actor.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from zhike import clock
from zhike.access.actor import Actor
from zhike.access.roles import CONDITIONS_COUNT
from zhike.access.scope import visible_customers
from zhike.api import check_instant
from zhike.conditions import check as checking
from zhike.conditions import dependencies as depending
from zhike.conditions import evaluator
from zhike.conditions import explain as explaining
from zhike.conditions.checked import AllOf, Checked, Moment
from zhike.conditions.compiler import few
from zhike.conditions.compiler.edges import compile_edges
from zhike.conditions.compiler.statement import compile_each, compile_members, planning
from zhike.conditions.decode import decode
from zhike.conditions.dependencies import Dependencies
from zhike.conditions.durations import at_wall
from zhike.conditions.explain import Explained
from zhike.conditions.planned import planned
from zhike.conditions.relations import relations_read
from zhike.conditions.schema import Condition, Node
from zhike.conditions.turns import turn
from zhike.contracts import RecordedEvent
from zhike.orm import Connection
from zhike.platform import Platform
from zhike.settings import Settings


def check(platform: Platform, condition: Condition | object, *, actor: Actor | None = None) -> Checked:
    """Return the checked form of a condition about customers, which all else here takes.

    Args:
        platform: The process's platform; its fields are those that may be asked about.
        condition: A decoded condition, or JSON text as bytes, or the builtin objects that it stands for.
        actor: Who writes the condition or asks; it may use the fields that they see unmasked. None for a rule
            that was checked against its author when it was saved.

    Raises:
        BadCondition: If it cannot be used; the message has the path of the bad node.
    """
    return checking.check(_decoded(condition), fields=platform.fields, settings=platform.settings, actor=actor)


def check_where(platform: Platform, condition: Condition | object) -> Checked:
    """Return the checked form of a condition about one event; as `check` for the rest."""
    return checking.check_where(_decoded(condition), settings=platform.settings)


def moment(settings: Settings, at: datetime | None = None) -> Moment:
    """Return what an evaluation takes as now.

    Args:
        settings: The deployment's settings.
        at: The instant, in the deployment's zone when naive; None for the present one.

    Raises:
        BadRequest: With code `at`, if `at` is outside the years 1970 to 2999.
    """
    if at is None:
        return Moment(clock.now(), settings.timezone)
    check_instant("at", at)
    return Moment(at.astimezone(UTC) if at.tzinfo else at_wall(at, settings.zone), settings.timezone)


async def members(
    connection: Connection, checked: Checked, moment: Moment, *, among: Collection[int] | None = None
) -> set[int]:
    """Return the ids of the customers for whom a condition holds; nobody's scope limits them.

    Args:
        connection: Inside a transaction or not; nothing of it is changed.
        checked: The condition.
        moment: What counts as now.
        among: Only these customers are looked at, each by itself; everybody, in one go, when None.
    """
    sql, values = compile_members(
        checked,
        select="customer.id",
        moment=moment,
        visible="true",
        among=None if among is None else list(among),
    )
    async with (
        planned(connection, planning(checked) if among is None else few.PLANNING),
        relations_read(connection, checked),
    ):
        return {row[0] for row in await connection.fetch(sql, *values)}


async def members_of_each(
    connection: Connection, asked: Sequence[tuple[Checked, Collection[int]]], moment: Moment
) -> list[set[int]]:
    """Return of several conditions for whom each holds, by one statement; what many rules ask after few events.

    Args:
        connection: Inside a transaction or not; nothing of it is changed.
        asked: The conditions, each with the customers among whom it is asked.
        moment: What counts as now.

    Returns:
        The ids, in the order of the conditions.

    Raises:
        BadCondition: If the relation of a plugin that one asks about cannot be read.
    """
    found: list[set[int]] = [set() for _ in asked]
    if asked:
        sql, values = compile_each([(checked, sorted(among)) for checked, among in asked], moment)
        everything = AllOf(tuple(checked for checked, _ in asked), "")
        async with planned(connection, few.PLANNING), relations_read(connection, everything):
            for customer_id, held in await connection.fetch(sql, *values):
                for number, holds in enumerate(held):
                    if holds:
                        found[number].add(customer_id)
    return found


async def members_after(
    connection: Connection, checked: Checked, moment: Moment, *, visible: str, after: int, limit: int
) -> list[int]:
    """Return the ids of the next customers for whom a condition holds, in the order of ids.

    Args:
        connection: Inside a transaction or not; nothing of it is changed.
        checked: The condition.
        moment: What counts as now.
        visible: SQL predicate over `customer`.
        after: The last id of those before.
        limit: At most so many.
    """
    sql, values = compile_members(checked, select="customer.id", moment=moment, visible=visible)
    sql += f" AND customer.id > ${len(values) + 1} ORDER BY customer.id LIMIT ${len(values) + 2}"
    async with planned(connection, planning(checked)), relations_read(connection, checked):
        return [row[0] for row in await connection.fetch(sql, *values, after, limit)]


async def edges(connection: Connection, checked: Checked, since: datetime, until: datetime, zone: ZoneInfo) -> set[int]:
    """Return the ids of customers for whom time alone may have changed whether a condition holds.

    There may be some among them for whom nothing has changed.

    Args:
        connection: Inside a transaction or not; nothing of it is changed.
        checked: The condition.
        since: The instant it was last evaluated at, or `edges` last asked until; the latest one since then, if the
            clock has been set back and `until` lies before.
        until: The instant that counts as now.
        zone: The deployment's.
    """
    sql, values = compile_edges(checked, since, until, zone)
    async with planned(connection, few.PLANNING), relations_read(connection, checked):
        return {row[0] for row in await connection.fetch(sql, *values)}


def dependencies(platform: Platform, checked: Checked) -> Dependencies:
    """Return after which events a condition may hold for other customers, and whether time alone changes it."""
    return depending.dependencies(checked, platform.fields)


def matches(where: Checked, event: RecordedEvent, moment: Moment) -> bool:
    """Return whether a condition that `check_where` has checked holds for an event.

    Args:
        where: The condition.
        event: The event.
        moment: What counts as now.
    """
    return evaluator.holds(where, event, moment)


async def count(platform: Platform, actor: Actor, condition: Condition | object, *, at: datetime | None = None) -> int:
    """Return how many of the customers that `actor` sees a condition holds for.

    Args:
        platform: The process's platform.
        actor: Who asks.
        condition: See `check`.
        at: See `moment`.

    Raises:
        BadCondition: If the condition cannot be used, or takes longer than a statement may.
        BadRequest: With code `at`, if `at` is outside the years 1970 to 2999.
        TooMany: If too many such questions are being answered already.
    """
    checked = check(platform, condition, actor=actor)
    sql, values = compile_members(
        checked,
        select="count(*)",
        moment=moment(platform.settings, at),
        visible=visible_customers(actor, permission=CONDITIONS_COUNT),
    )
    async with turn(platform.db, checked) as connection:
        await connection.execute(planning(checked))
        number: int = await connection.fetchval(sql, *values)
    return number


async def explain(
    platform: Platform, actor: Actor, condition: Condition | object, customer_id: int, *, at: datetime | None = None
) -> Explained:
    """Return of every node of a condition whether it holds for a customer, and on which value.

    Args:
        platform: The process's platform.
        actor: Who asks.
        condition: See `check`.
        customer_id: Whom it is about; for one merged away it is the winner.
        at: See `moment`.

    Raises:
        NotFound: If there is no such customer, or `actor` does not see them.
        BadCondition: As `count`.
        BadRequest: As `count`.
        TooMany: As `count`.
    """
    decoded = _decoded(condition)
    checked = check(platform, decoded, actor=actor)
    now = moment(platform.settings, at)
    return await explaining.explain(platform.db, actor, decoded, checked, customer_id, now)


def _decoded(condition: Condition | object) -> Condition:
    return condition if isinstance(condition, Node) else decode(condition)  # type: ignore[return-value]
