"""What the API takes and gives of consents."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from zhike.api import Id, PageQuery
from zhike_privacy.schemas import Key, Words


class NewConsent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `POST /privacy/consents` takes: something that somebody said about a purpose.

    Args:
        purpose: Key of the purpose.
        customer_id: Who said it; this or `identities`.
        identities: Namespace to value of who said it. People who are not known, or were erased, become customers.
        granted: False to withdraw.
        channel: Where it was said, such as `form`, `phone` or `store`.
        proof: What proves it: the words, or where the record is kept; needed to grant.
        at: When it was said; now when absent.
        text_version: The version that was shown; the newest when absent.
    """

    purpose: Key
    customer_id: Id | None = None
    identities: Annotated[dict[str, str], Meta(min_length=1, max_length=50)] | None = None
    granted: bool = True
    channel: Words
    proof: Annotated[str, Meta(max_length=20_000, pattern=r"\A[^\x00]*\Z")] = ""
    at: datetime | None = None
    text_version: Id | None = None


class Consent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that somebody said about a purpose.

    Args:
        id: Its id.
        customer_id: The customer.
        purpose: Key of the purpose.
        granted: False if it was withdrawn.
        channel: Where it was said.
        at: When it was said.
        proof: What proves it.
        text_version: The version that was shown.
        actor: Who recorded it.
        recorded_at: When.
    """

    id: int
    customer_id: int
    purpose: str
    granted: bool
    channel: str
    at: datetime
    proof: str
    text_version: int
    actor: str
    recorded_at: datetime


class ConsentsQuery(PageQuery, frozen=True, kw_only=True):
    """The query parameters of `GET /privacy/consents`.

    Args:
        customer_id: Whose.
        limit: Entries of a page; more than 1,000 count as 1,000.
        cursor: The `next` of the page before.
    """

    customer_id: Id


class ConsentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The properties of `consent.granted` and `consent.withdrawn`.

    Args:
        consent_id: The record.
        purpose: Key of the purpose.
        channel: Where it was said.
        text_version: The version that was shown.
    """

    consent_id: int
    purpose: str
    channel: str
    text_version: int
