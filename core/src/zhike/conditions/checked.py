"""The checked form of a condition: every field, operator, measure and value is known to fit.

`check` makes it out of the nodes that were sent; the compiler, the evaluator, explain and the edges read it and
nothing else, so that a question about meaning is answered in one place.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

import msgspec

from zhike.conditions.comparison import Comparison
from zhike.conditions.durations import Duration
from zhike.conditions.values import Kind

MeasureName = Literal[
    "count", "sum", "avg", "min", "max", "days_since_first", "days_since_last", "active_days", "distinct"
]
MISSING: frozenset[MeasureName] = frozenset({"avg", "min", "max", "days_since_first", "days_since_last"})
"""Measures that are missing when nothing is measured; the others are 0 then."""


class Column(msgspec.Struct, frozen=True):
    """A field that is a column of `customer`.

    Args:
        name: The column.
        kind: What it holds.
        history: Table of what it held when, as of a `Relation` with history; "" if none is kept.
    """

    name: str
    kind: Kind
    history: str = ""


class Attribute(msgspec.Struct, frozen=True):
    """A field that is a key of a customer's attributes, which hold any JSON.

    Args:
        key: The key.
        kind: What it holds, as far as that is known; a list of those if `many`.
        many: Whether it holds a list, the field's value being the set of its elements.
        sealed: Whether what it holds is encrypted, so that only hashes can be compared.
    """

    key: str
    kind: Kind | None = None
    many: bool = False
    sealed: bool = False


class Relation(msgspec.Struct, frozen=True):
    """A field whose values stand in a table or view with the columns `customer_id` and `value`.

    Args:
        table: Name of the table or view.
        kind: What `value` holds.
        many: Whether a customer has any number of rows, the field's value being the set of theirs.
        history: Whether there are `valid_from` and `valid_to` too; then only rows valid at an instant count for it.
        ops: The operators it takes, when not all that fit.
        plugin: Whose it is.
    """

    table: str
    kind: Kind
    many: bool = False
    history: bool = False
    ops: tuple[str, ...] = ()
    plugin: str = ""


class EventColumn(msgspec.Struct, frozen=True):
    """A part of the event itself; `amount` is in minor units of `currency`, and missing in other currencies.

    Args:
        name: `name`, `amount`, `currency`, `source`, `occurred_at`.
        kind: What it holds.
        currency: For `amount`, the one that counts.
    """

    name: str
    kind: Kind
    currency: str | None = None


class Property(msgspec.Struct, frozen=True):
    """A key of an event's properties, which hold any JSON.

    Args:
        key: The key.
    """

    key: str


class AllOf(msgspec.Struct, frozen=True):
    """Holds when every part holds."""

    parts: tuple[Checked, ...]
    path: str


class OneOf(msgspec.Struct, frozen=True):
    """Holds when at least one part holds."""

    parts: tuple[Checked, ...]
    path: str


class Negation(msgspec.Struct, frozen=True):
    """Holds when its part does not."""

    part: Checked
    path: str


class FieldTest(msgspec.Struct, frozen=True):
    """Compares a field of the customer, or inside `where` one of the event.

    Args:
        key: The field's key as it was sent.
        field: Where the value comes from.
        comparison: What it is compared with.
        path: The node's place.
        held_for: How long it must have held, for a relation with history.
    """

    key: str
    field: Column | Attribute | Relation | EventColumn | Property
    comparison: Comparison
    path: str
    held_for: Duration | None = None


class Measure(msgspec.Struct, frozen=True):
    """What is measured over which events of a customer.

    Args:
        name: The measure.
        events: Names that count together; empty for all behaviours.
        of: What is added up, averaged, compared or told apart; None for the measures that take nothing.
        currency: The only one that counts when `of` is the amount, else None.
        where: Condition over the event itself, with `EventColumn` and `Property` fields only.
    """

    name: MeasureName
    events: tuple[str, ...]
    of: EventColumn | Property | None = None
    currency: str | None = None
    where: Checked | None = None


class EventTest(msgspec.Struct, frozen=True):
    """Measures a customer's events in the window that ends now and compares the result.

    Args:
        measure: What is measured. Amounts, also in the comparison's values, are in minor units.
        within: Length of the window; None for all time.
        comparison: What the result is compared with.
        path: The node's place.
    """

    measure: Measure
    within: Duration | None
    comparison: Comparison
    path: str


class TrendTest(msgspec.Struct, frozen=True):
    """Compares a measure's change against the window before: `(later - earlier) / abs(earlier)`.

    The later window ends now; the earlier one is the window of the same measure at the instant `within` before
    now. Where the earlier value is 0 or either is missing, it does not hold.

    Args:
        measure: What is measured in both windows.
        within: Length of a window.
        comparison: What the change is compared with.
        path: The node's place.
    """

    measure: Measure
    within: Duration
    comparison: Comparison
    path: str


Checked = AllOf | OneOf | Negation | FieldTest | EventTest | TrendTest
Leaf = FieldTest | EventTest | TrendTest


def leaves(node: Checked) -> Iterator[Leaf]:
    """Yield the leaves of a tree in their order; what stands in a `where` is part of its leaf."""
    match node:
        case AllOf() | OneOf():
            for part in node.parts:
                yield from leaves(part)
        case Negation():
            yield from leaves(node.part)
        case _:
            yield node


class Moment(msgspec.Struct, frozen=True):
    """What an evaluation needs besides the condition.

    Args:
        now: The aware instant that counts as now; later events are not seen.
        zone: Key of the deployment's time zone.
    """

    now: datetime
    zone: str
