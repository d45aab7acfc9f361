"""What is said of a customer that is to be written."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from zhike.api import MAX_ID
from zhike.customers.field import STAFF
from zhike.events.schemas import MAX_TEXT_BYTES, MAX_TRAIT_CHARACTERS, MAX_TRAIT_KEY, MAX_TRAITS, Trait

MAX_AT_ONCE = 5_000
"""Customers that one transaction changes."""

_Text = Annotated[str, Meta(max_length=MAX_TRAIT_CHARACTERS)] | UnsetType | None
_Id = Annotated[int, Meta(ge=1, le=MAX_ID)]
_Key = Annotated[str, Meta(min_length=1, max_length=MAX_TRAIT_KEY)]
_Attributes = Annotated[dict[_Key, Trait], Meta(max_length=MAX_TRAITS)]
_Source = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT_BYTES)]
_Value = Annotated[str, Meta(max_length=1_000)]
_Values = _Value | Annotated[list[_Value], Meta(max_length=20)]
Identities = Annotated[dict[str, _Values], Meta(max_length=50)]


class CustomerSaid(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said of a customer; what is left out stays as it is, and null takes a value away.

    Args:
        kind: `person` or `company`.
        name: What it is called.
        phone: Its phone number; what it is known by are `identities`.
        email: Its e-mail address, likewise.
        company: Where a person works.
        stage: Stage of its life as a customer.
        owner: Id of the user who looks after it.
        team: Id of the team.
        attributes: All other fields.
        source: Who says so, up to 200 bytes; `staff` when absent.
    """

    kind: Literal["person", "company"] | UnsetType = UNSET
    name: _Text = UNSET
    phone: _Text = UNSET
    email: _Text = UNSET
    company: _Text = UNSET
    stage: _Text = UNSET
    owner: _Id | UnsetType | None = UNSET
    team: _Id | UnsetType | None = UNSET
    attributes: _Attributes = {}
    source: _Source = STAFF


class NewCustomer(CustomerSaid, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A customer as it is known elsewhere: made, or changed if there is one with one of these identities.

    Args:
        kind: See `CustomerSaid`.
        name: See `CustomerSaid`.
        phone: See `CustomerSaid`.
        email: See `CustomerSaid`.
        company: See `CustomerSaid`.
        stage: See `CustomerSaid`.
        owner: See `CustomerSaid`.
        team: See `CustomerSaid`.
        attributes: See `CustomerSaid`.
        source: See `CustomerSaid`.
        identities: Namespace to one value or several, at least one in all; the customer gets those it has not.
    """

    identities: Identities


class CustomerChange(CustomerSaid, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be another way with a customer.

    Args:
        kind: See `CustomerSaid`.
        name: See `CustomerSaid`.
        phone: See `CustomerSaid`.
        email: See `CustomerSaid`.
        company: See `CustomerSaid`.
        stage: See `CustomerSaid`.
        owner: See `CustomerSaid`.
        team: See `CustomerSaid`.
        attributes: See `CustomerSaid`.
        source: See `CustomerSaid`.
        add_identities: Namespace to one value or several that the customer gets.
        remove_identities: The same of those it loses.
        if_updated_at: The `updated_at` that was read; if it is another by now, nothing is changed (409).
    """

    add_identities: Identities = {}
    remove_identities: Identities = {}
    if_updated_at: Annotated[datetime, Meta(tz=True)] | None = None


class BulkSet(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What many customers get.

    Args:
        owner: See `CustomerSaid`.
        team: See `CustomerSaid`.
        stage: See `CustomerSaid`.
    """

    owner: _Id | UnsetType | None = UNSET
    team: _Id | UnsetType | None = UNSET
    stage: _Text = UNSET


class BulkChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of many customers: of those named, or of those for whom a condition holds.

    Args:
        set: What they get.
        ids: At most 5,000 customers; those out of sight are left out.
        condition: A condition, which holds for at most 5,000 customers.
    """

    set: BulkSet
    ids: Annotated[list[_Id], Meta(max_length=MAX_AT_ONCE)] | UnsetType = UNSET
    condition: Raw | UnsetType = UNSET


class BulkDone(Struct, frozen=True):
    """What became of a change of many customers.

    Args:
        matched: Customers it was about, as far as they may be written.
    """

    matched: int
