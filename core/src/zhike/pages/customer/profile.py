"""The fields of a customer as their page shows them: in groups, with who said so, and what is masked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from zhike.access.masking import hidden_fields, rules_of
from zhike.customers import layout
from zhike.customers.field import BUILT_IN, STAFF, Field
from zhike.i18n import Text, text
from zhike.ui import formats

if TYPE_CHECKING:
    from zhike.customers.dossier import Dossier
    from zhike.customers.stages import Origin
    from zhike.ui import PageCall

ATTRIBUTE = "attributes."
IN_HEADER = frozenset({"kind", "name"})
SOURCES: Mapping[str, Text] = {STAFF: text("our staff"), "": text("an unnamed source")}

_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


class Fact(NamedTuple):
    """A field of a customer.

    Args:
        name: As the API calls it: `phone`, `attributes.city`.
        field: What it is.
        value: What it holds; what stands for it where it is masked; None for nothing.
        masked: Whether the reader sees it masked.
        origin: Who said so, when; None if nobody knows.
    """

    name: str
    field: Field
    value: Any
    masked: bool
    origin: Origin | None


class Group(NamedTuple):
    """Fields under a heading.

    Args:
        label: The heading; "" for those without one.
        facts: The fields in their order.
    """

    label: str
    facts: list[Fact]


async def groups(call: PageCall, dossier: Dossier) -> list[Group]:
    """Return all fields of a customer that are not hidden from the reader, in the groups of the installation."""
    known = (await call.host.platform.customer_fields.renew()).known
    arranged = await layout.get(call.host.platform)
    attributes, customer = _decode(dossier.customer.attributes), dossier.customer
    rules, hidden = rules_of(call.actor), hidden_fields(call.actor)

    def facts(keys: Iterable[str]) -> list[Fact]:
        found = []
        for key in keys:
            name = key if key in BUILT_IN else ATTRIBUTE + key
            field = known.get(key) or Field(key=key, built_in=key in BUILT_IN, type=_type(attributes.get(key)))
            value = getattr(customer, key) if key in BUILT_IN else attributes.get(key)
            if name not in hidden and not (field.archived and value is None):
                masked = rules.get(name) == "mask" and value is not None
                found.append(Fact(name, field, value, masked, dossier.origins.get(name)))
        return found

    made = [Group("", facts(arranged.ungrouped)), *(Group(each.label, facts(each.fields)) for each in arranged.groups)]
    shown = {fact.field.key for group in made for fact in group.facts}
    others = [key for key in attributes if key not in shown and key not in known]
    if others:
        made.append(Group(text("Other").render(call.locale), facts(others)))
    return [group for group in made if group.facts]


def said(call: PageCall, fact: Fact) -> Text | None:
    """Return where the value of a field comes from, in words."""
    origin = fact.origin
    if origin is None:
        return None
    source: Text | str = SOURCES.get(origin.source, origin.source)
    at = f"{origin.at.astimezone(call.zone):%Y-%m-%d %H:%M}"
    if origin.rank is None:
        return text("Says {source}, {at}", source=source, at=at)
    number = len(fact.field.sources)
    return text(
        "Says {source}, {at}; source {rank} of {n} for this field", source=source, at=at, rank=origin.rank, n=number
    )


def labels(field: Field, value: Any) -> list[str]:
    """Return the labels of the choices that a value names."""
    known = {choice.key: choice.label or choice.key for choice in field.choices}
    return [known.get(str(each), str(each)) for each in (value if isinstance(value, list) else [value])]


def shown(fact: Fact) -> Any:
    """Return a value in words, for those kinds that are no link, no phone and no money."""
    field, value = fact.field, fact.value
    if isinstance(value, bool):
        return text("Yes") if value else text("No")
    if field.choices or isinstance(value, list):
        return formats.listed(labels(field, value))
    if field.type == "number" and isinstance(value, int | Decimal):
        return formats.number(value)
    if field.type == "date" and isinstance(value, str):
        return formats.date_in(value)
    if isinstance(value, dict):
        return msgspec.json.encode(value).decode()
    return value


def filled(found: Sequence[Group]) -> tuple[list[Group], int]:
    """Return the groups with those fields that have a value, and how many have none."""
    kept = [
        Group(group.label, facts)
        for group in found
        if (facts := [fact for fact in group.facts if fact.value is not None and fact.field.key not in IN_HEADER])
    ]
    empty = sum(fact.value is None and fact.field.key not in IN_HEADER for group in found for fact in group.facts)
    return kept, empty


def _type(value: Any) -> Any:
    """Return the type of an attribute of which nothing is said."""
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | Decimal) else "text"
