"""The audit trail: a row for every write by a user, token or command, stored together with the change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from zhike.access.actor import Actor

if TYPE_CHECKING:
    from zhike.orm import Connection


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
    await connection.execute(
        "INSERT INTO audit (actor, action, object, details) VALUES ($1, $2, $3, $4)",
        actor.origin,
        action,
        subject,
        msgspec.json.encode(details).decode(),
    )
