"""What a token of kind `collect` may send; it stands in the pages of a web site for everybody to read.

- Behaviours of the last day, whose one identity is an `anonymous_id`, up to 100 a request.
- Without traits: who a customer is, is said by those who know, not by whoever reads the token in a page.

It learns nothing: whatever is stored, the answer is the same. Its message ids are its own, so that nobody can use up
the message id of an order that is yet to come. What its events say remains the word of strangers; their origin is
`token:<id>`.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from zhike.errors import Forbidden
from zhike.events.schemas import LIVE, MAX_TEXT_BYTES, CheckedEvent
from zhike.i18n import text

MOST_EVENTS = 100
_NAMESPACE = "anonymous_id"


def check_size(events: Collection[object]) -> None:
    """Refuse more events than one request may bring; raises `Forbidden`."""
    if len(events) > MOST_EVENTS:
        raise Forbidden(text("events: more than {most} with such a token; send several requests", most=MOST_EVENTS))


def admissible(event: CheckedEvent, token_id: int | None, now: datetime) -> bool:
    """Tell whether an event may be sent, and make its message id the token's own.

    Args:
        event: The event; it has passed all checks that others pass.
        token_id: Which token.
        now: The present instant.
    """
    event.message_id = f"collect:{token_id}:{event.message_id}"
    return (
        [namespace for namespace, _ in event.identities] == [_NAMESPACE]
        and not event.traits
        and event.occurred_at >= now - LIVE
        and len(event.message_id.encode()) <= MAX_TEXT_BYTES
    )
