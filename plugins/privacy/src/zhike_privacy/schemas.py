"""What the API of privacy takes and gives: words that its parts share, and retention."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

Key = Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9_]{0,49}\Z")]
Words = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"\A[^\x00]*\Z")]
Text = Annotated[str, Meta(min_length=1, max_length=20_000, pattern=r"\A[^\x00]*\Z")]


class Outdated(msgspec.Struct, frozen=True):
    """Events that are kept no longer.

    Args:
        event: The event type.
        days: How long it is kept: the longest time of the purposes that name it.
        before: Those that occurred before are deleted.
        events: How many there are; counted up to 100,000.
        customers: How many customers those counted are about.
    """

    event: str
    days: int
    before: datetime
    events: int
    customers: int


class Preview(msgspec.Struct, frozen=True):
    """What the next run of the retention job would delete.

    Args:
        items: By event type.
    """

    items: list[Outdated]
