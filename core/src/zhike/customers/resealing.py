"""Seals the values of encrypted fields with the newest data key."""

from __future__ import annotations

import msgspec

from zhike.customers.sealing import context, is_sealed
from zhike.orm import Connection
from zhike.vault import Keys

_ENCRYPTED = "SELECT key FROM customer_field WHERE encrypted"
_LAST = "SELECT max(id) FROM customer"
_ROWS = """
SELECT id, attributes FROM customer WHERE id > $1 AND id <= $2 AND attributes ?| $3::text[]
ORDER BY id FOR NO KEY UPDATE
"""
_UPDATE = "UPDATE customer SET attributes = attributes || $2::jsonb WHERE id = $1"


async def reseal(connection: Connection, keys: Keys, after: int, limit: int) -> int | None:
    """Do so for the customers with the next ids; see `zhike.vault.Reseal`."""
    fields = [row["key"] for row in await connection.fetch(_ENCRYPTED)]
    if not fields or after >= (await connection.fetchval(_LAST) or 0):
        return None
    for row in await connection.fetch(_ROWS, after, after + limit, fields):
        attributes = msgspec.json.decode(row["attributes"])
        changed = {}
        for key in fields:
            if is_sealed(value := attributes.get(key)) and (sealed := keys.reseal(value["sealed"], context(key))):
                changed[key] = value | {"sealed": sealed}
        if changed:
            await connection.execute(_UPDATE, row["id"], msgspec.json.encode(changed).decode())
    return after + limit
