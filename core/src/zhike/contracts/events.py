"""Events: their types, as they come in, as they are recorded, and who wants to be given them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from zhike.contracts._names import Count, Label, Name

if TYPE_CHECKING:
    from zhike.orm import Connection
else:
    Connection = Any  # so that types can be checked when structs are registered, without importing an ORM

Kind = Literal["behaviour", "platform"]
Mode = Literal["live", "backfill", "rebuild", "replay"]
"""Why a consumer is given events: they are new; it starts in the past; it starts over; staff replay dead letters."""


class EventType(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of event that a plugin records.

    Args:
        name: Such as `tag.added`; it begins with the plugin's name or a noun the plugin claims.
        kind: `behaviour` (the customer did it) or `platform` (we did).
        label: Name for people.
        payload: Struct of the properties, which are checked against it, or None.
        replaces: Earlier names of the same thing.
        permission: What one must hold, besides `events.read`, to see such events and to ask about them.
        summary: What one such event says in a line: text with `{places}` for properties, `{amount}`, `{currency}` and
            `{source}`. When empty, the first properties are quoted.
        icon: Name of one of Tabler's icons, for timelines; when empty, one is chosen by the name.
        derived: Whether it tells of what only follows from other events, as a tag by rule does; see `CustomerRows`.
    """

    name: Name
    kind: Kind
    label: Label
    payload: type[msgspec.Struct] | None = None
    replaces: tuple[str, ...] = ()
    permission: str | None = None
    summary: Label = ""
    icon: str = ""
    derived: bool = False


class Consumer(msgspec.Struct, frozen=True, kw_only=True):
    """How a plugin wants to be given the log; at most one for each plugin.

    Args:
        events: Names of event types, or `*` for all. Batches of the log without any of them are passed unread.
        start: Where a new plugin begins: `now`, or `beginning`, which it reads in mode `backfill`.
        batch: Most events of one call, at most 500.
        reset: Deletes what the plugin derived, in the transaction that sends its cursor back to the beginning;
            a plugin without it cannot be rebuilt.
    """

    events: tuple[Name, ...] = ("*",)
    start: Literal["now", "beginning"] = "now"
    batch: Count = 500
    reset: Callable[[Connection], Awaitable[None]] | None = None

    @property
    def rebuildable(self) -> bool:
        """Whether it may start over."""
        return self.reset is not None


class RecordedEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event as consumers get it.

    Args:
        id: Its id; ascending along the log of one batch.
        batch_id: The batch of the log it was stored with.
        message_id: The caller's id of it, or one of ours.
        name: Event type.
        behaviour: True if the customer did it, false if we did.
        customer_id: Whose it is now.
        shard: 0 to 63, never changes.
        occurred_at: When it happened, in UTC.
        recorded_at: When it was stored, in UTC.
        amount: Money in major units, or None.
        currency: ISO 4217 code, or None.
        properties_json: The properties as JSON text.
        source: Where it comes from, or "".
        origin: Who brought it: `token:7`, `import:3`, `plugin:tagging`, `system` …
        causation_id: The id of the event that made it happen, or None.
        depth: 0 for an event from outside, else one more than its cause's.
        live: Whether it may start something: neither imported nor recorded long after it happened.
        import_id: The import it belongs to, or None.
    """

    id: int
    batch_id: int
    message_id: str
    name: str
    behaviour: bool
    customer_id: int
    shard: int
    occurred_at: datetime
    recorded_at: datetime
    amount: Decimal | None = None
    currency: str | None = None
    properties_json: str = "{}"
    source: str = ""
    origin: str = ""
    causation_id: int | None = None
    depth: int = 0
    live: bool = True
    import_id: int | None = None

    @property
    def properties(self) -> dict[str, Any]:
        """The properties, decoded anew on each access; numbers with a point are `Decimal`."""
        return _decode_properties(self.properties_json)


class IncomingDraft(msgspec.Struct, kw_only=True):
    """An incoming event that has been checked and is not stored yet, as `amend_incoming_events` may change it.

    Args:
        message_id: The sender's id of it, or one of ours; cannot be changed.
        identities: Namespace and normalised value, the strongest first; cannot be changed.
        name: Event type.
        occurred_at: When it happened, in UTC.
        traits: What it says about the customer.
        amount: Money in major units, or None.
        currency: ISO 4217 code of the amount, or None.
        properties: JSON; numbers with a point are `Decimal`.
        source: Where it comes from, or "".
        dropped: Set it to have the event rejected with the code `dropped`.
    """

    message_id: str
    identities: tuple[tuple[str, str], ...]
    name: str
    occurred_at: datetime
    traits: dict[str, Any]
    amount: Decimal | None
    currency: str | None
    properties: dict[str, Any]
    source: str
    dropped: bool = False


_decode_properties = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode
