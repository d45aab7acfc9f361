"""The SQL of measures that the stored totals of each customer's behaviours answer."""

from __future__ import annotations

from zhike import clock
from zhike.conditions.checked import EventTest, Measure
from zhike.conditions.compiler.context import Context
from zhike.conditions.compiler.measures import Value, names_sql, rows_sql
from zhike.conditions.measured import BEHAVIOURS
from zhike.events.checks import AHEAD

# What is stored, and what one event adds to it.
_COUNT = ("count", "1")
_SUM = ("sum", "event.amount")
_ADDED = {"count": [_COUNT], "sum": [_SUM], "avg": [_COUNT, _SUM]}
_VALUES = {
    # Sums of bigint are kept as numeric, which takes twice as long; nobody does two thousand million things.
    "count": Value("sum(count::integer)"),
    "sum": Value("sum(sum)"),
    "avg": Value("CASE WHEN sum(count::integer) > 0 THEN sum(sum) END", "sum(count::integer)"),
    "days_since_first": Value("min(first_at)"),
    "days_since_last": Value("max(last_at)"),
}


def totals_answer(test: EventTest, context: Context) -> bool:
    """Return whether stored totals answer a node.

    Args:
        test: The node.
        context: The statement's.
    """
    measure = test.measure
    if measure.name == "days_since_last" and context.now < clock.now() - AHEAD:
        # Most customers have later events, and one look-up each takes longer than reading the log.
        return False
    stored = measure.name in _VALUES and (measure.of is None or measure.currency is not None)
    return stored and test.within is None and measure.where is None


def totals_sql(measure: Measure, context: Context) -> tuple[str, Value]:
    """Return a table with `customer_id`, and the measure as an aggregate over its rows.

    Args:
        measure: A measure that totals answer.
        context: The statement's.
    """
    now = context.params.bind(context.now, "timestamptz")
    stored = names_sql(measure.events or (BEHAVIOURS,), context, "stat.name")
    if measure.currency is not None:
        stored += f" AND stat.currency = {context.params.bind(measure.currency, 'text')}"
    stored = f"FROM customer_event_stat AS stat WHERE {stored}"
    events = f"FROM event WHERE {rows_sql(measure, context, windowed=True)}"
    if measure.name in _ADDED:
        kept, added, parts = _added(_ADDED[measure.name], f"{events} AND event.occurred_at > {now}", stored)
    else:
        kept, added, parts = _since(measure, f"{events} AND event.occurred_at <= {now}", stored, now)
    if measure.events:
        # What we did ourselves is in no total.
        named = names_sql(measure.events, context, "name")
        ours = f"event.name = ANY(ARRAY(SELECT name FROM event_type WHERE {named} AND NOT behaviour))"
        ours = f"{ours} AND NOT event.behaviour AND event.occurred_at <= {now}"
        parts.append(f"SELECT event.customer_id, {added} {events} AND {ours}")
    return f"({' UNION ALL '.join(parts)}) AS total (customer_id, {kept})", _VALUES[measure.name]


def _added(columns: list[tuple[str, str]], later: str, stored: str) -> tuple[str, str, list[str]]:
    """Return stored totals less the events after now, which they have already."""
    names = ", ".join(name for name, _ in columns)
    less = ", ".join(f"-({added})" for _, added in columns)
    parts = [
        f"SELECT stat.customer_id, {names} {stored}",
        f"SELECT event.customer_id, {less} {later} AND event.behaviour",
    ]
    return names, ", ".join(added for _, added in columns), parts


def _since(measure: Measure, past: str, stored: str, now: str) -> tuple[str, str, list[str]]:
    """Return stored instants up to now; where the last event is later, the last one up to now is looked up."""
    stored += f" AND stat.first_at <= {now}"
    if measure.name == "days_since_first":
        return "first_at", "event.occurred_at", [f"SELECT stat.customer_id, stat.first_at {stored}"]
    before = f"SELECT max(event.occurred_at) {past} AND event.customer_id = stat.customer_id"
    last = f"CASE WHEN stat.last_at <= {now} THEN stat.last_at ELSE ({before}) END"
    return "last_at", "event.occurred_at", [f"SELECT stat.customer_id, {last} {stored}"]
