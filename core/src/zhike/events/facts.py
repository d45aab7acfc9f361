"""The platform events about customers that ingest records: created, merged, updated."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from zhike.access.masking import masked
from zhike.customers.resolve import Resolver
from zhike.customers.traits import Cause
from zhike.events.sql import EventRows
from zhike.ids import new_message_id

_encode = msgspec.json.Encoder(decimal_format="number").encode
_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


def add_created(rows: EventRows, resolver: Resolver, now: datetime) -> None:
    """Add `customer.created` for every new customer, with its fields after the whole batch."""
    for draft, cause in resolver.created:
        _add(rows, "customer.created", draft.id, resolver, cause, now, {"fields": draft.fields()})


def add_merged(rows: EventRows, resolver: Resolver, now: datetime) -> None:
    """Add `customer.merged` and `customer.history_changed` to the winner of every merge."""
    for name, reason in [("customer.merged", "anonymous"), ("customer.history_changed", "merge")]:
        for winner, loser, cause in resolver.merges:
            _add(rows, name, winner, resolver, cause, now, {"loser_id": loser, "reason": reason})


def add_updated(rows: EventRows, resolver: Resolver, now: datetime) -> None:
    """Add one `customer.updated` for every stored customer whose fields have other values than before."""
    for draft in resolver.drafts.values():
        if draft.cause and not draft.new and draft.merged_into is None and (changes := draft.changes()):
            _add(rows, "customer.updated", draft.id, resolver, draft.cause, now, {"changes": changes})


def veiled(properties: str, hidden: Collection[str]) -> bytes:
    """Return the properties of one of these events with what they say about some fields masked.

    Args:
        properties: As JSON.
        hidden: The fields.
    """
    found = _decode(properties)
    fields, changes = found.get("fields", {}), found.get("changes", {})
    for field in hidden:
        change = changes.get(field, {})
        for holder, key in [(fields, field), (change, "old"), (change, "new")]:
            if isinstance(value := holder.get(key), str):
                holder[key] = masked(field, value)
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
