"""The columns of the list of customers: the core's, an installation's own fields, and what plugins add."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import msgspec

from zhike.access.masking import hidden_fields, masked_fields
from zhike.conditions import service as conditions
from zhike.i18n import Text, text
from zhike.ui import formats
from zhike.ui.tables import CellKind, TableColumn

if TYPE_CHECKING:
    from zhike.contracts import Column
    from zhike.customers.field import Field
    from zhike.customers.service import Customer
    from zhike.ui import PageCall

CORE: Mapping[str, tuple[Text, CellKind]] = {
    "name": (text("Name"), "text"),
    "phone": (text("Phone"), "phone"),
    "email": (text("E-mail"), "text"),
    "company": (text("Company"), "text"),
    "stage": (text("Stage"), "badge"),
    "owner": (text("Owner"), "user"),
    "team": (text("Team"), "team"),
    "updated_at": (text("Last changed"), "instant"),
    "created_at": (text("First seen"), "instant"),
}
SORTED = frozenset({"name", "created_at"})
"""What the list can be ordered by: by all else, everybody would have to be read."""
DEFAULT = ("name", "phone", "company", "stage", "owner", "updated_at")
ATTRIBUTE = "attributes."
_KINDS: Mapping[str, CellKind] = {"number": "number", "money": "money", "date": "day", "boolean": "switch"}
_VALUES = """
SELECT {key} AS key, customer_id, array_agg({value} ORDER BY value) AS "values" FROM {relation}
WHERE customer_id = ANY($1::bigint[]) AND value IS NOT NULL GROUP BY customer_id
"""
_TAG = "jsonb_build_object('label', value, 'color', colour)::text"
_MOST_PLUGINS = 6
"""Columns of plugins that are shown at once; each is a part of one statement."""


def chosen(call: PageCall, names: Sequence[str], fields: Iterable[Field]) -> list[TableColumn]:
    """Return all columns that the reader may have, with those shown that they want.

    Args:
        call: Who reads.
        names: Keys of those to show; the usual ones when empty.
        fields: The fields of customers.
    """
    hidden, masked = hidden_fields(call.actor), masked_fields(call.actor)
    wanted = {"name", *(names or DEFAULT)}
    found: list[tuple[str, Text | str, CellKind, bool]] = [
        (name, label, kind, name in SORTED - masked) for name, (label, kind) in CORE.items()
    ]
    for field in fields:
        if not (field.built_in or field.archived):
            found.append((ATTRIBUTE + field.key, field.shown, _KINDS.get(field.type, "text"), False))
    shown = [
        TableColumn(key=key, label=label, kind=kind, sort=key if sortable else "", shown=key in wanted)
        for key, label, kind, sortable in found
        if key not in hidden
    ]
    plugins = [
        TableColumn(key=each.key, label=each.label, kind=each.kind, shown=each.key in wanted)
        for each in call.host.platform.registry.columns.values()
        if call.may(each.permission)
    ]
    return shown + plugins


async def rows(
    call: PageCall, customers: Sequence[Customer], shown: Sequence[TableColumn], fields: Mapping[str, Field]
) -> list[dict[str, Any]]:
    """Return what each customer shows in each column.

    Args:
        call: Who reads.
        customers: The customers of the page.
        shown: The columns.
        fields: The fields of customers, by key.
    """
    registered = call.host.platform.registry.columns
    plugins = [registered[each.key] for each in shown if each.shown and each.key in registered][:_MOST_PLUGINS]
    values = await _values(call, plugins, [each.id for each in customers])
    stages = labels(fields.get("stage"))
    made = []
    for customer in customers:
        row: dict[str, Any] = {name: getattr(customer, name) for name in CORE}
        row |= {"id": customer.id, "path": f"/customers/{customer.id}"}
        row["name"] = customer.name or text("Customer {id}", id=customer.id)
        row["stage"] = stages.get(customer.stage or "", customer.stage)
        attributes = msgspec.json.decode(customer.attributes)
        for column in shown:
            if column.key.startswith(ATTRIBUTE):
                key = column.key.removeprefix(ATTRIBUTE)
                row[column.key] = said(attributes.get(key), fields[key])
            elif column.key in registered:
                found = values.get((column.key, customer.id), [])
                told = formats.listed(found).render(call.locale)
                row[column.key] = [msgspec.json.decode(each) for each in found] if column.kind == "tags" else told
        made.append(row)
    return made


def said(value: Any, field: Field) -> Any:
    """Return the value of a field in words: the labels of choices, a date as a date."""
    words = labels(field)
    if isinstance(value, list):
        return formats.listed(words.get(str(each), str(each)) for each in value) if value else ""
    if isinstance(value, dict):  # money
        return value.get("amount")
    if field.type == "date" and isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            return value
    return words.get(value, value) if isinstance(value, str) else value


async def among(call: PageCall, condition: Any, ids: Sequence[int]) -> set[int]:
    """Return those of some customers for whom a condition holds, checked against what the reader sees."""
    platform = call.host.platform
    checked = conditions.check(platform, msgspec.json.encode(condition), actor=call.actor)
    async with call.db.connection() as connection:
        return await conditions.members(connection, checked, conditions.moment(platform.settings), among=ids)


async def _values(call: PageCall, plugins: Sequence[Column], ids: Sequence[int]) -> dict[tuple[str, int], list[str]]:
    if not plugins or not ids:
        return {}
    parts = [
        _VALUES.format(
            key=f"${number}::text", relation=column.relation, value=_TAG if column.kind == "tags" else "value::text"
        )
        for number, column in enumerate(plugins, start=2)
    ]
    async with call.db.connection() as connection:
        found = await connection.fetch(" UNION ALL ".join(parts), ids, *(column.key for column in plugins))
    return {(row["key"], row["customer_id"]): row["values"] for row in found}


def labels(field: Field | None) -> Mapping[str, str]:
    """Return what the choices of a field are called."""
    return {choice.key: choice.label or choice.key for choice in (field.choices if field else ())}
