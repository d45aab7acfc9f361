"""The nodes of a condition as they come in JSON or MessagePack, told apart by `type`.

A node is frozen data with builtin values: what its field, operator and value mean is checked by
`fields` and `events`, which give the checked form that the compiler takes.
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


class Field(Node, frozen=True, tag="field"):
    """Compares a property of the customer with a value.

    Args:
        field: The field's key, such as `customer.stage` or `customer.attributes.city`.
        op: The operator.
        value: What to compare with; two values for `between`, a list for `in` and `not_in`,
            None for `is_set` and `is_not_set`.
    """

    field: str
    op: str
    value: Any = None


class Event(Node, frozen=True, tag="event"):
    """Measures a customer's events and compares the result with a value.

    Args:
        event: An event name, several of which count together, or `*` for all behaviours.
        measure: `count` or `sum`.
        op: The operator.
        value: What to compare with; two values for `between`, a list for `in` and `not_in`.
        of: What `sum` adds up: `event.amount`, or `amount` for short.
        within: ISO 8601 duration before now that counts; all time when absent.
        currency: ISO 4217 code of the amounts that count; the deployment's when absent.
    """

    event: str | list[str]
    measure: str
    op: str
    value: Any = None
    of: str | None = None
    within: str | None = None
    currency: str | None = None


Condition = All | AnyOf | Not | Field | Event
