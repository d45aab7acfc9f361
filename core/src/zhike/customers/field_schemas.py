"""What is said of a field of customers that is to be made, and what may be changed of one."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from zhike.customers.field import Choice, FieldType
from zhike.events.schemas import MAX_TEXT_BYTES, MAX_TRAIT_KEY

_Short = Annotated[str, Meta(max_length=200)]
_Help = Annotated[str, Meta(max_length=2_000)]
_Choices = Annotated[tuple[Choice, ...], Meta(max_length=1_000)]
_Sources = Annotated[tuple[Annotated[str, Meta(max_length=MAX_TEXT_BYTES)], ...], Meta(max_length=100)]
_Position = Annotated[int, Meta(ge=0, le=1_000_000)]


class NewField(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A field that is to be made.

    Args:
        key: The name of the trait, up to 100 characters.
        label: Its name for people; the key when empty.
        type: What its values are.
        choices: The values of `choice` and `multi_choice`.
        currency: ISO 4217 code, for `money`; the deployment's when absent.
        help: What people should know who fill it in.
        group: The heading it stands under.
        position: Its place among the others.
        sources: Sources of values, the most trusted first; without any the newest word counts.
        encrypted: Whether values are encrypted at rest: for `text`, `date`, `choice` and `link`.
    """

    key: Annotated[str, Meta(min_length=1, max_length=MAX_TRAIT_KEY)]
    label: _Short = ""
    type: FieldType = "text"
    choices: _Choices = ()
    currency: str | None = None
    help: _Help = ""
    group: _Short = ""
    position: _Position = 0
    sources: _Sources = ()
    encrypted: bool = False


class FieldChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be another way with a field; what is left out stays as it is.

    Args:
        label: See `NewField`.
        type: See `NewField`; only while no customer has a value.
        choices: See `NewField`; all of them. One that is in use cannot be left out, but archived.
        currency: See `NewField`; only while no customer has a value.
        help: See `NewField`.
        group: See `NewField`.
        position: See `NewField`.
        sources: See `NewField`; all of them.
        encrypted: See `NewField`; only while no customer has a value.
        archived: Whether it is no longer offered.
        version: The version that was read; if the field is at another one by now, nothing is changed (409).
    """

    label: _Short | UnsetType = UNSET
    type: FieldType | UnsetType = UNSET
    choices: _Choices | UnsetType = UNSET
    currency: str | UnsetType | None = UNSET
    help: _Help | UnsetType = UNSET
    group: _Short | UnsetType = UNSET
    position: _Position | UnsetType = UNSET
    sources: _Sources | UnsetType = UNSET
    encrypted: bool | UnsetType = UNSET
    archived: bool | UnsetType = UNSET
    version: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
