"""Which fields of a customer a role sees masked, and what is shown instead of their values.

| role                  | sees masked         |
|-----------------------|---------------------|
| admin, manager, agent | nothing             |
| viewer                | `phone` and `email` |

A role nobody knows sees as little as any. Whoever sees a field masked may not ask about it either: its values must
not be learned by searching, counting or sorting. The one exception is the lookup of a whole phone number.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from zhike.access.actor import Actor

HIDDEN = "****"
_SHORTEST_SHOWN = 11  # of a shorter number, seven shown digits would leave too little to guess

MASKED: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "admin": frozenset(),
        "manager": frozenset(),
        "agent": frozenset(),
        "viewer": frozenset({"phone", "email"}),
    }
)
"""Name of a role to the fields it sees masked: columns of a customer, and the identities of the same name."""


def masked_fields(actor: Actor) -> frozenset[str]:
    """Return the fields of customers that `actor` sees masked; commands and the system see all."""
    if actor.kind in {"command", "system"}:
        return frozenset()
    return MASKED.get(actor.role, frozenset().union(*MASKED.values()))


def masked(field: str, value: str) -> str:
    """Return what is shown instead of a value: `138****0000`, `a***@example.com`, or nothing of it.

    Args:
        field: A field that is masked for the reader.
        value: The whole value.
    """
    if field == "phone":
        number = value.removeprefix("+86")
        return f"{number[:3]}{HIDDEN}{number[-4:]}" if len(number) >= _SHORTEST_SHOWN else HIDDEN
    local, at, domain = value.rpartition("@")
    return f"{local[:1]}***@{domain}" if field == "email" and at else HIDDEN
