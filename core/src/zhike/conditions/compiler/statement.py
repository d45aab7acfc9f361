"""The statement of a whole condition."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from zhike.conditions.compiler.context import Context, Fragment
from zhike.conditions.compiler.events import event_sql
from zhike.conditions.compiler.fields import field_sql
from zhike.conditions.decode import ROOT
from zhike.conditions.events import event_test
from zhike.conditions.fields import field_test
from zhike.conditions.schema import All, AnyOf, Condition, Event, Field, Not
from zhike.settings import Settings

PLANNING = (
    "SET LOCAL enable_nestloop = off; SET LOCAL jit = off; SET LOCAL work_mem = '64MB';"
    " SET LOCAL plan_cache_mode = force_custom_plan"
)
"""Settings of the transaction that a statement made here runs in.

PostgreSQL cannot estimate how many customers a comparison leaves. Where it expects one row it nests
loops and reads a set of thousands once per customer; hashing costs the same whatever it expects.
"""


def compile_members(
    condition: Condition, *, select: str, now: datetime, settings: Settings, visible: str
) -> tuple[str, list[Any]]:
    """Return the statement over the customers for whom a condition holds.

    Customers merged into another are never among them.

    Args:
        condition: A decoded condition.
        select: SQL of what is selected from `customer`, each member being one row.
        now: The aware instant that counts as now; later events are not seen.
        settings: The deployment's settings.
        visible: SQL predicate over `customer` that the reader's scope gives.

    Returns:
        The SQL and the values of its places.

    Raises:
        BadCondition: If a node's field, operator or value cannot be used; the message has its path.
    """
    context = Context(now, settings)
    fragment = _node(condition, context, ROOT, negated=False)
    source = " ".join(["customer", *dict.fromkeys(fragment.joins)])
    where = f"customer.merged_into IS NULL AND ({visible}) AND {fragment.predicate}"
    return f"SELECT {select} FROM {source} WHERE {where}", context.params.values


def compile_count(condition: Condition, *, now: datetime, settings: Settings, visible: str) -> tuple[str, list[Any]]:
    """Return the statement that counts a condition's members; see `compile_members`."""
    return compile_members(condition, select="count(*)", now=now, settings=settings, visible=visible)


def _node(node: Condition, context: Context, path: str, *, negated: bool) -> Fragment:
    """Return a node's SQL; negation is handed down to the leaves, since SQL's null is not two-valued."""
    match node:
        case Not():
            return _node(node.of, context, f"{path}.of", negated=not negated)
        case Field():
            return field_sql(field_test(node, path, context.zone), context, negated=negated)
        case Event():
            return event_sql(event_test(node, path, context.currency), context, negated=negated)
        case All() | AnyOf():
            parts = [_node(part, context, f"{path}.of[{index}]", negated=negated) for index, part in enumerate(node.of)]
            return _combined(parts, conjunction=isinstance(node, All) is not negated)


def _combined(parts: Sequence[Fragment], *, conjunction: bool) -> Fragment:
    if not parts:
        return Fragment("true" if conjunction else "false")
    word = " AND " if conjunction else " OR "
    return Fragment(
        predicate=f"({word.join(part.predicate for part in parts)})",
        joins=tuple(join for part in parts for join in part.joins),
    )
