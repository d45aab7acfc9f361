"""Traits: what events say about a customer, applied to the row in memory; the newest word counts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
from asyncpg import Record

COLUMNS = ("kind", "name", "phone", "email", "company", "stage")
"""Traits that are columns of the customer table; all others are attributes."""

Provenance = dict[str, tuple[str, int]]
"""Field to the source and the instant (epoch milliseconds) of the event that set it."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
# Decimals in both directions: rewriting one attribute must not round the others.
_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode
_decode_provenance = msgspec.json.Decoder(Provenance).decode


class Cause(NamedTuple):
    """Who brought events in; what they bring about carries the same.

    Args:
        origin: As in `Actor.origin`.
        live: False for an import: its events start nothing, however new they are.
        import_id: The import they belong to, or None.
    """

    origin: str
    live: bool
    import_id: int | None = None


class Draft:
    """A customer's row while a batch of events changes it.

    Args:
        customer_id: Its id; negative while the customer is not stored.
        row: The stored row, with jsonb as text, or None for a new customer.

    Attributes:
        cause: Who brought the first change; None while there is none.
        merged_into: The winner, once the customer has been merged in this batch.
    """

    __slots__ = ("_old", "_row", "attributes", "cause", "columns", "id", "merged_into", "provenance")

    def __init__(self, customer_id: int, row: Mapping[str, Any] | Record | None) -> None:
        self.id = customer_id
        self.cause: Cause | None = None
        self.merged_into: int | None = None
        self._row = row
        self._old: dict[str, Any] = {}
        self.columns: dict[str, Any]
        self.attributes: dict[str, Any]
        self.provenance: Provenance
        if row is None:
            self.columns = dict.fromkeys(COLUMNS) | {"kind": "person"}
            self.attributes = {}
            self.provenance = {}

    def __getattr__(self, name: str) -> Any:
        # Most rows are only locked: their JSON is parsed when a trait asks for it.
        if name not in {"columns", "attributes", "provenance"} or self._row is None:
            raise AttributeError(name)
        self.columns = {column: self._row[column] for column in COLUMNS}
        self.attributes = _decode(self._row["attributes"])
        self.provenance = _decode_provenance(self._row["provenance"])
        return getattr(self, name)

    @property
    def new(self) -> bool:
        """Whether the customer is not stored yet."""
        return self._row is None

    def apply(self, traits: Mapping[str, Any], source: str, at: datetime, cause: Cause) -> None:
        """Take over the traits of one event.

        A stored value gives way unless it is newer. Null clears a value, and counts as a word of its instant.

        Args:
            traits: Field to value.
            source: The event's source.
            at: When the event occurred.
            cause: Who brought it.
        """
        instant = (at - _EPOCH) // _MILLISECOND
        for field, value in traits.items():
            stored = self.provenance.get(field)
            if stored is None or stored[1] <= instant:
                self._set(field, value, cause)
                self.provenance[field] = (source, instant)

    def absorb(self, loser: Draft, cause: Cause) -> None:
        """Take over what a customer merged into this one knows and this one does not."""
        for field, value in [*loser.columns.items(), *loser.attributes.items()]:
            if value is None or self.get(field) is not None:
                continue
            cleared, known = self.provenance.get(field), loser.provenance.get(field)
            if cleared is None or (known is not None and cleared[1] <= known[1]):
                self._set(field, value, cause)
                if known is not None:
                    self.provenance[field] = known

    def fill(self, field: str, value: str, cause: Cause) -> None:
        """Set a column from an identity, if neither a trait nor another identity has."""
        if self.columns[field] is None and field not in self.provenance:
            self._set(field, value, cause)

    def merge_into(self, winner: int, cause: Cause) -> None:
        """Note that the customer is now part of `winner`."""
        self.merged_into = winner
        self.cause = self.cause or cause

    def get(self, field: str) -> Any:
        """Return a field's value, or None when it has none."""
        return self.columns[field] if field in COLUMNS else self.attributes.get(field)

    def changes(self) -> dict[str, dict[str, Any]]:
        """Return the fields that end with another value than they began with, with `old` and `new`."""
        # Compared as JSON, where 1, 1.0 and true differ.
        return {
            field: {"old": old, "new": new}
            for field, old in self._old.items()
            if _encode(old) != _encode(new := self.get(field))
        }

    def fields(self) -> dict[str, Any]:
        """Return all fields that have a value."""
        return {field: value for field, value in self.columns.items() if value is not None} | self.attributes

    def row(self) -> tuple[Any, ...]:
        """Return id, `COLUMNS`, attributes and provenance as JSON text, and merged_into."""
        return (
            self.id,
            *(self.columns[column] for column in COLUMNS),
            _encode(self.attributes).decode(),
            _encode(self.provenance).decode(),
            self.merged_into,
        )

    def _set(self, field: str, value: Any, cause: Cause) -> None:
        self.cause = self.cause or cause
        self._old.setdefault(field, self.get(field))
        if field in COLUMNS:
            self.columns[field] = value
        elif value is None:
            self.attributes.pop(field, None)
        else:
            self.attributes[field] = value
