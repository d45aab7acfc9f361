"""The SQL of an event node: the set of customers whose measure compares as asked, joined to all customers.

The set is computed once, never per customer. Where having no events satisfies the comparison
(`count lt 3`), the set holds those who fail it and the join looks for its absence, so that
customers without events need no rows. PostgreSQL turns these left joins into inner and anti joins
wherever the rest of the condition allows.
"""

from __future__ import annotations

from decimal import Decimal

from zhike.conditions.compiler.comparisons import positive_sql
from zhike.conditions.compiler.context import Context, Fragment
from zhike.conditions.events import BEHAVIOURS, EventTest
from zhike.events.schemas import PLATFORM_EVENTS


def event_sql(test: EventTest, context: Context, *, negated: bool) -> Fragment:
    """Return the SQL of an event node, or of its negation.

    Args:
        test: The node.
        context: The statement's.
        negated: Whether the node stands under an odd number of `not`.
    """
    absent = test.comparison.holds(Decimal(0))
    stored = test.within is None and PLATFORM_EVENTS.isdisjoint(test.names)
    rows, measured = _from_totals(test, context) if stored else _from_events(test, context)
    holds = positive_sql(test.comparison, measured, context.params)
    if test.comparison.negated is not absent:
        holds = f"NOT ({holds})"
    customers = f"SELECT customer_id FROM {rows} GROUP BY customer_id HAVING {holds}"
    alias = context.alias(customers)
    join = f"LEFT JOIN ({customers}) AS {alias} ON {alias}.customer_id = customer.id"
    is_absent = absent is not negated
    return Fragment(f"{alias}.customer_id IS {'NULL' if is_absent else 'NOT NULL'}", (join,))


def _from_events(test: EventTest, context: Context) -> tuple[str, str]:
    rows = f"event WHERE {_events(test, context)}"
    if test.within is not None:
        start = test.within.before(context.now, context.zone)
        rows += f" AND occurred_at > {context.params.bind(start, 'timestamptz')}"
    rows += f" AND occurred_at <= {context.params.bind(context.now, 'timestamptz')}"
    return rows, "count(*)" if test.currency is None else "sum(amount)"


def _from_totals(test: EventTest, context: Context) -> tuple[str, str]:
    """Return the stored totals of behaviours less the events after now, which the totals have already."""
    totals = _named(test.names or (BEHAVIOURS,), context)
    total, later = "count", "count(*)"
    if test.currency is not None:
        totals += f" AND currency = {context.params.bind(test.currency, 'text')}"
        total, later = "sum", "sum(amount)"
    now = context.params.bind(context.now, "timestamptz")
    # One row of `later` per customer stands beside each of the customer's totals: hence max, not sum.
    rows = (
        f"customer_event_stat LEFT JOIN (SELECT customer_id, {later} AS part FROM event"
        f" WHERE {_events(test, context)} AND occurred_at > {now} GROUP BY customer_id) AS later"
        f" USING (customer_id) WHERE {totals}"
    )
    return rows, f"(sum({total}) - coalesce(max(later.part), 0))"


def _events(test: EventTest, context: Context) -> str:
    if test.names:
        names = _named(test.names, context)
    else:
        # Every name is listed in event_type: with it the index on (name, occurred_at) serves all names.
        names = "behaviour AND name = ANY(ARRAY(SELECT name FROM event_type))"
    if test.currency is not None:
        names += f" AND currency = {context.params.bind(test.currency, 'text')}"
    return names


def _named(names: tuple[str, ...], context: Context) -> str:
    if len(names) == 1:
        return f"name = {context.params.bind(names[0], 'text')}"
    return f"name = ANY({context.params.bind(names, 'text[]')})"
