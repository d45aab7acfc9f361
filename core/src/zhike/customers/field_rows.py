"""Stores fields of customers, and looks what values of them are in use."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from asyncpg import Record

from zhike.customers.field import BUILT_IN, Choice, Field
from zhike.errors import Conflict
from zhike.i18n import text
from zhike.orm import Connection

LOCK = "SELECT * FROM customer_field WHERE key = $1 FOR UPDATE"
_WRITE = """
INSERT INTO customer_field
  (key, label, type, choices, currency, help, group_name, position, sources, encrypted, archived_at, version,
   created_at, updated_at)
VALUES ($1, $2, $3, $4::jsonb, $5, $6, $7, $8, $9, $10, CASE WHEN $11 THEN $13::timestamptz END, $12, $13, $13)
ON CONFLICT (key) DO UPDATE SET
  label = $2, type = $3, choices = $4::jsonb, currency = $5, help = $6, group_name = $7, position = $8, sources = $9,
  encrypted = $10, archived_at = CASE WHEN $11 THEN coalesce(customer_field.archived_at, $13) END, version = $12,
  updated_at = $13
WHERE customer_field.version = $12 - 1
RETURNING 1
"""
_IN_USE = "SELECT count(*) FROM customer WHERE attributes ? $1"
_CHOSEN_IN_USE = "SELECT count(*) FROM customer WHERE attributes -> $1 ?| $2"
_STAGES_IN_USE = "SELECT count(*) FROM customer WHERE stage = ANY($1)"


def field_of(row: Record) -> Field:
    """Return the field in a row of `customer_field`."""
    values: dict[str, Any] = {
        name: row[name] for name in ("key", "label", "type", "currency", "help", "position", "encrypted", "version")
    }
    return Field(
        **values,
        choices=msgspec.json.decode(row["choices"], type=tuple[Choice, ...]),
        group=row["group_name"],
        sources=tuple(row["sources"]),
        archived=row["archived_at"] is not None,
        built_in=row["key"] in BUILT_IN,
    )


async def check_use(connection: Connection, before: Field, after: Field) -> None:
    """Refuse what values that are in use would not fit."""
    if (before.type, before.currency, before.encrypted) != (after.type, after.currency, after.encrypted):
        await require_unused(connection, before.key)
    elif gone := before.keys - after.keys:
        if before.built_in:
            count = await connection.fetchval(_STAGES_IN_USE, list(gone))
        else:
            count = await connection.fetchval(_CHOSEN_IN_USE, before.key, list(gone))
        if count:
            what = text(
                "{count} {count:customer has|customers have} one of the choices {gone}; archive it",
                count=count,
                gone=", ".join(sorted(gone)),
            )
            raise Conflict(what, code="in_use")


async def require_unused(connection: Connection, key: str) -> None:
    """Refuse what no value of a field would fit, if there are any."""
    if count := await connection.fetchval(_IN_USE, key):
        what = text(
            "{count} {count:customer has|customers have} a value of {key}, which would not fit any more",
            count=count,
            key=key,
        )
        raise Conflict(what, code="in_use")


async def write(connection: Connection, field: Field, now: datetime) -> bool:
    """Store a field at its version; return false if somebody else has it at that one already."""
    choices = msgspec.json.encode(field.choices).decode()
    values = (field.label, field.type, choices, field.currency, field.help, field.group, field.position)
    state = (list(field.sources), field.encrypted, field.archived, field.version, now)
    return await connection.fetchval(_WRITE, field.key, *values, *state) is not None
