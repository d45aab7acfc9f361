"""What an actor is shown of a customer: fields masked or left out, by the rules of their role."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from zhike.access.masking import COLUMNS, field_of, masked, rules_of
from zhike.access.roles import Rule

if TYPE_CHECKING:
    from zhike.access.actor import Actor
    from zhike.customers.service import Customer

ATTRIBUTES = "attributes."


def shown(actor: Actor, customer: Customer) -> Customer:
    """Return a customer as `actor` is shown it: pages, API, exports and files alike.

    A hidden column is null, hidden attributes and identities are absent; what stands for a masked value says
    `zhike.access.masking.masked`, and a masked owner or team is null.

    Args:
        actor: Who is shown it.
        customer: The whole customer.
    """
    rules = rules_of(actor)
    if not rules:
        return customer
    changes: dict[str, Any] = {"identities": dict(_identities(customer.identities, rules))}
    for field in COLUMNS & rules.keys():
        value = getattr(customer, field)
        changes[field] = masked(field, value) if rules[field] == "mask" and isinstance(value, str) else None
    if any(field.startswith(ATTRIBUTES) for field in rules):
        attributes = msgspec.json.decode(customer.attributes, type=dict[str, msgspec.Raw])
        changes["attributes"] = msgspec.Raw(msgspec.json.encode(ruled(attributes, rules)))
    return msgspec.structs.replace(customer, **changes)


def ruled(attributes: Mapping[str, Any], rules: Mapping[str, Rule]) -> dict[str, Any]:
    """Return attributes without those that are hidden, and with what stands for those that are masked."""
    return {
        key: masked(rule_key, value) if (rule_key := ATTRIBUTES + key) in rules else value
        for key, value in attributes.items()
        if rules.get(ATTRIBUTES + key) != "hide"
    }


def _identities(identities: Mapping[str, list[str]], rules: Mapping[str, Rule]) -> list[tuple[str, list[str]]]:
    """Return namespaces with their values, as far as they are shown."""
    found = []
    for namespace, values in identities.items():
        field = field_of(namespace)
        rule = rules.get(field)
        if rule is None:
            found.append((namespace, values))
        elif rule == "mask":
            found.append((namespace, [str(masked(field, value)) for value in values]))
    return found
