"""Whether the parts of a field of customers fit each other."""

from __future__ import annotations

from msgspec.structs import asdict, replace

from zhike import wire
from zhike.customers.field import Field
from zhike.i18n import Text, text
from zhike.money import EXPONENTS
from zhike.wire import Fault

_CHOSEN = frozenset({"choice", "multi_choice"})
_SEALABLE = frozenset({"text", "date", "choice", "link"})
_SAID_OF_COLUMNS = frozenset({"label", "help", "group", "position", "sources"})


def whole(field: Field, currency: str) -> Field:
    """Return a field whose parts fit each other.

    Args:
        field: As it was said to be.
        currency: That of a `money` field that names none.

    Raises:
        BadRequest: If they do not.
    """
    if field.type == "money" and field.currency is None:
        field = replace(field, currency=currency)
    for path, detail in _faults(field).items():
        raise wire.refuse(Fault(path, detail))
    return field


def _faults(field: Field) -> dict[str, Text]:
    """Return what does not fit, by its place."""
    faults: dict[str, Text] = {}
    texts: dict[str, str] = {"key": field.key, "label": field.label, "help": field.help, "group": field.group}
    texts |= {f"choices[{place}].key": choice.key for place, choice in enumerate(field.choices)}
    texts |= {f"choices[{place}].label": choice.label for place, choice in enumerate(field.choices)}
    texts |= {f"sources[{place}]": source for place, source in enumerate(field.sources)}
    for path, said in texts.items():
        if "\0" in said or len(said) > 2_000:
            faults[path] = text("expected a short text without the character NUL")
        elif path == "key" and (said != said.strip() or not said.isprintable()):
            faults[path] = text("expected characters that can be seen")
    if not all(choice.key for choice in field.choices) or len(field.keys) < len(field.choices):
        faults["choices"] = text("expected each key once, and none that is empty")
    if len(field.ranks) < len(field.sources):
        faults["sources"] = text("expected each source once")
    return faults | (_column_faults(field) if field.built_in else _type_faults(field))


def _column_faults(field: Field) -> dict[str, Text]:
    said = {name for name, value in asdict(field).items() if value != getattr(Field(key=field.key), name)}
    more = {"choices"} if field.key == "stage" else set()
    wrong = said - _SAID_OF_COLUMNS - more - {"version", "built_in"}
    return dict.fromkeys(sorted(wrong), text("a column of the core has none of its own"))


def _type_faults(field: Field) -> dict[str, Text]:
    faults: dict[str, Text] = {}
    if field.type in _CHOSEN and not field.choices:
        faults["choices"] = text("expected at least one for the type {type}", type=field.type)
    if field.type not in _CHOSEN and field.choices:
        faults["choices"] = text("expected none for the type {type}", type=field.type)
    if field.type == "money" and field.currency not in EXPONENTS:
        faults["currency"] = text("expected an ISO 4217 code such as CNY, got {value!r}", value=field.currency)
    if field.type != "money" and field.currency is not None:
        faults["currency"] = text("expected none for the type {type}", type=field.type)
    if field.encrypted and field.type not in _SEALABLE:
        faults["encrypted"] = text("only the types {types} can be encrypted", types=", ".join(sorted(_SEALABLE)))
    return faults
