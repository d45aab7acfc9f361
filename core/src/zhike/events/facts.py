"""The platform events about customers: created, merged, updated."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from zhike.access.masking import masked
from zhike.access.roles import Rule
from zhike.customers.resolve import Resolver
from zhike.customers.traits import Cause, Draft
from zhike.events.schemas import MAX_PROPERTIES_BYTES
from zhike.events.sql import EventRows
from zhike.ids import new_message_id
from zhike.work import Work

_encode = msgspec.json.Encoder(decimal_format="number").encode
_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


def add_created(rows: EventRows, resolver: Resolver, now: datetime, protected: Collection[str]) -> None:
    """Add `customer.created` for every new customer, with its fields after the whole batch, but the protected ones."""
    for draft, cause in resolver.created:
        _add(rows, "customer.created", draft.id, resolver, cause, now, {"fields": _fields(draft, protected)})


def add_merged(rows: EventRows, resolver: Resolver, now: datetime) -> None:
    """Add `customer.merged` and `customer.history_changed` to the winner of every merge."""
    for name, reason in [("customer.merged", "anonymous"), ("customer.history_changed", "merge")]:
        for merge in resolver.merges:
            facts = {"loser_id": merge.loser_id, "reason": reason}
            _add(rows, name, merge.winner_id, resolver, merge.cause, now, facts)


def add_updated(rows: EventRows, resolver: Resolver, now: datetime, protected: Collection[str]) -> None:
    """Add one `customer.updated` for every stored customer whose fields have other values than before.

    Of protected ones it tells only that they have.
    """
    for draft in resolver.drafts.values():
        if draft.cause and not draft.new and draft.merged_into is None and (changes := _changes(draft, protected)):
            _add(rows, "customer.updated", draft.id, resolver, draft.cause, now, {"changes": changes})


def tell(work: Work, draft: Draft) -> list[str]:
    """Emit `customer.created`, or `customer.updated` if anything has changed; return the names of what has."""
    protected = work.platform.customer_fields.protected
    if draft.new:
        fields = _fields(draft, protected)
        work.emit("customer.created", draft.id, properties={"fields": fields if _fits(fields) else {}})
        return sorted({*draft.fields(), *draft.moved})
    if changes := _changes(draft, protected):
        shown = changes if _fits(changes) else {field: {} for field in changes}
        work.emit("customer.updated", draft.id, properties={"changes": shown})
    return sorted(changes)


def _fields(draft: Draft, protected: Collection[str]) -> dict[str, Any]:
    fields = draft.fields() | {name: change["new"] for name, change in draft.moved.items()}
    return {field: value for field, value in fields.items() if field not in protected}


def _changes(draft: Draft, protected: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return what has changed with `old` and `new`, or with nothing where it is protected."""
    return {field: {} if field in protected else change for field, change in draft.changes().items()}


def _fits(told: dict[str, Any]) -> bool:
    """Say whether so much may stand in an event; else it tells names only."""
    return len(_encode(told)) < MAX_PROPERTIES_BYTES - 100


def veiled(properties: str, rules: Mapping[str, Rule]) -> bytes:
    """Return the properties of one of these events as those see them who do not see all fields.

    Args:
        properties: As JSON.
        rules: Field to whether it is masked or hidden.
    """
    found = _decode(properties)
    fields, changes = found.get("fields", {}), found.get("changes", {})
    for field, rule in rules.items():
        key = field.removeprefix("attributes.")
        if rule == "hide":
            fields.pop(key, None)
            changes.pop(key, None)
        change = changes.get(key, {})
        for holder, place in [(fields, key), (change, "old"), (change, "new")]:
            if holder.get(place) is not None:
                holder[place] = masked(field, holder[place])
    return _encode(found)


def _add(
    rows: EventRows,
    name: str,
    home: int,
    resolver: Resolver,
    cause: Cause,
    now: datetime,
    properties: dict[str, Any],
) -> None:
    rows.message_ids.append(new_message_id())
    rows.names.append(name)
    rows.behaviours.append(False)
    rows.customers.append(resolver.root(home))
    rows.homes.append(home)
    rows.occurred.append(now)
    rows.amounts.append(None)
    rows.currencies.append(None)
    rows.properties.append(_encode(properties).decode())
    rows.sources.append("")
    rows.origins.append(cause.origin)
    rows.lives.append(cause.live)
    rows.imports.append(cause.import_id)
