"""The SQL of one operator."""

from __future__ import annotations

from zhike.conditions.comparison import Comparison
from zhike.conditions.compiler.context import Params
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


def positive_sql(comparison: Comparison, left: str, params: Params) -> str:
    """Return the comparison without its negation; it is null where `left` is.

    Args:
        comparison: Operator and values.
        left: SQL of the left side; texts with COLLATE "C".
        params: Where the values are bound.
    """
    if comparison.op == "is_set":
        return f"{left} IS NOT NULL"
    type_ = SQL_TYPES[comparison.kind]
    if comparison.op == "in":
        return f"{left} = ANY({params.bind(comparison.values, f'{type_}[]')})"
    places = [params.bind(value, type_) for value in comparison.values]
    return _TEMPLATES[comparison.op].format(left, *places)
