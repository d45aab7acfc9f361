"""Core's fields of a customer, and a field node in its checked form."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from zhike.conditions import comparison, values
from zhike.conditions.comparison import OPS, ORDER, PRESENCE, SEARCH, TIME, Comparison
from zhike.conditions.problems import BadCondition
from zhike.conditions.schema import Field
from zhike.conditions.values import Kind
from zhike.i18n import text

_ATTRIBUTE = "customer.attributes."
_ALL_OPS = tuple(dict.fromkeys(OPS["text"] + OPS["instant"]))


class Column(msgspec.Struct, frozen=True):
    """A field that is a column of `customer`.

    Args:
        name: The column.
        kind: What it holds.
    """

    name: str
    kind: Kind


class Attribute(msgspec.Struct, frozen=True):
    """A field that is a key of a customer's attributes, which hold any JSON.

    Args:
        key: The key.
    """

    key: str


class FieldTest(msgspec.Struct, frozen=True):
    """A field node whose field is known and whose value fits it.

    Args:
        field: Where the value comes from.
        comparison: What it is compared with.
    """

    field: Column | Attribute
    comparison: Comparison


_NAMES: dict[Kind, tuple[str, ...]] = {
    "text": ("kind", "name", "phone", "email", "company", "stage"),
    "number": ("id", "owner", "team"),
    "instant": ("created_at", "updated_at"),
}
_COLUMNS = {f"customer.{name}": Column(name, kind) for kind, names in _NAMES.items() for name in names}


def field_test(node: Field, path: str, zone: ZoneInfo) -> FieldTest:
    """Return the checked form of a field node.

    Args:
        node: The node.
        path: Its place.
        zone: Where dates without offset are meant.

    Raises:
        BadCondition: If the field is unknown, or operator or value do not fit it.
    """
    field = _find(node.field, path)
    kind = field.kind if isinstance(field, Column) else _attribute_kind(node, path)
    comparison.check_op(node.op, OPS[kind], path)

    def read(value: Any, place: str) -> Any:
        return values.literal(value, kind, place, zone)

    return FieldTest(field, comparison.comparison(node.op, kind, node.value, path, read))


def _find(key: str, path: str) -> Column | Attribute:
    if key.startswith(_ATTRIBUTE) and key != _ATTRIBUTE:
        return Attribute(key.removeprefix(_ATTRIBUTE))
    if column := _COLUMNS.get(key):
        return column
    known = ", ".join([*_COLUMNS, _ATTRIBUTE + "…"])
    raise BadCondition(
        text(
            "{path}.field is {key!r}, an unknown field; expected one of {known}",
            path=path,
            key=key,
            known=known,
        )
    )


def _attribute_kind(node: Field, path: str) -> Kind:
    """Return what an attribute is compared as: the operator decides, else the type of the value."""
    comparison.check_op(node.op, _ALL_OPS, path)
    if node.op in SEARCH or node.op in PRESENCE:
        return "text"
    if node.op in TIME:
        return "instant"
    kinds = {values.kind_of(value, place) for value, place in comparison.operands(node.op, node.value, path)}
    if len(kinds) > 1:
        raise BadCondition(text("{path}.value mixes types; expected values of one type", path=path))
    kind = kinds.pop()
    if kind == "boolean" and node.op in ORDER:
        raise BadCondition(text("{path}.value must be a text or a number for {op}", path=path, op=node.op))
    return kind
