"""Relations of customers as they are noted and shown."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import msgspec
from msgspec import Meta

from zhike.api import MAX_ID


class NewRelation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A relation that is to be noted.

    Args:
        kind: What the customer is to the other one: `employee`, `contact`, `decision_maker`, `parent_company`, or any
            word of lower-case letters, digits and `_`.
        other_customer_id: The other one.
        reverse: Whether it is the other one who is that to the customer.
        title: Such as a job's.
        since: The first day.
        until: The last day.
    """

    kind: Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9_]{0,49}\Z")]
    other_customer_id: Annotated[int, Meta(ge=1, le=MAX_ID)]
    reverse: bool = False
    title: Annotated[str, Meta(max_length=200)] = ""
    since: date | None = None
    until: date | None = None


class Other(msgspec.Struct, frozen=True):
    """The other customer of a relation.

    Args:
        id: Its id.
        kind: `person` or `company`.
        name: What it is called.
    """

    id: int
    kind: str
    name: str | None


class Relation(msgspec.Struct, frozen=True):
    """What a customer is to another one.

    Args:
        id: The relation's id.
        kind: What one is to the other.
        reverse: Whether it is the other one who is that.
        title: Such as a job's.
        since: The first day.
        until: The last day.
        other: The other one; null for whoever does not see it.
    """

    id: int
    kind: str
    reverse: bool
    title: str
    since: date | None
    until: date | None
    other: Other | None


class Relations(msgspec.Struct, frozen=True):
    """The relations of a customer.

    Args:
        items: The first 1,000.
    """

    items: list[Relation]
