"""The SQL of a measure over rows of `event`, and of its comparison, exactly.

Nothing is divided or rounded on the way: an average is compared as the sum against the value times the
count, whole days since an instant as instants.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec

from zhike.conditions.checked import EventTest, Measure, MeasureName, Property, TrendTest
from zhike.conditions.comparison import Comparison
from zhike.conditions.compiler.comparisons import positive_sql
from zhike.conditions.compiler.context import Context, opaque
from zhike.conditions.compiler.fields import where_sql

_SINCE = ("days_since_first", "days_since_last")
_AGGREGATES = {
    "count": "count(*)",
    "min": "min({})",
    "max": "max({})",
    "days_since_first": "min(event.occurred_at)",
    "days_since_last": "max(event.occurred_at)",
    "distinct": "count(DISTINCT {})",
}
_EARLIEST = datetime.min.replace(tzinfo=UTC)
_DAY = timedelta(days=1)


class Value(msgspec.Struct, frozen=True):
    """SQL of a measure's value.

    Args:
        dividend: The value itself; for `avg` the sum, for `days_since_*` the instant.
        divisor: By what it has to be divided, or "".
    """

    dividend: str
    divisor: str = ""


def rows_sql(measure: Measure, context: Context, *, windowed: bool = False) -> str:
    """Return the predicate over `event` of the rows that are measured, apart from the window.

    Args:
        measure: The measure.
        context: The statement's.
        windowed: Whether the index on name and instant is to find them, also where all names count.
    """
    parts = [names_sql(measure.events, context, "event.name") if measure.events else "event.behaviour"]
    if windowed and not measure.events:
        # Every name is listed in event_type.
        parts.append("event.name = ANY(ARRAY(SELECT name FROM event_type WHERE behaviour))")
    if measure.currency is not None:
        parts.append(f"event.currency = {context.params.bind(measure.currency, 'text')}")
    if measure.where is not None:
        parts.append(opaque(where_sql(measure.where, context)))
    return " AND ".join(parts)


def names_sql(names: tuple[str, ...], context: Context, column: str) -> str:
    """Return the predicate that a column is one of some names."""
    if len(names) == 1:
        return f"{column} = {context.params.bind(names[0], 'text')}"
    return f"{column} = ANY({context.params.bind(names, 'text[]')})"


def value_sql(measure: Measure, context: Context, only: str = "") -> Value:
    """Return the measure as an aggregate over the rows that `rows_sql` picks.

    Args:
        measure: The measure.
        context: The statement's.
        only: Predicate of the rows that count; all of them when empty.
    """
    of = "event.amount"
    if isinstance(measure.of, Property):
        of = f"(event.properties -> {context.params.bind(measure.of.key, 'text')})"
        only = " AND ".join(filter(None, (only, usable_sql(measure, of))))
        if measure.name != "distinct":
            of = f"{of}::numeric"
    suffix = f" FILTER (WHERE {only})" if only else ""
    if measure.name == "avg":
        return Value(f"sum({of}){suffix}", f"count({of}){suffix}")
    if measure.name == "sum":
        return Value(f"coalesce(sum({of}){suffix}, 0)")
    if measure.name == "active_days":
        zone = context.params.bind(context.zone.key, "text")
        return Value(f"count(DISTINCT (event.occurred_at AT TIME ZONE {zone})::date){suffix}")
    return Value(_AGGREGATES[measure.name].format(of) + suffix)


def trend_values(test: TrendTest, context: Context, only: str = "") -> tuple[Value, Value]:
    """Return the measure in the later window and in the earlier one.

    Args:
        test: The node.
        context: The statement's.
        only: Predicate of the rows that count; all of them when empty.
    """
    place = context.params.bind(test.within.before(context.now, context.zone), "timestamptz")
    later, earlier = (" AND ".join(filter(None, (only, f"event.occurred_at {side} {place}"))) for side in (">", "<="))
    return value_sql(test.measure, context, later), value_sql(test.measure, context, earlier)


def window_start(test: EventTest | TrendTest, context: Context) -> datetime | None:
    """Return the instant after which events are measured, of a trend in either window; None for all time."""
    if test.within is None:
        return None
    start = test.within.before(context.now, context.zone)
    return start if isinstance(test, EventTest) else test.within.before(start, context.zone)


def window_sql(test: EventTest | TrendTest, context: Context) -> str:
    """Return the predicate over `event` that an instant lies in what `window_start` begins and now ends."""
    start, until = window_start(test, context), context.window(None)
    return until if start is None else f"event.occurred_at > {context.params.bind(start, 'timestamptz')} AND {until}"


def usable_sql(measure: Measure, of: str) -> str:
    """Return the predicate that a property's value, given as SQL, is of a JSON type that the measure uses."""
    types = "'string', 'number', 'boolean'" if measure.name == "distinct" else "'number'"
    return f"jsonb_typeof({of}) IN ({types})"


def number_sql(name: MeasureName, value: Value, context: Context) -> str:
    """Return SQL of a measure as the number people read, averages to some places; null where it is missing.

    Args:
        name: The measure.
        value: SQL of its value.
        context: The statement's.
    """
    if name in _SINCE:
        now = context.params.bind(context.now, "timestamptz")
        return f"floor(extract(epoch FROM {now} - {value.dividend}) / 86400)"
    return f"({value.dividend} / {value.divisor})" if value.divisor else value.dividend


def compared_sql(name: MeasureName, comparison: Comparison, value: Value, context: Context) -> str:
    """Return the comparison of a measure without its negation; it is null or false where the measure is missing.

    Args:
        name: The measure.
        comparison: Operator and values.
        value: SQL of its value.
        context: The statement's.
    """
    if name in _SINCE and comparison.op not in ("in", "is_set"):
        return _days_sql(comparison, value.dividend, context)
    if name in _SINCE:
        return positive_sql(comparison, number_sql(name, value, context), context)
    return positive_sql(comparison, value.dividend, context, scale=value.divisor)


def change_sql(comparison: Comparison, later: Value, earlier: Value, context: Context) -> str:
    """Return the comparison of a change; it is null or false where there is none.

    Args:
        comparison: Operator and values.
        later: SQL of the measure in the window that ends now.
        earlier: SQL of the measure in the window before.
        context: The statement's.
    """
    difference, base = f"({later.dividend} - {earlier.dividend})", f"abs({earlier.dividend})"
    if later.divisor:
        difference = f"({later.dividend} * {earlier.divisor} - {earlier.dividend} * {later.divisor})"
        base = f"(abs({earlier.dividend}) * {later.divisor})"
    return f"({earlier.dividend} <> 0 AND {positive_sql(comparison, difference, context, scale=base)})"


def _days_sql(comparison: Comparison, instant: str, context: Context) -> str:
    """Return the comparison of whole days since an instant, which is never after now, as one of instants."""

    def at_least(days: int) -> str:
        passed = min(max(days, 0), (context.now - _EARLIEST) // _DAY)
        return f"{instant} <= {context.params.bind(context.now - passed * _DAY, 'timestamptz')}"

    def more(value: Decimal) -> str:
        return at_least(math.floor(value) + 1)

    low, high = comparison.values[0], comparison.values[-1]
    match comparison.op:
        case "gte":
            return at_least(math.ceil(low))
        case "gt":
            return more(low)
        case "lt":
            return f"NOT ({at_least(math.ceil(low))})"
        case "lte":
            return f"NOT ({more(low)})"
    # `eq` is `between` with one value twice; between 1.2 and 1.8 lies no whole number.
    return f"({at_least(math.ceil(low))} AND NOT ({more(high)}))"
