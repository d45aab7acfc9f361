"""What an event looks like when it comes in, when it has been checked and when it was rejected."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from zhike.customers.traits import Own
from zhike.i18n import Text

MAX_EVENTS = 5_000
MAX_TEXT_BYTES = 200
MAX_PROPERTIES_BYTES = 64 * 1024
MAX_PROPERTIES_DEPTH = 32
MAX_TRAITS = 100
MAX_TRAIT_KEY = 100
MAX_TRAIT_CHARACTERS = 10_000
MAX_TRAIT_ITEMS = 1_000

LIVE = timedelta(hours=24)
"""How late an event may be recorded and still start something."""

PLATFORM_EVENTS = frozenset(
    {"customer.created", "customer.updated", "customer.merged", "customer.unmerged", "customer.history_changed"}
)
"""Event types that ingest itself records."""

COLUMN_TRAITS = frozenset({"name", "phone", "email", "company", "stage"})
"""Traits that are columns of a customer: text or null."""

KINDS = ("person", "company")
"""Values of the trait `kind`."""

RESERVED_TRAITS = frozenset(
    {"id", "owner", "team", "identities", "attributes", "created_at", "updated_at", "merged_into"}
)
"""Names a trait cannot have: they are parts of a customer that no event may set."""

_Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_TraitText = Annotated[str, Meta(max_length=MAX_TRAIT_CHARACTERS)]
_Scalar = bool | _Int64 | float | _TraitText | None
Trait = _Scalar | Annotated[list[_Scalar], Meta(max_length=MAX_TRAIT_ITEMS)]
"""A trait's value: a JSON scalar or a list of them."""

# Bytes are counted later; a text has no more characters than bytes.
_ShortText = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT_BYTES)]
_TraitKey = Annotated[str, Meta(min_length=1, max_length=MAX_TRAIT_KEY)]


class IncomingEvent(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """One item of `POST /events` or one row of an import, in the types it arrives in.

    Args:
        name: Event type, such as `order.paid`.
        identities: Namespace to value, as given.
        message_id: The caller's own id, up to 200 bytes; one is made when absent.
        occurred_at: When it happened; without offset it is in the deployment's zone; None means now.
        traits: What the event says about the customer.
        amount: Money in major units.
        currency: ISO 4217 code of the amount; the deployment's when absent.
        properties: A JSON object as it was written, JSON or msgpack like the body around it.
        source: Where the event comes from, up to 200 bytes.
    """

    name: _ShortText
    identities: Annotated[dict[str, str], Meta(max_length=50)] = {}
    message_id: _ShortText | None = None
    occurred_at: datetime | None = None
    traits: Annotated[dict[_TraitKey, Trait], Meta(max_length=MAX_TRAITS)] | None = None
    amount: Decimal | None = None
    currency: str | None = None
    properties: msgspec.Raw = msgspec.Raw(b"{}")
    source: Annotated[str, Meta(max_length=MAX_TEXT_BYTES)] | None = None


class CheckedEvent(msgspec.Struct, gc=False):
    """An event that can be stored, or what is known of a customer without any event.

    Args:
        index: Its place in the request.
        name: Event type; "" for no event.
        message_id: The caller's id or a new one.
        occurred_at: Aware, in UTC.
        identities: Namespace and normalised value, the strongest first, at least one.
        traits: What it says about the customer, or None.
        amount: Minor units, or None.
        currency: ISO 4217 code; None exactly when `amount` is None.
        properties: JSON text of an object that PostgreSQL takes as jsonb.
        source: Where it comes from, or "".
        own: What an import says of the customer besides, where it is no event.
    """

    index: int
    name: str
    message_id: str
    occurred_at: datetime
    identities: list[tuple[str, str]]
    traits: dict[str, Any] | None = None
    amount: int | None = None
    currency: str | None = None
    properties: str = "{}"
    source: str = ""
    own: Own | None = None


class Rejection(msgspec.Struct):
    """Why one item was not taken.

    Args:
        index: Its place in the request.
        code: A stable word for programs.
        message: Where, what, and what was expected.
    """

    index: int
    code: str
    message: Text
