"""The nodes of a condition as they come in JSON or MessagePack, told apart by `type`.

A node is frozen data with builtin values: what its field, operator and value mean is checked by
`check`, which gives the checked form that everything else takes.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Node(msgspec.Struct, frozen=True, tag_field="type", forbid_unknown_fields=True):
    """What all nodes share: the tag `type`, and that a misspelt key is an error."""


class All(Node, frozen=True, tag="all"):
    """Holds when every part holds; without parts it holds for everybody.

    Args:
        of: The parts.
    """

    of: list[Condition]


class AnyOf(Node, frozen=True, tag="any"):
    """Holds when at least one part holds; without parts it holds for nobody.

    Args:
        of: The parts.
    """

    of: list[Condition]


class Not(Node, frozen=True, tag="not"):
    """Holds when its part does not.

    Args:
        of: The part.
    """

    of: Condition


class Field(Node, frozen=True, tag="field", rename={"for_": "for"}):
    """Compares a property of the customer, or inside `where` one of the event, with a value.

    Args:
        field: The field's key, such as `customer.stage` or `event.properties.sku`.
        op: The operator.
        value: What to compare with; two values for `between`, a list for `in` and `not_in`, an ISO 8601
            duration for `within_last` and perhaps for `anniversary`, None for `is_set` and `is_not_set`.
        for_: ISO 8601 duration for which it must have held, for fields that keep their history; `for` in JSON.
    """

    field: str
    op: str
    value: Any = None
    for_: str | None = None


class Event(Node, frozen=True, tag="event"):
    """Measures a customer's events and compares the result with a value.

    Args:
        event: An event name, several of which count together, or `*` for all behaviours.
        measure: What is measured, such as `count` or `sum`.
        op: The operator.
        value: What to compare with; two values for `between`, a list for `in` and `not_in`,
            None for `is_set` and `is_not_set`.
        of: What is added up, averaged, compared or told apart: `event.amount`, or `amount` for short, or
            `event.properties.x`; the other measures take none.
        within: ISO 8601 duration before now that counts; all time when absent.
        currency: ISO 4217 code of the amounts that count; the deployment's when absent.
        where: Condition over the event itself that must hold for it to count.
    """

    event: str | list[str]
    measure: str
    op: str
    value: Any = None
    of: str | None = None
    within: str | None = None
    currency: str | None = None
    where: Condition | None = None


class Trend(Node, frozen=True, tag="trend"):
    """Compares the change of a measure, against the window of the same length before, with a value.

    Args:
        event: As of `Event`, and so are `measure`, `of`, `currency` and `where`.
        measure: A measure that is a figure, no time.
        op: `gt`, `gte`, `lt`, `lte` or `between`.
        value: The change as a share of the earlier value: -0.5 is half as much as before.
        within: ISO 8601 duration of each window.
        of: See `Event`.
        currency: See `Event`.
        where: See `Event`.
    """

    event: str | list[str]
    measure: str
    op: str
    value: Any
    within: str
    of: str | None = None
    currency: str | None = None
    where: Condition | None = None


Condition = All | AnyOf | Not | Field | Event | Trend
