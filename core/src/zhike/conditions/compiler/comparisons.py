"""The SQL of one operator."""

from __future__ import annotations

from zhike.conditions.comparison import Comparison
from zhike.conditions.compiler.context import Context
from zhike.conditions.durations import anniversaries
from zhike.conditions.values import Kind

SQL_TYPES: dict[Kind, str] = {
    "text": "text",
    "number": "numeric",
    "boolean": "boolean",
    "instant": "timestamptz",
}
_TEMPLATES = {
    "eq": "{} = {}",
    "gt": "{} > {}",
    "gte": "{} >= {}",
    "lt": "{} < {}",
    "lte": "{} <= {}",
    "between": "{} BETWEEN {} AND {}",
    "before": "{} < {}",
    "after": "{} > {}",
    # Not LIKE: nothing in a text is a wildcard to these.
    "contains": "strpos({}, {}) > 0",
    "starts_with": "starts_with({}, {})",
    "ends_with": "right({0}, length({1})) = {1}",
}


def positive_sql(comparison: Comparison, left: str, context: Context, *, scale: str = "") -> str:
    """Return the comparison without its negation; it is null where `left` is.

    Args:
        comparison: Operator and values.
        left: SQL of the left side; texts with COLLATE "C".
        context: The statement's.
        scale: SQL of a number that `left` has to be divided by, which the values are multiplied by instead.
    """
    bind = context.params.bind
    match comparison.op:
        case "is_set":
            return f"{left} IS NOT NULL"
        case "within_last":
            start = bind(comparison.values[0].before(context.now, context.zone), "timestamptz")
            return f"({left} > {start} AND {left} <= {bind(context.now, 'timestamptz')})"
        case "anniversary":
            today = context.now.astimezone(context.zone).date()
            near = anniversaries(today, comparison.values[0] if comparison.values else None)
            dates = bind(tuple(f"{date:04}" for date in near), "text[]")
            return f"to_char({left} AT TIME ZONE {bind(context.zone.key, 'text')}, 'MMDD') = ANY({dates})"
        case "in" if not scale:
            return f"{left} = ANY({bind(comparison.values, SQL_TYPES[comparison.kind] + '[]')})"
    places = [bind(value, SQL_TYPES[comparison.kind]) for value in comparison.values]
    if scale:
        places = [f"{place} * {scale}" for place in places]
    if comparison.op == "in":
        return f"{left} IN ({', '.join(places)})"
    return _TEMPLATES[comparison.op].format(left, *places)
