"""The SQL of event and trend nodes: the set of customers whose measure compares as asked, joined to all customers.

The set is computed once, never per customer. Where having no events satisfies the comparison
(`count lt 3`), the set holds those who fail it and the join looks for its absence, so that
customers without events need no rows. PostgreSQL turns these left joins into inner and anti joins
wherever the rest of the condition allows.
"""

from __future__ import annotations

from decimal import Decimal

from zhike.conditions.checked import MISSING, EventTest, Property, TrendTest
from zhike.conditions.compiler.context import Context, Fragment, opaque
from zhike.conditions.compiler.measures import (
    Value,
    change_sql,
    compared_sql,
    rows_sql,
    trend_values,
    usable_sql,
    value_sql,
    window_sql,
)
from zhike.conditions.compiler.totals import totals_answer, totals_sql


def event_sql(test: EventTest, context: Context, *, negated: bool) -> Fragment:
    """Return the SQL of an event node, or of its negation.

    Args:
        test: The node.
        context: The statement's.
        negated: Whether the node stands under an odd number of `not`.
    """
    measure, comparison = test.measure, test.comparison
    if totals_answer(test, context):
        source, value = totals_sql(measure, context)
    else:
        source, value = _from_events(test, context)
    absent = comparison.negated if measure.name in MISSING else comparison.holds(Decimal(0))
    holds = compared_sql(measure.name, comparison, value, context)
    if comparison.negated is not absent:
        holds = f"NOT ({holds})"
    return _joined(source, holds, context, absent=absent is not negated)


def trend_sql(test: TrendTest, context: Context, *, negated: bool) -> Fragment:
    """Return the SQL of a trend node, or of its negation; arguments as of `event_sql`."""
    later, earlier = trend_values(test, context)
    source = f"event WHERE {rows_sql(test.measure, context, windowed=True)} AND {window_sql(test, context)}"
    return _joined(source, change_sql(test.comparison, later, earlier, context), context, absent=negated)


def _from_events(test: EventTest, context: Context) -> tuple[str, Value]:
    measure = test.measure
    rows = f"{rows_sql(measure, context, windowed=test.within is not None)} AND {context.window(test.within)}"
    if measure.name != "distinct" or not isinstance(measure.of, Property):
        return f"event WHERE {rows}", value_sql(measure, context)
    # Hashed: to sort JSON takes longer than all the rest.
    item = f"event.properties -> {context.params.bind(measure.of.key, 'text')}"
    source = f"(SELECT DISTINCT event.customer_id, {item} AS item FROM event WHERE {rows}) AS event"
    return source, Value(f"count(*) FILTER (WHERE {usable_sql(measure, 'item')})")


def _joined(source: str, holds: str, context: Context, *, absent: bool) -> Fragment:
    customers = f"SELECT customer_id FROM {source} GROUP BY customer_id HAVING {opaque(holds)}"
    alias = context.alias(customers)
    join = f"LEFT JOIN ({customers}) AS {alias} ON {alias}.customer_id = customer.id"
    return Fragment(f"{alias}.customer_id IS {'NULL' if absent else 'NOT NULL'}", (join,))
