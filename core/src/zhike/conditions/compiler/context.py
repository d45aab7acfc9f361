"""What the parts of one statement share: its bound values, its aliases, the instant that is now."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from zhike.conditions.checked import Moment
from zhike.conditions.durations import Duration


class Fragment(msgspec.Struct, frozen=True):
    """The SQL of one node over a row.

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
        moment: What counts as now, and the deployment's zone.
    """

    def __init__(self, moment: Moment) -> None:
        self.now = moment.now
        self.zone = ZoneInfo(moment.zone)
        self.params = Params()
        self._sets: dict[str, str] = {}

    def alias(self, customers: str) -> str:
        """Return the alias under which the statement joins a set of customers; equal sets share one.

        Args:
            customers: The set's SQL.
        """
        return self._sets.setdefault(customers, f"matched{len(self._sets) + 1}")

    def window(self, within: Duration | None, column: str = "event.occurred_at") -> str:
        """Return the predicate that an instant is not after now and lies in the window that ends now.

        Args:
            within: The window's length; None for all time.
            column: SQL of the instant.
        """
        until = f"{column} <= {self.params.bind(self.now, 'timestamptz')}"
        if within is None:
            return until
        return f"{column} > {self.params.bind(within.before(self.now, self.zone), 'timestamptz')} AND {until}"


def opaque(predicate: str) -> str:
    """Return the same predicate in a form of which PostgreSQL expects that it holds for every third row.

    It expects next to no row to pass one over JSON or an aggregate, then sorts what it should hash and loops where
    it should join.

    Args:
        predicate: SQL.
    """
    return f"CASE WHEN {predicate} THEN 1 END > 0"
