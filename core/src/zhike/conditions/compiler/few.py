"""The SQL of a leaf for a few customers: each one's rows are looked up by themselves, through indexes on `customer_id`.

A leaf is a scalar subquery in the predicate and no join, so that PostgreSQL leaves it out for customers about whom
the cheaper parts of the condition have already decided; but for what many leaves of a statement read, which is read
once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from zhike.conditions.checked import EventTest, FieldTest, Leaf, Property, Relation, TrendTest
from zhike.conditions.compiler.context import Context, Fragment
from zhike.conditions.compiler.fields import field_sql
from zhike.conditions.compiler.measures import (
    Value,
    change_sql,
    compared_sql,
    names_sql,
    rows_sql,
    trend_values,
    value_sql,
    window_sql,
    window_start,
)
from zhike.conditions.compiler.relations import few_relation_sql
from zhike.conditions.compiler.scans import NOTHING, Names, Scan

PLANNING = "SET LOCAL jit = off; SET LOCAL plan_cache_mode = force_custom_plan"
"""Settings of the transaction that a statement over few customers runs in."""

_TOTALS = {
    "count": Value("coalesce(sum(stat.count), 0)"),
    "sum": Value("coalesce(sum(stat.sum), 0)"),
    "avg": Value("sum(stat.sum)", "sum(stat.count)"),
    "days_since_first": Value("min(stat.first_at)"),
    "days_since_last": Value("max(stat.last_at)"),
}


def few_sql(leaf: Leaf, context: Context, *, negated: bool, scans: Mapping[Names, Scan] = NOTHING) -> Fragment:
    """Return the SQL of a leaf, or of its negation.

    Args:
        leaf: The leaf.
        context: The statement's.
        negated: Whether it stands under an odd number of `not`.
        scans: The readings that leaves of the statement share.
    """
    match leaf:
        case FieldTest(field=Relation()):
            return few_relation_sql(leaf, context, negated=negated)
        case FieldTest():
            return field_sql(leaf, context, negated=negated)
        case EventTest():
            holds, negated = _measured(leaf, context, scans), leaf.comparison.negated is not negated
        case TrendTest():
            holds = _from_events(leaf, context, scans)
    return Fragment(f"{holds} IS NOT TRUE" if negated else holds)


def _measured(test: EventTest, context: Context, scans: Mapping[Names, Scan]) -> str:
    measure = test.measure
    total = _TOTALS.get(measure.name)
    if total is None or test.within is not None or measure.where is not None or isinstance(measure.of, Property):
        return _from_events(test, context, scans)
    return _from_totals(test, total, context)


def _from_events(leaf: EventTest | TrendTest, context: Context, scans: Mapping[Names, Scan]) -> str:
    """Return the comparison of what the rows of `event` say: read for this leaf alone, or in a scan that it shares."""
    rows = f"{rows_sql(leaf.measure, context)} AND {window_sql(leaf, context)}"
    if (scan := scans.get(leaf.measure.events)) is not None:
        holds = _compared(leaf, context, rows, lambda value: scan.column(value, window_start(leaf, context)))
        return f"({holds})"
    holds = _compared(leaf, context, "", lambda value: value)
    return f"(SELECT {holds} FROM event WHERE event.customer_id = customer.id AND {rows})"


def _compared(leaf: EventTest | TrendTest, context: Context, only: str, column: Callable[[Value], Value]) -> str:
    if isinstance(leaf, TrendTest):
        later, earlier = map(column, trend_values(leaf, context, only))
        return change_sql(leaf.comparison, later, earlier, context)
    value = column(value_sql(leaf.measure, context, only))
    return compared_sql(leaf.measure.name, leaf.comparison, value, context)


def _from_totals(test: EventTest, total: Value, context: Context) -> str:
    """Return the comparison of stored totals, or of the events where the totals do not answer.

    They count behaviours alone, and have the events after now already.
    """
    measure = test.measure
    names = names_sql(measure.events or ("*",), context, "stat.name")
    currency = f" AND stat.currency = {context.params.bind(measure.currency, 'text')}" if measure.currency else ""
    unanswered = f"max(stat.last_at) > {context.params.bind(context.now, 'timestamptz')}"
    if measure.events:
        named = names_sql(measure.events, context, "name")
        unanswered += f" OR EXISTS (SELECT FROM event_type WHERE {named} AND NOT behaviour)"
    holds = compared_sql(measure.name, test.comparison, total, context)
    return (
        f"(SELECT CASE WHEN {unanswered} THEN {_from_events(test, context, NOTHING)} ELSE {holds} END"
        f" FROM customer_event_stat AS stat WHERE stat.customer_id = customer.id AND {names}{currency})"
    )
