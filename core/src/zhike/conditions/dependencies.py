"""What may change whether a condition holds for a customer: events of some names, and time alone."""

from __future__ import annotations

import msgspec

from zhike.conditions.catalog import Fields
from zhike.conditions.checked import Attribute, Checked, Column, FieldTest, Relation, leaves

TIMED = frozenset({"within_last", "anniversary"})
"""Operators whose answer depends on now."""
# Merges, their undoing and imports taken back rewrite what was. A new customer has no events and no values, which
# is what `count eq 0` and `is_not_set` ask for.
_ALWAYS = frozenset({"customer.created", "customer.merged", "customer.history_changed"})


class Dependencies(msgspec.Struct, frozen=True):
    """When a condition has to be evaluated again.

    Args:
        events: Names of the events after which it may have changed for their customer. `customer.merged` tells of
            the loser as well: nothing holds for a customer merged away.
        any_behaviour: Whether every behaviour is one of them.
        timed: Whether it may change while nothing happens, for the customers that `compile_edges` finds.
    """

    events: frozenset[str]
    any_behaviour: bool
    timed: bool


def dependencies(checked: Checked, fields: Fields) -> Dependencies:
    """Return what a condition depends on.

    Args:
        checked: The condition.
        fields: The fields of the installation, by which it was checked.
    """
    events = set(_ALWAYS)
    any_behaviour = timed = False
    for leaf in leaves(checked):
        match leaf:
            case FieldTest(field=Relation() as relation):
                events.update(fields.known(leaf.key, leaf.path).changed_by)
                timed |= relation.history or leaf.comparison.op in TIMED
            case FieldTest(field=Column() | Attribute() as field):
                events.add("customer.updated")
                # A behaviour that says again what is known is the latest word, though it changes no field.
                any_behaviour |= field == Column("updated_at", "instant")
                timed |= leaf.comparison.op in TIMED
            case FieldTest():
                raise TypeError(f"{leaf.path} is not about a customer")
            case _:
                events.update(leaf.measure.events)
                any_behaviour |= not leaf.measure.events
                timed = True  # events are stored up to a day before their time comes
    return Dependencies(frozenset(events), any_behaviour, timed)
