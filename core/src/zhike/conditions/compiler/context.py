"""What the parts of one statement share: its bound values, its aliases, the instant that is now."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from zhike.settings import Settings


class Fragment(msgspec.Struct, frozen=True):
    """The SQL of one node over a row of `customer`.

    Args:
        predicate: Holds, or is null, which counts as false; it never stands under a NOT.
        joins: Left joins that the predicate refers to, each with at most one row per customer.
    """

    predicate: str
    joins: tuple[str, ...] = ()


class Params:
    """The values bound to a statement: SQL text is made of our own constants and of what `bind` returns."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[tuple[str, Any], str] = {}

    def bind(self, value: Any, type_: str) -> str:
        """Return the place, such as `$2::text`, of a value; equal values share one.

        Args:
            value: Anything hashable that asyncpg takes for the type.
            type_: A PostgreSQL type.
        """
        place = self._places.get((type_, value))
        if place is None:
            self.values.append(value)
            place = self._places[type_, value] = f"${len(self.values)}::{type_}"
        return place


class Context:
    """What a node needs besides itself.

    Args:
        now: The aware instant that counts as now.
        settings: The deployment's settings.
    """

    def __init__(self, now: datetime, settings: Settings) -> None:
        self.now = now
        self.currency = settings.currency
        self.zone = settings.zone
        self.params = Params()
        self._sets: dict[str, str] = {}

    def alias(self, customers: str) -> str:
        """Return the alias under which the statement joins a set of customers; equal sets share one.

        Args:
            customers: The set's SQL.
        """
        return self._sets.setdefault(customers, f"matched{len(self._sets) + 1}")
