"""What a field of customers is: a column of the core, or one of an installation's own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Literal

import msgspec

from zhike.i18n import Text, text

FieldType = Literal["text", "number", "money", "date", "choice", "multi_choice", "boolean", "link"]
STAFF = "staff"
"""The source of what is written by people, in pages and through the API."""

BUILT_IN: Mapping[str, Text] = {
    "kind": text("Person or company"),
    "name": text("Name"),
    "phone": text("Phone"),
    "email": text("E-mail"),
    "company": text("Company"),
    "stage": text("Stage"),
}
"""Columns that traits set, with their labels; an installation may rank their sources and call them otherwise."""


class Choice(msgspec.Struct, frozen=True):
    """One of the values of a field.

    Args:
        key: What is stored.
        label: Its name for people; the key when empty.
        archived: Whether it is no longer offered; it is still taken.
    """

    key: str
    label: str = ""
    archived: bool = False


class Field(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A field of customers.

    Args:
        key: The name of the trait: the key of `attributes`, or a column.
        label: Its name for people.
        type: What its values are.
        choices: The values of `choice` and `multi_choice`, and of the column `stage`, which takes any without them.
        currency: ISO 4217 code, for `money`.
        help: What people should know who fill it in.
        group: The heading it stands under.
        position: Its place among the others.
        sources: The most trusted first. A value gives way only to one whose source ranks as high or higher; sources
            that are not listed rank below all that are. Empty: the newest word counts.
        encrypted: Whether values are encrypted at rest, and compared for equality only.
        archived: Whether it is no longer offered; values stay, and are still taken.
        version: Counts its changes; 0 for a column of which nothing is said.
        built_in: Whether it is a column.
    """

    key: str
    label: str = ""
    type: FieldType = "text"
    choices: tuple[Choice, ...] = ()
    currency: str | None = None
    help: str = ""
    group: str = ""
    position: int = 0
    sources: tuple[str, ...] = ()
    encrypted: bool = False
    archived: bool = False
    version: int = 0
    built_in: bool = False

    @cached_property
    def keys(self) -> frozenset[str]:
        """The keys of all choices, archived ones too."""
        return frozenset(choice.key for choice in self.choices)

    @cached_property
    def ranks(self) -> Mapping[str, int]:
        """Source to rank, 0 for the most trusted; `len(sources)` is that of all others."""
        return {source: rank for rank, source in enumerate(self.sources)}

    @property
    def shown(self) -> Text | str:
        """Its name for people."""
        return self.label or BUILT_IN.get(self.key, self.key)

    @property
    def checked(self) -> bool:
        """Whether not every trait of this name is a value."""
        return not self.built_in or bool(self.choices)
