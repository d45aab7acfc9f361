"""What the events about a customer's file say."""

from __future__ import annotations

from typing import Literal

import msgspec

from zhike.contracts import EventType
from zhike.i18n import text


class CustomerMerged(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The properties of `customer.merged` and `customer.unmerged`.

    Args:
        loser_id: Who became part of the customer, or is a customer of its own again.
        reason: `anonymous`, a visitor who turned out to be somebody, or `chosen` by somebody.
        merge_id: The merge, as `POST /customers/unmerge` takes it; of those that were not chosen only when undone.
    """

    loser_id: int
    reason: Literal["anonymous", "chosen"]
    merge_id: int | None = None


class HistoryChanged(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The properties of `customer.history_changed`: what was derived from the customer's events is to be made anew.

    Args:
        reason: What has changed it.
        loser_id: Who was merged or parted.
    """

    reason: Literal["merge", "unmerge", "undo", "retention"]
    loser_id: int | None = None


class CustomerRelated(msgspec.Struct, frozen=True, kw_only=True):
    """The properties of `customer.related` and `customer.unrelated`; both customers get the event.

    Args:
        relation_id: The relation.
        kind: What one is to the other, such as `employee`.
        other_customer_id: The other one.
        reverse: Whether it is the other one who is that.
    """

    relation_id: int
    kind: str
    other_customer_id: int
    reverse: bool


MERGES = [
    EventType(name="customer.merged", kind="platform", label=text("Customers merged"), payload=CustomerMerged),
    EventType(name="customer.unmerged", kind="platform", label=text("Merge undone"), payload=CustomerMerged),
    EventType(
        name="customer.history_changed",
        kind="platform",
        label=text("Customer history changed"),
        payload=HistoryChanged,
    ),
]
RELATIONS = [
    EventType(name="customer.related", kind="platform", label=text("Relation noted"), payload=CustomerRelated),
    EventType(name="customer.unrelated", kind="platform", label=text("Relation taken away"), payload=CustomerRelated),
]
