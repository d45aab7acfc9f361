"""Operators: which there are for what, and one operator with its checked values."""

from __future__ import annotations

import operator
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from zhike.conditions import durations
from zhike.conditions.limits import MAX_LIST
from zhike.conditions.problems import BadCondition
from zhike.conditions.values import Kind
from zhike.i18n import text

EQUALITY = ("eq", "ne", "in", "not_in")
ORDER = ("gt", "gte", "lt", "lte", "between")
SEARCH = ("contains", "not_contains", "starts_with", "ends_with")
TIME = ("before", "after", "within_last", "anniversary")
PRESENCE = ("is_set", "is_not_set")
MEMBERSHIP = ("contains", "not_contains", "in", "not_in")
"""Operators of a field with many values, beside `PRESENCE`: each of its values is one as a whole."""
OPS: dict[Kind, tuple[str, ...]] = {
    "text": EQUALITY + ORDER + SEARCH + PRESENCE,
    "number": EQUALITY + ORDER + PRESENCE,
    "boolean": EQUALITY + PRESENCE,
    "instant": EQUALITY + ORDER + TIME + PRESENCE,
}
ATTRIBUTE_OPS = tuple(dict.fromkeys(OPS["text"] + OPS["instant"]))
"""Operators of what may hold any JSON."""
_NEGATIVES = {"ne": "eq", "not_in": "in", "not_contains": "contains", "is_not_set": "is_set"}
POSITIVE: dict[str, Callable[..., bool]] = {
    "eq": operator.eq,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "before": operator.lt,
    "after": operator.gt,
    "between": lambda value, low, high: low <= value <= high,
    "in": lambda value, *values: value in values,
    "contains": lambda value, part: part in value,
    "starts_with": str.startswith,
    "ends_with": str.endswith,
}
"""What an operator says of a value in memory and the values of a comparison, without its negation."""


class Comparison(msgspec.Struct, frozen=True):
    """An operator and the values to its right.

    Args:
        op: A positive operator, such as `eq`.
        kind: What both sides are.
        values: None for `is_set`, two for `between`, any number for `in`, a `Duration` for `within_last`, one of
            whole days or nothing for `anniversary`, one otherwise.
        negated: Whether the negation of `op` was asked for, as by `ne`.
    """

    op: str
    kind: Kind
    values: tuple[Any, ...]
    negated: bool

    def holds(self, number: Decimal) -> bool:
        """Return whether `number` compares as asked; only for operators of numbers."""
        return POSITIVE[self.op](number, *self.values) is not self.negated


def check_op(op: str, allowed: tuple[str, ...], path: str) -> None:
    """Refuse an operator that is not among those allowed.

    Raises:
        BadCondition: With the operators that are.
    """
    if op not in allowed:
        ops = ", ".join(allowed)
        raise BadCondition(text("{path}.op is {op!r}; expected one of {allowed}", path=path, op=op, allowed=ops))


def comparison(op: str, kind: Kind, value: Any, path: str, read: Callable[[Any, str], Any]) -> Comparison:
    """Return the comparison with `value`.

    Args:
        op: An operator that was checked.
        kind: What both sides are.
        value: The node's `value`.
        path: The node's place.
        read: Checks one literal, given with its place.

    Raises:
        BadCondition: If the value does not fit the operator.
    """
    if op == "within_last":
        read = durations.parse
    elif op == "anniversary":
        read = durations.parse_days
    return Comparison(
        op=_NEGATIVES.get(op, op),
        kind=kind,
        values=tuple(read(each, place) for each, place in operands(op, value, path)),
        negated=op in _NEGATIVES,
    )


def operands(op: str, value: Any, path: str) -> list[tuple[Any, str]]:
    """Return the literals that `op` takes out of `value`, each with its place.

    Raises:
        BadCondition: If there are too many or too few.
    """
    place = f"{path}.value"
    if op in PRESENCE:
        if value is not None:
            raise BadCondition(text("{path} must be left out: {op} takes no value", path=place, op=op))
        return []
    if op == "anniversary" and value is None:
        return []
    if value is None:
        raise BadCondition(text("{path} is missing: {op} takes a value", path=place, op=op))
    if op not in ("in", "not_in", "between"):
        return [(value, place)]
    if not isinstance(value, list | tuple):
        raise BadCondition(text("{path} must be a list: {op} takes several values", path=place, op=op))
    if op == "between" and len(value) != 2:
        raise BadCondition(text("{path} must be a list of two values: the lowest and the highest", path=place))
    if not value:
        raise BadCondition(text("{path} must have 1 to {limit} values", path=place, limit=MAX_LIST))
    return [(each, f"{place}[{index}]") for index, each in enumerate(value)]
