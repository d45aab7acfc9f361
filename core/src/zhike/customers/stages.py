"""What stages a customer had, and where the values of its fields come from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from zhike.access.actor import Actor
from zhike.access.masking import hidden_fields, masked_fields
from zhike.customers.field import BUILT_IN
from zhike.customers.service import visible_winner
from zhike.orm import Database

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STAGES = "SELECT value, valid_from, valid_to FROM customer_stage WHERE customer_id = $1 ORDER BY valid_from, id"
_PROVENANCE = "SELECT provenance::text FROM customer WHERE id = $1"


class Stage(msgspec.Struct, frozen=True):
    """A stage that a customer had for a while.

    Args:
        value: The stage; null for none.
        valid_from: Since when.
        valid_to: Until when; null while it lasts.
    """

    value: str | None
    valid_from: datetime
    valid_to: datetime | None


class Stages(msgspec.Struct, frozen=True):
    """The history of a customer's stage.

    Args:
        items: The earliest first.
    """

    items: list[Stage]


class Origin(msgspec.Struct, frozen=True):
    """Who said last what a field is.

    Args:
        field: The field; attributes as `attributes.<key>`.
        source: Who said so; "" where nobody is named.
        at: When it was so.
        rank: The place of the source among those that the field ranks, from 1; null if it is not among them.
    """

    field: str
    source: str
    at: datetime
    rank: int | None


class Origins(msgspec.Struct, frozen=True):
    """Where a customer's fields come from.

    Args:
        items: By field; also those that were taken away.
    """

    items: list[Origin]


async def stages(db: Database, actor: Actor, customer_id: int) -> Stages:
    """Return the history of a customer's stage; for one merged away, the winner's.

    Raises:
        NotFound: If there is no such customer, or `actor` does not see them.
    """
    async with db.connection() as connection:
        found = await visible_winner(connection, actor, customer_id)
        rows = [] if "stage" in masked_fields(actor) else await connection.fetch(_STAGES, found)
    return Stages([Stage(*row) for row in rows])


async def provenance(db: Database, actor: Actor, customer_id: int, ranked: Mapping[str, Mapping[str, int]]) -> Origins:
    """Return where a customer's fields come from; for one merged away, the winner's.

    Raises:
        NotFound: If there is no such customer, or `actor` does not see them.
    """
    async with db.connection() as connection:
        stored = await connection.fetchval(_PROVENANCE, await visible_winner(connection, actor, customer_id))
    return Origins(origins_of(stored, actor, ranked))


def origins_of(stored: str, actor: Actor, ranked: Mapping[str, Mapping[str, int]]) -> list[Origin]:
    """Return what the column `provenance` says, without the fields that are hidden from `actor`."""
    hidden, items = hidden_fields(actor), []
    for key, (source, instant) in sorted(msgspec.json.decode(stored, type=dict[str, tuple[str, int]]).items()):
        field = key if key in BUILT_IN else f"attributes.{key}"
        if field not in hidden:
            at, rank = _EPOCH + timedelta(milliseconds=instant), ranked.get(key, {}).get(source)
            items.append(Origin(field, source, at, None if rank is None else rank + 1))
    return items
