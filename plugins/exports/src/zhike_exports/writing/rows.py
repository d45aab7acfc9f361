"""A customer or an event as the members of a row."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
from asyncpg import Record

from zhike.access.masking import field_of, masked, rules_of
from zhike.customers.identities import order
from zhike.customers.service import Customer
from zhike.money import to_major
from zhike_exports.writing.columns import CUSTOMER, EVENT, ID

if TYPE_CHECKING:
    from zhike.access.actor import Actor

_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


class Names(msgspec.Struct, frozen=True):
    """What owners and teams are called.

    Args:
        owners: Login by id.
        teams: Name by id.
    """

    owners: Mapping[int, str]
    teams: Mapping[int, str]


def customer_members(customer: Customer, names: Names) -> dict[str, Any]:
    """Return a customer as a line of JSON, with owner and team by name: what an import takes."""
    members: dict[str, Any] = {ID: customer.id, "identities": customer.identities}
    members |= {field: getattr(customer, field) for field in CUSTOMER}
    members["owner"] = names.owners.get(customer.owner or 0)
    members["team"] = names.teams.get(customer.team or 0)
    members["attributes"] = customer.attributes
    return members


def customer_cells(members: Mapping[str, Any], fields: Collection[str]) -> list[Any]:
    """Return the values of some columns: members, namespaces of identities, and else attributes."""
    attributes = _decode(members["attributes"])
    found = []
    for field in fields:
        if field in members and field not in {"attributes", "identities"}:
            value = members[field]
        elif field.startswith("identity:"):
            value = next(iter(members["identities"].get(field.removeprefix("identity:"), ())), None)
        else:
            value = attributes.get(field.removeprefix("attribute:"))
        found.append(value.isoformat() if field in {"created_at", "updated_at"} else value)
    return found


def event_members(row: Record, actor: Actor) -> dict[str, Any]:
    """Return an event as a line of JSON: what `POST /events` and an import take."""
    rules = rules_of(actor)
    identities: dict[str, Any] = {}
    for namespace, value in sorted(row["identities"] or (), key=lambda pair: (order(pair[0]), pair[1])):
        field = field_of(namespace)
        if rules.get(field) != "hide":
            identities.setdefault(namespace, masked(field, value) if field in rules else value)
    amount = None if row["amount"] is None else to_major(row["amount"], row["currency"])
    members = {
        "name": row["name"],
        "message_id": row["message_id"],
        "occurred_at": row["occurred_at"],
        "identities": identities,
        "amount": amount,
        "currency": row["currency"],
        "properties": msgspec.Raw(row["properties"].encode()),
        "source": row["source"],
    }
    return {name: value for name, value in members.items() if value is not None}


def event_cells(members: Mapping[str, Any], fields: Collection[str]) -> list[Any]:
    """Return the values of some columns: members, namespaces of identities, and else properties."""
    properties = _decode(members["properties"])
    found = []
    for field in fields:
        if field.startswith("identity:"):
            value = members["identities"].get(field.removeprefix("identity:"))
        elif field == "properties":
            value = properties
        else:
            value = members.get(field) if field in EVENT else properties.get(field.removeprefix("property:"))
        found.append(value.isoformat() if field == "occurred_at" else value)
    return found
