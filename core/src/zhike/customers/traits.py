"""Traits: what events say about a customer, applied to the row in memory; the newest word counts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
from asyncpg import Record

COLUMNS = ("kind", "name", "phone", "email", "company", "stage")
"""Traits that are columns of the customer table; all others are attributes."""
OWN = ("owner", "team")
"""Columns that say who looks after a customer; no traits."""

Provenance = dict[str, tuple[str, int]]
"""Field to the source and the instant (epoch milliseconds) of the event that set it."""
Ranked = Mapping[str, Mapping[str, int]]
"""Field to its sources with their ranks, 0 for the most trusted; sources that are not listed come after them."""
UNRANKED: Ranked = {}
_UNMOVED: Mapping[str, dict[str, int | None]] = {}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
# Decimals in both directions: rewriting one attribute must not round the others.
_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode
_decode_provenance = msgspec.json.Decoder(Provenance).decode


class Word(NamedTuple):
    """A field's value, or None, and its provenance, or None."""

    value: Any
    source: tuple[str, int] | None


class Taking(NamedTuple):
    """What a customer's field was before a merge, and what the merge has made of it."""

    before: Word
    taken: Word


Taken = dict[str, Taking]
"""What a merge has taken from the loser, by field as the API names it."""
_decode_taken = msgspec.json.Decoder(Taken, float_hook=Decimal).decode


def encode_taken(taken: Taken) -> str:
    """Return what was taken as JSON text."""
    return _encode(taken).decode()


def decode_taken(taken: str) -> Taken:
    """Return what `encode_taken` was given."""
    return _decode_taken(taken)


def public_name(field: str) -> str:
    """Return a field's name as the API has it."""
    return field if field in COLUMNS else f"attributes.{field}"


def plain_name(field: str) -> str:
    """Return the name that `public_name` was given."""
    return field.removeprefix("attributes.")


def same(one: Word, other: Word) -> bool:
    """Say whether two words are one and the same."""
    if one.value is None or other.value is None:
        return one == other
    # Compared as JSON, where 1, 1.0 and true differ.
    return _encode(one) == _encode(other)


class Own(NamedTuple):
    """What an import says of a customer besides fields.

    Args:
        owner: Id of the user, or None.
        team: Id of the team, or None.
        since: Since when a customer that the import has created is known, or None.
    """

    owner: int | None = None
    team: int | None = None
    since: datetime | None = None

    def after(self, earlier: Own) -> Own:
        """Return what holds after `earlier`: where this says nothing, that does."""
        return earlier._replace(**{name: new for name, new in self._asdict().items() if new is not None})


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
        moved: Whichever of `owner` and `team` somebody has changed, with `old` and `new`; it is written by who did.
    """

    __slots__ = ("_old", "_row", "attributes", "cause", "columns", "id", "merged_into", "moved", "provenance")

    def __init__(self, customer_id: int, row: Mapping[str, Any] | Record | None) -> None:
        self.id = customer_id
        self.cause: Cause | None = None
        self.merged_into: int | None = None
        self.moved: Mapping[str, dict[str, int | None]] = _UNMOVED
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

    def apply(
        self, traits: Mapping[str, Any], source: str, at: datetime, cause: Cause, ranked: Ranked = UNRANKED
    ) -> None:
        """Take over the traits of one event.

        A stored value gives way to one whose source ranks higher, or equal and which is not older. Null clears a
        value, and counts as a word of its instant.

        Args:
            traits: Field to value.
            source: The event's source.
            at: When the event occurred.
            cause: Who brought it.
            ranked: The fields that rank their sources.
        """
        instant = (at - _EPOCH) // _MILLISECOND
        for field, value in traits.items():
            stored = self.provenance.get(field)
            if stored is not None:
                ranks = ranked.get(field, {})
                below = ranks.get(source, len(ranks)) - ranks.get(stored[0], len(ranks))
                if below > 0 or (below == 0 and stored[1] > instant):
                    continue
            self._set(field, value, cause)
            self.provenance[field] = (source, instant)

    def absorb(self, loser: Draft, cause: Cause, chosen: Mapping[str, int] = MappingProxyType({})) -> Taken:
        """Take over what a customer merged into this one knows and this one does not; return what that was.

        Args:
            loser: The other one.
            cause: Who merges them.
            chosen: Fields, as the API names them, for which it was said whose value is taken, by id.
        """
        return {
            name: self.take(field, loser, cause)
            for field, name in [(field, public_name(field)) for field in loser.fields()]
            if (chosen[name] == loser.id if name in chosen else self.lacks(field, loser))
        }

    def lacks(self, field: str, other: Draft) -> bool:
        """Say whether this customer has no value of a field and `other` does, which was not known before this."""
        if other.get(field) is None or self.get(field) is not None:
            return False
        cleared, known = self.provenance.get(field), other.provenance.get(field)
        return cleared is None or (known is not None and cleared[1] <= known[1])

    def take(self, field: str, other: Draft, cause: Cause) -> Taking:
        """Take over a field of another customer, whatever this one has; return what that changes."""
        taking = Taking(self.word(field), other.word(field))
        self._set(field, taking.taken.value, cause)
        self.put(field, *taking.taken)
        return taking

    def give_back(self, field: str, taking: Taking, cause: Cause) -> bool:
        """Have a field again as it was before something was taken; return false if it has changed since."""
        if not same(self.word(field), taking.taken):
            return False
        self._set(field, taking.before.value, cause)
        self.put(field, *taking.before)
        return True

    def word(self, field: str) -> Word:
        """Return a field's value with its provenance."""
        return Word(self.get(field), self.provenance.get(field))

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
        """Return what ends with another value than it began with, with `old` and `new`."""
        # Compared as JSON, where 1, 1.0 and true differ.
        changed = {
            field: {"old": old, "new": new}
            for field, old in self._old.items()
            if _encode(_compared(old)) != _encode(_compared(new := self.get(field)))
        }
        return {**changed, **self.moved} if self.moved else changed

    @property
    def touched(self) -> Collection[str]:
        """The fields that something was said about."""
        return self._old.keys()

    def before(self) -> Draft:
        """Return the customer as it is stored; without any field if it is not."""
        return Draft(self.id, self._row)

    def put(self, field: str, value: Any, word: tuple[str, int] | None) -> None:
        """Give a field a value and the provenance of it, whatever it had."""
        if field in COLUMNS:
            self.columns[field] = value
        elif value is None:
            self.attributes.pop(field, None)
        else:
            self.attributes[field] = value
        if word is None:
            self.provenance.pop(field, None)
        else:
            self.provenance[field] = word

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


def _compared(value: Any) -> Any:
    """Return by what equal values are known: encrypted ones by their hash, since no two are sealed alike."""
    return value["hash"] if isinstance(value, dict) else value
