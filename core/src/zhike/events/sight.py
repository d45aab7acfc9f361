"""Which events an actor sees: types may need a permission of their own besides that for a customer's timeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zhike.access.actor import Actor
from zhike.access.roles import CONDITIONS_COUNT, CUSTOMERS_READ, Scope
from zhike.access.scope import visible_customers
from zhike.registry import Registry

_GUARD = """
AND (e.name <> ALL ({place}::text[])
  OR EXISTS (SELECT FROM customer AS c WHERE c.id = e.customer_id AND {visible}))
"""
_WIDTHS: tuple[Scope | None, ...] = (None, "own", "team", "all")


def seen(actor: Actor, registry: Registry, values: list[Any]) -> str:
    """Return the SQL predicate over `event AS e` that leaves out what `actor` does not see; "" if they see all.

    Args:
        actor: Who reads.
        registry: Knows the types that need a permission.
        values: What the statement binds after its first place; names are added to it.
    """
    sql = ""
    for permission, names in _guarded(registry).items():
        if actor.scope(permission) != "all":
            values.append(names)
            sql += _GUARD.format(place=f"${len(values) + 1}", visible=visible_customers(actor, "c", permission))
    return sql


def unseen(actor: Actor, registry: Registry) -> Mapping[str, bool]:
    """Return the names of events that `actor` may not ask about, each with whether it is a behaviour.

    Args:
        actor: Who asks; their permission for a type must reach as far as those they ask with.
        registry: Knows the types that need a permission.
    """
    reach = max(_WIDTHS.index(actor.scope(key)) for key in (CUSTOMERS_READ, CONDITIONS_COUNT))
    return {
        name: kind.kind == "behaviour"
        for kind in registry.event_types.values()
        if kind.permission is not None and _WIDTHS.index(actor.scope(kind.permission)) < max(reach, 1)
        for name in (kind.name, *kind.replaces)
    }


def _guarded(registry: Registry) -> dict[str, list[str]]:
    """Return permissions that types need, with the names of these and of what they replace."""
    found: dict[str, list[str]] = {}
    for kind in registry.event_types.values():
        if kind.permission is not None:
            found.setdefault(kind.permission, []).extend((kind.name, *kind.replaces))
    return found
