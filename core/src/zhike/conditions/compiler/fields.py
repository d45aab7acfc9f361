"""The SQL of a field node."""

from __future__ import annotations

from zhike.conditions.compiler.comparisons import SQL_TYPES, positive_sql
from zhike.conditions.compiler.context import Context, Fragment
from zhike.conditions.fields import Attribute, FieldTest
from zhike.conditions.values import INSTANT, OFFSET, Kind

_JSON_TYPES: dict[Kind, str] = {
    "text": "string",
    "number": "number",
    "boolean": "boolean",
    "instant": "string",
}


def field_sql(test: FieldTest, context: Context, *, negated: bool) -> Fragment:
    """Return the SQL of a field node, or of its negation.

    Args:
        test: The node.
        context: The statement's.
        negated: Whether the node stands under an odd number of `not`.
    """
    comparison = test.comparison
    if isinstance(test.field, Attribute):
        left = _attribute(test.field.key, comparison.kind, context, presence=comparison.op == "is_set")
    else:
        left = f"customer.{test.field.name}"
    if comparison.kind == "text":
        left = f'{left} COLLATE "C"'
    positive = positive_sql(comparison, left, context.params)
    if comparison.negated is not negated:
        # The negation of "missing, hence false" is true: plain NOT would leave it null.
        return Fragment(f"({positive}) IS NOT TRUE")
    return Fragment(f"({positive})")


def _attribute(key: str, kind: Kind, context: Context, *, presence: bool) -> str:
    """Return SQL of an attribute's value, null unless its JSON type is that of `kind`."""
    place = context.params.bind(key, "text")
    as_json, as_text = f"customer.attributes -> {place}", f"customer.attributes ->> {place}"
    if presence:
        return f"({as_text})"
    condition, value = f"jsonb_typeof({as_json}) = '{_JSON_TYPES[kind]}'", f"({as_json})::{SQL_TYPES[kind]}"
    if kind == "text":
        value = as_text
    elif kind == "instant":
        zone = context.params.bind(context.zone.key, "text")
        condition = f"{condition} AND {as_text} ~ '^{INSTANT}$'"
        value = (
            f"CASE WHEN {as_text} ~ '{OFFSET}$' THEN ({as_text})::timestamptz"
            f" ELSE ({as_text})::timestamp AT TIME ZONE {zone} END"
        )
    return f"(CASE WHEN {condition} THEN {value} END)"
