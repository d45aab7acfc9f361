"""What the API takes and gives of purposes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from zhike_privacy.schemas import Key, Text, Words

Days = Annotated[int, Meta(ge=1, le=36_500)]
Basis = Literal["consent", "contract", "legal_obligation", "public_health", "public_interest", "public_information"]
Events = Annotated[list[Words], Meta(max_length=200)]


class Version(msgspec.Struct, frozen=True):
    """A version of what people agree to.

    Args:
        version: 1 for the first.
        text: What they are shown.
        since: From when on it is shown.
    """

    version: int
    text: str
    since: datetime


class Purpose(msgspec.Struct, frozen=True, kw_only=True):
    """What personal data is processed for.

    Args:
        key: Its word in conditions and consents.
        name: Name for people.
        legal_basis: By article 13 of the PIPL.
        separate: Whether it needs a consent of its own, as by articles 23, 25, 26, 29 and 39.
        events: Event types that are kept for it.
        retention_days: How long these are kept after they occurred; null: without end.
        texts: What people agree to, the newest version last.
        created_at: When it was made.
        archived_at: Since when no new consent is recorded for it, or null.
    """

    key: str
    name: str
    legal_basis: Basis
    separate: bool
    events: list[str]
    retention_days: int | None
    texts: list[Version]
    created_at: datetime
    archived_at: datetime | None


class NewPurpose(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `POST /privacy/purposes` takes; as in `Purpose`.

    Args:
        key: Its word.
        name: Name for people.
        text: What people agree to, the first version.
        legal_basis: By article 13 of the PIPL.
        separate: Whether it needs a consent of its own.
        events: Event types that are kept for it.
        retention_days: How long these are kept.
    """

    key: Key
    name: Words
    text: Text
    legal_basis: Basis = "consent"
    separate: bool = False
    events: Events = []
    retention_days: Days | None = None


class PurposeChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `PATCH /privacy/purposes/{purpose_key}` takes; what is left out stays as it is.

    Args:
        name: Name for people.
        text: A new version of what people agree to; consents to earlier ones stay.
        legal_basis: By article 13 of the PIPL.
        separate: Whether it needs a consent of its own.
        events: Event types that are kept for it.
        retention_days: How long these are kept; null: without end.
        archived: Whether no new consent is recorded for it.
    """

    name: Words | UnsetType = UNSET
    text: Text | UnsetType = UNSET
    legal_basis: Basis | UnsetType = UNSET
    separate: bool | UnsetType = UNSET
    events: Events | UnsetType = UNSET
    retention_days: Days | UnsetType | None = UNSET
    archived: bool | UnsetType = UNSET
