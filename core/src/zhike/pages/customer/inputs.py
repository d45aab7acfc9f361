"""The fields of a customer as elements of a form: made from the definitions, and what was typed into them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from zhike.customers.said import said_of
from zhike.customers.schemas import CustomerChange
from zhike.errors import BadRequest
from zhike.i18n import Text, text
from zhike.pages.customer.profile import ATTRIBUTE, Fact, labels
from zhike.ui import formats
from zhike.ui.forms import Kind, Shown
from zhike.ui.submitting import about

if TYPE_CHECKING:
    from zhike.customers.field import Field
    from zhike.ui import PageCall

Typed = dict[str, str | list[str]]
OWN: Mapping[str, tuple[Text, Kind]] = {"owner": (text("Owner"), "user"), "team": (text("Team"), "team")}
_KINDS: Mapping[str, Kind] = {"number": "number", "money": "money", "date": "date", "boolean": "select"}
_LONG = 80
_KIND = [("person", text("Person")), ("company", text("Company"))]


def stored(fact: Fact) -> str | list[str]:
    """Return what the element of a field holds at first; nothing where the reader sees it masked."""
    value = None if fact.masked else fact.value
    if fact.field.type == "multi_choice" and not isinstance(value, str):
        return [str(each) for each in value or ()]
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    return "" if value is None else str(value)


def typed(form: Mapping[str, list[str]], facts: list[Fact]) -> Typed:
    """Return what was typed into the elements of some fields."""
    found: Typed = {}
    for fact in facts:
        given = form.get(fact.name, [])
        many = fact.field.type == "multi_choice"
        found[fact.name] = [each for each in given if each] if many else (given[-1].strip() if given else "")
    return found


def element(call: PageCall, fact: Fact, value: str | list[str], error: Text | None = None) -> Shown:
    """Return a field as an element of a form.

    Args:
        call: The request.
        fact: The field, and what is stored.
        value: What the element holds.
        error: What is wrong with that.
    """
    field = fact.field
    help_: Text | str | None = field.help or None
    if fact.masked:
        help_ = text("Your role does not see this whole; type only to replace it")
    elif field.currency:
        help_ = field.help or text("In {currency}", currency=field.currency)
    return Shown(
        name=fact.name,
        label=field.shown,
        help=help_,
        kind=_kind(field, value),
        required=field.key == "kind",
        value=value,
        options=_options(field, value),
        error=error,
        placeholder=str(fact.value) if fact.masked else None,
        limits={"maxlength": 10_000} if field.type == "text" else {},
    )


def own(call: PageCall, name: str, value: str, error: Text | None = None) -> Shown:
    """Return owner or team as an element of a form; see `element`."""
    label, kind = OWN[name]
    return Shown(
        name=name,
        label=label,
        help=None,
        kind=kind,
        required=False,
        value=value,
        options=[],
        error=error,
        placeholder=None,
        limits={},
    )


def checked(call: PageCall, changes: Mapping[str, str | list[str]], fields: Mapping[str, Field]) -> dict[str, Text]:
    """Return what is wrong with new values, by field."""
    errors = {}
    for name, value in changes.items():
        try:
            said_of(call.host.platform, call.actor, change_of({name: value}, fields))
        except BadRequest as error:
            errors[name] = about(error)[1]
        except msgspec.ValidationError:
            errors[name] = text("This does not fit")
    return errors


def change_of(changes: Mapping[str, str | list[str]], fields: Mapping[str, Field], **more: Any) -> CustomerChange:
    """Return new values as the service takes them; an empty one takes the value away.

    Args:
        changes: Field, as the API calls it, to what was typed.
        fields: The definitions, by that name.
        more: Further parts of the change.

    Raises:
        msgspec.ValidationError: If something cannot be such a value at all.
    """
    body: dict[str, Any] = {"attributes": {}, **more}
    for name, value in changes.items():
        if name.startswith(ATTRIBUTE):
            body["attributes"][name.removeprefix(ATTRIBUTE)] = _value(fields[name], value)
        else:
            body[name] = int(str(value)) if name in OWN and str(value).isdecimal() else value or None
    return msgspec.convert(body, CustomerChange)


def told(field: Field, value: str | list[str]) -> Text | str:
    """Return what is stored, in words, for whoever has typed something else."""
    return formats.listed(labels(field, value)) if value else text("no value")


def _value(field: Field, value: str | list[str]) -> Any:
    if field.type == "boolean" and value in {"true", "false"}:
        return value == "true"
    if field.type == "number" and not field.version and isinstance(value, str):  # nothing is said of it
        try:
            return msgspec.json.decode(value, type=int | float)
        except msgspec.DecodeError:
            return value or None
    return value or None


def _kind(field: Field, value: str | list[str]) -> Kind:
    if field.key == "kind" or field.type == "choice" or (field.built_in and field.choices):
        return "select"
    if field.type == "multi_choice":
        return "multi"
    if field.type == "text" and (len(value) > _LONG or "\n" in value):
        return "textarea"
    return _KINDS.get(field.type, "text")


def _options(field: Field, value: str | list[str]) -> list[tuple[str, Text | str]]:
    """Return what can be chosen: what is not archived, and what is chosen already."""
    if field.key == "kind":
        return [*_KIND]
    if field.type == "boolean":
        return [("true", text("Yes")), ("false", text("No"))]
    chosen = value if isinstance(value, list) else [value]
    found: list[tuple[str, Text | str]] = [
        (each.key, each.label or each.key) for each in field.choices if not each.archived or each.key in chosen
    ]
    strange = [(each, each) for each in chosen if each and field.choices and each not in field.keys]
    return [*found, *strange]
