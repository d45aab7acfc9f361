"""The SQL of a leaf for a few customers: each one's rows are looked up by themselves, through indexes on `customer_id`.

A leaf is a scalar subquery in the predicate and no join, so that PostgreSQL leaves it out for customers about whom
the cheaper parts of the condition have already decided.
"""

from __future__ import annotations

from zhike.conditions.checked import EventTest, FieldTest, Leaf, Measure, Property, Relation, TrendTest
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
)
from zhike.conditions.compiler.relations import few_relation_sql

PLANNING = "SET LOCAL jit = off; SET LOCAL plan_cache_mode = force_custom_plan"
"""Settings of the transaction that a statement over few customers runs in."""

_TOTALS = {
    "count": Value("coalesce(sum(stat.count), 0)"),
    "sum": Value("coalesce(sum(stat.sum), 0)"),
    "avg": Value("sum(stat.sum)", "sum(stat.count)"),
    "days_since_first": Value("min(stat.first_at)"),
    "days_since_last": Value("max(stat.last_at)"),
}


def few_sql(leaf: Leaf, context: Context, *, negated: bool) -> Fragment:
    """Return the SQL of a leaf, or of its negation.

    Args:
        leaf: The leaf.
        context: The statement's.
        negated: Whether it stands under an odd number of `not`.
    """
    match leaf:
        case FieldTest(field=Relation()):
            return few_relation_sql(leaf, context, negated=negated)
        case FieldTest():
            return field_sql(leaf, context, negated=negated)
        case EventTest():
            holds, negated = _measured(leaf, context), leaf.comparison.negated is not negated
        case TrendTest():
            holds = _changed(leaf, context)
    return Fragment(f"{holds} IS NOT TRUE" if negated else holds)


def _measured(test: EventTest, context: Context) -> str:
    measure = test.measure
    holds = compared_sql(measure.name, test.comparison, value_sql(measure, context), context)
    events = _events(holds, measure, context.window(test.within), context)
    if test.within is not None or measure.where is not None or isinstance(measure.of, Property):
        return events
    if (total := _TOTALS.get(measure.name)) is None:
        return events
    return _from_totals(test, total, events, context)


def _changed(test: TrendTest, context: Context) -> str:
    later, earlier, windows = trend_values(test, context)
    return _events(change_sql(test.comparison, later, earlier, context), test.measure, windows, context)


def _events(holds: str, measure: Measure, window: str, context: Context) -> str:
    rows = rows_sql(measure, context)
    return f"(SELECT {holds} FROM event WHERE event.customer_id = customer.id AND {rows} AND {window})"


def _from_totals(test: EventTest, total: Value, events: str, context: Context) -> str:
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
        f"(SELECT CASE WHEN {unanswered} THEN {events} ELSE {holds} END FROM customer_event_stat AS stat"
        f" WHERE stat.customer_id = customer.id AND {names}{currency})"
    )
