"""The audit trail: a row for every write by a user, token or command, stored together with the change."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

import msgspec

from zhike.access.actor import Actor
from zhike.orm import Connection

_SALT_BYTES = 16
# The digest is of the text as it comes back from jsonb, which orders keys its own way.
_RECORD = """
INSERT INTO audit (actor, action, object, details, salt, digest)
SELECT $1, $2, object, details, salt, sha256(salt || convert_to(details::text, 'UTF8'))
FROM (
  SELECT object, details::jsonb, salt
  FROM unnest($3::text[], $4::text[], $5::bytea[]) WITH ORDINALITY AS n (object, details, salt, place) ORDER BY place
) AS n
"""
_CLEAR = "UPDATE audit SET details = NULL, salt = NULL WHERE object = ANY($1::text[]) AND details IS NOT NULL"


async def record(
    connection: Connection,
    actor: Actor,
    action: str,
    subject: str,
    details: Mapping[str, object],
) -> None:
    """Write one audit row inside the caller's transaction, so that it stands exactly if the change does.

    Args:
        connection: A connection within the transaction that makes the change.
        actor: Who made it.
        action: What was done, such as `token.create`.
        subject: What it was done to, such as `token:7`.
        details: Further facts; never a secret.
    """
    await record_many(connection, actor, action, [(subject, details)])


async def record_many(
    connection: Connection, actor: Actor, action: str, changes: Iterable[tuple[str, Mapping[str, object]]]
) -> None:
    """Write a row for each of many changes of one kind in one statement, as `record` does.

    Args:
        connection: A connection within the transaction that makes the changes.
        actor: Who made them.
        action: What was done.
        changes: What it was done to, with further facts, in the order it happened.
    """
    rows = [(subject, msgspec.json.encode(details).decode(), os.urandom(_SALT_BYTES)) for subject, details in changes]
    if rows:
        await connection.execute(_RECORD, actor.origin, action, *map(list, zip(*rows, strict=True)))


async def clear(connection: Connection, objects: Iterable[str]) -> None:
    """Forget the details of all rows about some objects, such as `customer:7`; the chain stays whole.

    Args:
        connection: Within a transaction.
        objects: As they were given to `record`.
    """
    await connection.execute(_CLEAR, list(objects))
