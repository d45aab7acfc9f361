"""What one customer did, in the form that `POST /events` takes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

_encode = msgspec.json.Encoder().encode


class Entry(NamedTuple):
    """An event.

    Args:
        at: When it happened, in seconds since 1970.
        place: Keeps those of one second in order.
        json: The event.
    """

    at: int
    place: int
    json: bytes


class Note(NamedTuple):
    """What the company's own records say of a customer some day, without any event.

    Args:
        at: When, in seconds since 1970.
        identity: Of whom.
        traits: What.
    """

    at: int
    identity: tuple[str, str]
    traits: Mapping[str, Any]


class Diary:
    """Events and notes about one customer; what would be after the end of the story is left out.

    Args:
        key: Tells the customer from all others.
        identities: What they are known by in most events.
        end: The end of the story.
    """

    def __init__(self, key: str, identities: Mapping[str, str], end: int) -> None:
        self.identities = dict(identities)
        self.entries: list[Entry] = []
        self.notes: list[Note] = []
        self._key, self._end = key, end

    def add(
        self,
        at: int,
        name: str,
        source: str,
        properties: Mapping[str, Any] | None = None,
        *,
        traits: Mapping[str, Any] | None = None,
        amount: int | None = None,
        identities: Mapping[str, str] | None = None,
    ) -> bool:
        """Note an event and say whether it is before the end of the story.

        Args:
            at: When, in seconds since 1970.
            name: Event type.
            source: The channel.
            properties: What else is known of it.
            traits: What it says of the customer.
            amount: In fen.
            identities: Other ones than usual.
        """
        if at > self._end:
            return False
        place = len(self.entries)
        item: dict[str, Any] = {
            "name": name,
            "message_id": f"sample:{self._key}:{place}",
            "occurred_at": datetime.fromtimestamp(at, UTC),
            "identities": identities or self.identities,
            "source": source,
        }
        if properties:
            item["properties"] = properties
        if traits:
            item["traits"] = traits
        if amount is not None:
            item["amount"] = f"{amount // 100}.{amount % 100:02d}"
        self.entries.append(Entry(at, place, _encode(item)))
        return True

    def note(self, at: int, **traits: Any) -> None:
        """Note what the company knows from then on."""
        if at <= self._end:
            self.notes.append(Note(at, next(iter(self.identities.items())), traits))
