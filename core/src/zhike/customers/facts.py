"""What the events about a customer's file say."""

from __future__ import annotations

from functools import partial
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


_type = partial(EventType, kind="platform")
_merge = partial(_type, payload=CustomerMerged, summary=text("with customer {loser_id}"))
_relation = partial(_type, payload=CustomerRelated, summary=text("with customer {other_customer_id}"))
MERGES = [
    _merge(name="customer.merged", label=text("Customers merged")),
    _merge(name="customer.unmerged", label=text("Merge undone")),
    _type(name="customer.history_changed", label=text("Customer history changed"), payload=HistoryChanged),
]
RELATIONS = [
    _relation(name="customer.related", label=text("Relation noted")),
    _relation(name="customer.unrelated", label=text("Relation taken away")),
]
