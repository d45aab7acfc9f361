"""What the API takes and gives of requests of persons."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from zhike.api import Id, PageQuery
from zhike_privacy.schemas import Text

Kind = Literal["access", "copy", "correction", "erase", "other"]


class NewRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `POST /privacy/requests` takes.

    Args:
        kind: What the person asks for.
        customer_id: The customer, if it is known who that is.
        note: How to reach them, and what they said; erased with the customer.
        received_at: When it came; now when absent.
    """

    kind: Kind
    customer_id: Id | None = None
    note: Annotated[str, Meta(max_length=20_000, pattern=r"\A[^\x00]*\Z")] = ""
    received_at: datetime | None = None


class RequestChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `PATCH /privacy/requests/{request_id}` takes.

    Args:
        state: `done`, `refused`, or `open` again.
        note: What came of it.
    """

    state: Literal["open", "done", "refused"] | UnsetType = UNSET
    note: Text | UnsetType = UNSET


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a person has asked for.

    Args:
        id: Its id.
        customer_id: The customer, or null.
        kind: What the person asks for.
        state: `open`, `done` or `refused`.
        note: How to reach them, what they said, and what came of it.
        received_at: When it came.
        due_at: By when it is to be answered: 15 working days later.
        closed_at: When it was.
        overdue: Whether it is open after that.
        actor: Who has recorded it.
    """

    id: int
    customer_id: int | None
    kind: Kind
    state: Literal["open", "done", "refused"]
    note: str
    received_at: datetime
    due_at: datetime
    closed_at: datetime | None
    overdue: bool
    actor: str


class RequestsQuery(PageQuery, frozen=True, kw_only=True):
    """The query parameters of `GET /privacy/requests`.

    Args:
        state: Only these.
        limit: Entries of a page; more than 1,000 count as 1,000.
        cursor: The `next` of the page before.
    """

    state: Literal["open", "done", "refused"] | None = None


class RequestFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The properties of `privacy.request_opened` and `privacy.request_closed`.

    Args:
        request_id: The request.
        kind: What the person asks for.
        state: `open`, `done` or `refused`.
        due_at: By when it is to be answered.
    """

    request_id: int
    kind: Kind
    state: str
    due_at: datetime
