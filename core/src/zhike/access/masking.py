"""Which fields of a customer an actor sees masked or not at all, and what is shown instead of their values.

A field is a column (`phone`), an attribute (`attributes.city`) or the identities of a namespace
(`identities.wecom_unionid`), which those of a namespace that is called like a column share with it. A role masks some
and hides others; of the shipped ones, viewer sees `phone` and `email` masked, and a role nobody knows sees as little.

Whoever sees a field masked or not at all may not ask about it either: its values must not be learned by searching,
counting or sorting. The one exception is the lookup of a whole phone number that is masked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zhike.access.actor import Actor
from zhike.access.roles import CUSTOMERS_READ, RULES, Rule

HIDDEN = "****"
COLUMNS = frozenset({"name", "phone", "email", "company", "stage", "owner", "team"})
"""The columns of a customer that a role may mask or hide."""
_SHORTEST_SHOWN = 11  # of a shorter number, seven shown digits would leave too little to guess


def rules_of(actor: Actor) -> Mapping[str, Rule]:
    """Return the fields that `actor` does not see whole; commands and the system see all."""
    if actor.unbound:
        return {}
    return RULES.get(actor.role, RULES["viewer"]) if actor.rules is None else actor.rules


def masked_fields(actor: Actor) -> frozenset[str]:
    """Return the fields that `actor` sees masked or not at all, and so may not ask about."""
    return frozenset(rules_of(actor))


def hidden_fields(actor: Actor) -> frozenset[str]:
    """Return the fields that `actor` does not see at all: answers leave them out."""
    return frozenset(field for field, rule in rules_of(actor).items() if rule == "hide")


def unshown_fields(actor: Actor) -> frozenset[str]:
    """Return the fields of which `actor` does not even see whether there is a value."""
    return hidden_fields(actor) | (masked_fields(actor) & {"owner", "team"})


def sees_all(actor: Actor) -> bool:
    """Return whether nothing of any customer is kept from `actor`: then they may see what quotes anything."""
    return not rules_of(actor) and actor.scope(CUSTOMERS_READ) == "all"


def field_of(namespace: str) -> str:
    """Return the field that the identities of a namespace belong to."""
    return namespace if namespace in COLUMNS else f"identities.{namespace}"


def masked(field: str, value: Any) -> str | None:
    """Return what is shown instead of a value: `138****0000`, `a***@example.com`, or nothing of it.

    Args:
        field: A field that is masked for the reader.
        value: The whole value; None, which stands for no value, is shown.
    """
    if value is None:
        return None
    if field == "phone" and isinstance(value, str):
        number = value.removeprefix("+86")
        return f"{number[:3]}{HIDDEN}{number[-4:]}" if len(number) >= _SHORTEST_SHOWN else HIDDEN
    local, at, domain = str(value).rpartition("@")
    return f"{local[:1]}***@{domain}" if field == "email" and at else HIDDEN
