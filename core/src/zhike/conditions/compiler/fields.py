"""The SQL of a field node over a customer, or over an event inside `where`."""

from __future__ import annotations

from zhike.conditions.checked import Attribute, Checked, Column, EventColumn, FieldTest, Leaf, Property, Relation
from zhike.conditions.comparison import Comparison
from zhike.conditions.compiler.comparisons import SQL_TYPES, positive_sql
from zhike.conditions.compiler.context import Context, Fragment
from zhike.conditions.compiler.relations import relation_sql
from zhike.conditions.compiler.tree import tree_sql
from zhike.conditions.values import INSTANT, OFFSET, Kind

_JSON_TYPES: dict[Kind, str] = {
    "text": "string",
    "number": "number",
    "boolean": "boolean",
    "instant": "string",
}
_SOURCES = {Attribute: "customer.attributes", Property: "event.properties"}


def field_sql(test: FieldTest, context: Context, *, negated: bool) -> Fragment:
    """Return the SQL of a field node, or of its negation.

    Args:
        test: The node.
        context: The statement's.
        negated: Whether the node stands under an odd number of `not`.
    """
    if isinstance(test.field, Relation):
        return relation_sql(test, context, negated=negated)
    field, comparison = test.field, test.comparison
    if isinstance(field, Attribute) and (field.many or field.sealed):
        return _attribute_sql(field, comparison, context, negated=negated)
    of_text = comparison.kind == "text"
    left = left_sql(field, comparison.kind, context, presence=of_text or comparison.op == "is_set")
    if of_text:
        left = f'{left} COLLATE "C"'
    positive = positive_sql(comparison, left, context)
    if of_text and comparison.op != "is_set" and isinstance(field, Attribute | Property):
        # JSON of any type has a text: the type is looked at only where that compares as asked.
        place = context.params.bind(field.key, "text")
        positive += f" AND jsonb_typeof({_SOURCES[type(field)]} -> {place}) = 'string'"
    if comparison.negated is not negated:
        # The negation of "missing, hence false" is true: plain NOT would leave it null.
        return Fragment(f"({positive}) IS NOT TRUE")
    return Fragment(f"({positive})")


def _attribute_sql(field: Attribute, comparison: Comparison, context: Context, *, negated: bool) -> Fragment:
    """Return the SQL of a test of an attribute that holds a list, or something encrypted with its hash."""
    place = context.params.bind(field.key, "text")
    if comparison.op == "is_set":
        positive = f"customer.attributes ->> {place} IS NOT NULL"
    elif field.sealed:
        positive = positive_sql(comparison, f"(customer.attributes -> {place} ->> 'hash') COLLATE \"C\"", context)
    else:
        positive = f"customer.attributes -> {place} ?| {context.params.bind(comparison.values, 'text[]')}"
    return Fragment(f"({positive}) IS {'NOT ' if comparison.negated is not negated else ''}TRUE")


def where_sql(where: Checked, context: Context) -> str:
    """Return the predicate over a row of `event` that a `where` is.

    Args:
        where: A condition over the event itself.
        context: The statement's.
    """

    def leaf(test: Leaf, negated: bool) -> Fragment:
        if not isinstance(test, FieldTest):
            raise TypeError(f"{test.path} is not about one event")
        return field_sql(test, context, negated=negated)

    return tree_sql(where, leaf).predicate


def json_value(source: str, key: str, kind: Kind, context: Context, *, presence: bool = False) -> str:
    """Return SQL of a key's value, null unless its JSON type is that of `kind`.

    Args:
        source: SQL of the JSON object.
        key: The key.
        kind: What it is compared as.
        context: The statement's.
        presence: Whether it is null only where the key is missing or its value is.
    """
    place = context.params.bind(key, "text")
    as_json, as_text = f"{source} -> {place}", f"{source} ->> {place}"
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


def left_sql(
    field: Column | Attribute | EventColumn | Property, kind: Kind, context: Context, *, presence: bool
) -> str:
    """Return SQL of a field's value, null where it is missing or of another kind.

    Args:
        field: A field that stands in the row itself.
        kind: What it is compared as.
        context: The statement's.
        presence: Whether JSON of any type but null counts.
    """
    match field:
        case Column():
            return f"customer.{field.name}"
        case Attribute() | Property():
            return json_value(_SOURCES[type(field)], field.key, kind, context, presence=presence)
        case EventColumn(name="amount"):
            currency = context.params.bind(field.currency, "text")
            return f"(CASE WHEN event.currency = {currency} THEN event.amount END)"
        case EventColumn(name="source"):
            return "nullif(event.source, '')"
        case EventColumn():
            return f"event.{field.name}"
