"""A customer as hooks are shown it before it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class CustomerDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A customer that somebody is about to write.

    Args:
        id: Its id, also of one that is to be made.
        new: Whether it is to be made.
        fields: All that has a value, as it is going to be: columns and attributes; encrypted ones are sealed.
        changed: The fields that get another value.
        owner: Id of the user who is to look after it, or None.
        team: Id of the team, or None.
        source: Who says so, as provenance records it.
    """

    id: int
    new: bool
    fields: Mapping[str, Any]
    changed: frozenset[str]
    owner: int | None
    team: int | None
    source: str
