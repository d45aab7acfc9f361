"""A merge of customers as hooks see it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class CustomersMerge(msgspec.Struct, frozen=True, kw_only=True):
    """Customers who are about to become one.

    Args:
        winner_id: The customer that remains.
        loser_ids: Those that become part of it.
        fields: Fields for which it was said whose value is taken, by the id of that customer.
    """

    winner_id: int
    loser_ids: tuple[int, ...]
    fields: Mapping[str, int]
