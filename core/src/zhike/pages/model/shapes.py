"""What is typed into the form of a field of customers, while it is being shaped and when it is saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec.structs import asdict, replace

from zhike.customers.field import BUILT_IN, Choice, Field
from zhike.customers.field_schemas import FieldChange, NewField
from zhike.i18n import Text, text
from zhike.ui.submitting import about

if TYPE_CHECKING:
    from zhike.errors import ZhikeError
    from zhike.ui import PageCall

TYPES: Mapping[str, Text] = {
    "text": text("Text"),
    "number": text("Number"),
    "money": text("Amount of money"),
    "date": text("Date"),
    "choice": text("One of several choices"),
    "multi_choice": text("Several choices"),
    "boolean": text("Yes or no"),
    "link": text("Link"),
}
ICONS: Mapping[str, str] = {
    "text": "letter-case",
    "number": "number-123",
    "money": "coin-yuan",
    "date": "calendar",
    "choice": "circle-dot",
    "multi_choice": "list-check",
    "boolean": "toggle-right",
    "link": "link",
}
CHOSEN = frozenset({"choice", "multi_choice"})
SEALABLE = frozenset({"text", "date", "choice", "link"})
_PLACES = frozenset({"label", "key", "type", "currency", "help", "group", "choices", "sources", "encrypted"})
_Struct = TypeVar("_Struct", NewField, FieldChange)


def chooses(field: Field) -> bool:
    """Say whether a field has choices."""
    return field.type in CHOSEN or field.key == "stage"


def typed(call: PageCall, stored: Field | None) -> Field:
    """Return the field as the form has it; what its type has no use for is left out when it is saved.

    Args:
        call: The request with the form.
        stored: As it is, or None for one that is to be made.
    """
    keys, labels, archived = (call.form.get(f"choice_{name}", []) for name in ("key", "label", "archived"))
    choices = tuple(
        Choice(key=key.strip(), label=label.strip(), archived=bool(gone))
        for key, label, gone in zip(keys, labels, archived, strict=False)
    )
    label, kind = call.field("label").strip(), call.field("type", "text")
    said = Field(
        key=stored.key if stored else call.field("key").strip() or label,
        label=label,
        type=kind if kind in TYPES else "text",  # type: ignore[arg-type]  # checked right here
        choices=choices,
        currency=call.field("currency").strip().upper() or None,
        help=call.field("help").strip(),
        group=call.field("group"),
        position=stored.position if stored else 0,
        sources=tuple(each.strip() for each in call.form.get("source", []) if each.strip()),
        encrypted=bool(call.field("encrypted")),
        archived=stored.archived if stored else False,
        built_in=stored.built_in if stored else False,
    )
    return replace(said, type="text") if said.built_in else said


def shaped(field: Field, do: str) -> Field:
    """Return a field with a choice or source more, less, or put away, as a button of the form says."""
    action, _, place = do.partition(":")
    at = int(place) if place.isascii() and place.isdigit() and len(place) < 6 else -1
    choices, sources = list(field.choices), list(field.sources)
    if action == "choice":
        choices.append(Choice(key=""))
    elif action == "source":
        sources.append(place)
    elif action == "unchoose" and 0 <= at < len(choices):
        del choices[at]
    elif action == "archive" and 0 <= at < len(choices):
        choices[at] = replace(choices[at], archived=not choices[at].archived)
    elif action == "unsource" and 0 <= at < len(sources):
        del sources[at]
    return replace(field, choices=tuple(choices), sources=tuple(dict.fromkeys(sources)))


def whole(field: Field) -> dict[str, Any]:
    """Return what is to be saved: choices with a key each, without empty rows and what the type has no use for."""
    choices = [replace(each, key=each.key or each.label) for each in field.choices if each.key or each.label]
    said = asdict(field)
    said["choices"] = tuple(choices) if chooses(field) else ()
    said["currency"] = field.currency if field.type == "money" else None
    said["encrypted"] = field.encrypted and field.type in SEALABLE
    return said


def as_new(field: Field) -> NewField:
    """Return what makes the field.

    Raises:
        msgspec.ValidationError: If something is too long.
    """
    said = whole(field)
    return _checked({name: said[name] for name in NewField.__struct_fields__}, NewField)


def as_change(field: Field, stored: Field, version: int) -> FieldChange:
    """Return what changes the stored field into this one; of a column only what may be said of one.

    Raises:
        msgspec.ValidationError: If something is too long.
    """
    said, before = whole(field), asdict(stored)
    names = ["label", "help", "group", "sources"]
    names += ["choices"] if field.key == "stage" else []
    names += [] if field.built_in else ["type", "choices", "currency", "encrypted"]
    changes = {name: said[name] for name in names if said[name] != before[name]}
    return _checked({**changes, "version": version}, FieldChange)


def told(error: ZhikeError) -> tuple[dict[str, Text], Text | None]:
    """Return what is wrong beside the field of the form that it concerns, or of all of it."""
    where, detail = about(error)
    place = where.partition("[")[0].partition(".")[0]
    if place in _PLACES:
        return {place: detail}, None
    if error.code == "key":
        return {"key": error.message}, None
    return {}, error.message


def known(fields: Mapping[str, Field]) -> dict[str, Field]:
    """Return all fields by key, also columns of which nothing was said."""
    return {key: Field(key=key, built_in=True) for key in BUILT_IN if key not in fields} | dict(fields)


def _checked(values: dict[str, Any], struct: type[_Struct]) -> _Struct:
    return msgspec.convert(msgspec.to_builtins(values), struct)
