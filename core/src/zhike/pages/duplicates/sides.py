"""Customers side by side: one line for each field of which one of them has a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from zhike.access.masking import masked_fields
from zhike.i18n import Text, text
from zhike.pages.customers.columns import ATTRIBUTE, CORE, said
from zhike.ui.tables import CellKind

if TYPE_CHECKING:
    from zhike.customers.field import Field
    from zhike.customers.service import Customer
    from zhike.ui import PageCall

KINDS: Mapping[str, Text] = {"person": text("Person"), "company": text("Company")}
_BRIEF = frozenset(
    {"name", "phone", "email", "company", "stage", "owner", "created_at", "attributes.birthday", "attributes.city"}
)


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What some customers have in one field.

    Args:
        field: Its name, as the API has it.
        label: Its name for people.
        kind: How a value is drawn.
        values: Of each customer; None where there is none.
        same: Whether they have the same, as far as the reader may know.
    """

    field: str
    label: Text | str
    kind: CellKind
    values: Sequence[Any]
    same: bool


def name_of(customer: Customer) -> Text | str:
    """Return what a customer is called, also one without a name."""
    return customer.name or text("Customer {id}", id=customer.id)


def brief(call: PageCall, customers: Sequence[Customer], fields: Mapping[str, Field]) -> list[Line]:
    """Return what is looked at first to say whether customers are one; see `whole`."""
    return [line for line in whole(call, customers, fields) if line.field in _BRIEF]


def whole(call: PageCall, customers: Sequence[Customer], fields: Mapping[str, Field]) -> list[Line]:
    """Return all that customers have.

    Args:
        call: Who reads.
        customers: As the reader is shown them.
        fields: The fields of customers, by key.
    """
    lines = []
    for key, (label, kind) in CORE.items():
        stored = [getattr(each, key) for each in customers]
        values = [said(each, fields[key]) for each in stored] if key in fields else stored
        drawn: CellKind = "text" if kind == "badge" else kind
        if key != "updated_at":
            lines.append(_line(call, key, fields[key].shown if key in fields else label, drawn, values, stored))
    attributes = [msgspec.json.decode(each.attributes, type=dict[str, Any]) for each in customers]
    known = [key for key, field in fields.items() if not field.built_in]
    others = sorted({key for each in attributes for key in each} - set(known))
    for key in (*known, *others):
        stored = [each.get(key) for each in attributes]
        field = fields.get(key)
        values = [each if field is None or each is None else said(each, field) for each in stored]
        date = field is not None and field.type == "date" and not any(isinstance(each, str) for each in values)
        lines.append(
            _line(
                call, ATTRIBUTE + key, key if field is None else field.shown, "day" if date else "text", values, stored
            )
        )
    return [line for line in lines if any(value is not None for value in line.values)]


def _line(
    call: PageCall, key: str, label: Text | str, kind: CellKind, values: Sequence[Any], stored: Sequence[Any]
) -> Line:
    # Of values that are masked nobody is told whether they are the same.
    same = key not in masked_fields(call.actor) and stored[0] is not None and all(each == stored[0] for each in stored)
    return Line(field=key, label=label, kind=kind, values=values, same=same)
