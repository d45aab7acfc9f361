"""Writes what a unit of work has emitted, as one batch of the log."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from zhike.errors import NotFound, Unavailable
from zhike.events.sql import EventRows, insert_events
from zhike.i18n import text
from zhike.orm import Connection

PATIENCE = 2.0
"""Seconds to wait for merges in flight. A merge that waits for rows of ours goes on when we give up."""

# Who merges a customer away holds it FOR UPDATE. Not to wait for that here, but to let everything go and come again,
# keeps the server from seeing a deadlock, which it might end at the expense of the merge.
# As in ingest, no plan that was made while tables were small may read a whole one.
_BEGIN = "SET LOCAL enable_seqscan = off; SAVEPOINT hold"
_UNDO = "ROLLBACK TO SAVEPOINT hold; RELEASE SAVEPOINT hold"
_HOLD = "SELECT id, merged_into, erased_at FROM customer WHERE id = ANY($1::bigint[]) FOR KEY SHARE SKIP LOCKED"
_EXIST = "SELECT id FROM customer WHERE id = ANY($1::bigint[])"
_ERASED = 0
"""In the place of the customer somebody was merged into."""
_STORED = "SELECT message_id FROM event WHERE message_id = ANY($1::text[])"


class Emission(NamedTuple):
    """An event that waits for the end of its unit of work; its columns are those of `EventRows`, in their order.

    Args:
        message_id: Its id.
        name: Event type.
        behaviour: True if the customer did it.
        customer: Whose it is, as far as the emitter knew.
        home: The same.
        occurred_at: In UTC.
        amount: Minor units, or None.
        currency: ISO 4217 code, or None.
        properties: JSON text.
        source: Where it comes from, or "".
        origin: Who caused it.
        live: Whether it may start something.
        import_id: None.
        causation_id: The event that caused it, or None.
        depth: How many causes stand behind it.
    """

    message_id: str
    name: str
    behaviour: bool
    customer: int
    home: int
    occurred_at: datetime
    amount: int | None
    currency: str | None
    properties: str
    source: str
    origin: str
    live: bool
    import_id: None
    causation_id: int | None
    depth: int


async def hold(connection: Connection, customers: Iterable[int], *, patience: float = PATIENCE) -> dict[int, int]:
    """Keep customers from being merged away or erased until the transaction ends.

    Args:
        connection: In a transaction.
        customers: Ids; of customers merged away too.
        patience: Seconds to wait for merges in flight.

    Returns:
        Who each of them is now; those who were erased are left out.

    Raises:
        NotFound: If one of them never existed.
        Unavailable: If one of them is being merged or erased for longer than that; the same work, begun again, may
            pass.
    """
    wanted = set(customers)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    merged, missing = await _try_to_hold(connection, wanted)
    while missing:
        await connection.execute(_UNDO)
        existing = {row[0] for row in await connection.fetch(_EXIST, list(missing))}
        if unknown := missing - existing:
            raise NotFound(text("There is no customer with the id {id}", id=min(unknown)))
        if loop.time() > deadline:
            raise Unavailable(text("other requests keep changing the same customers; try again"), retry_after=1)
        await asyncio.sleep(0.01)
        merged, missing = await _try_to_hold(connection, wanted)
    winners = {}
    for customer in wanted:
        winner = customer
        while further := merged[winner]:
            winner = further
        if further != _ERASED:
            winners[customer] = winner
    return winners


async def _try_to_hold(connection: Connection, wanted: set[int]) -> tuple[dict[int, int | None], set[int]]:
    """Hold customers and those they were merged into; return who was merged into whom, and who cannot be held now."""
    await connection.execute(_BEGIN)
    merged: dict[int, int | None] = {}
    missing = wanted
    while missing:
        rows = await connection.fetch(_HOLD, list(missing))
        found = {id_: merged_into if erased_at is None else _ERASED for id_, merged_into, erased_at in rows}
        merged.update(found)
        if len(found) < len(missing):
            return merged, missing - found.keys()
        missing = {winner for winner in found.values() if winner} - merged.keys()
    return merged, missing


async def rows_of(connection: Connection, emissions: Sequence[Emission]) -> EventRows:
    """Return what of `emissions` is not stored yet as rows of the customers they belong to now; none of the erased.

    The customers stay whoever they are until the transaction ends; raises as `hold` does.
    """
    winners = await hold(connection, {each.customer for each in emissions})
    stored = {row[0] for row in await connection.fetch(_STORED, [each.message_id for each in emissions])}
    new = [
        each._replace(customer=winners[each.customer], home=winners[each.home])
        for each in emissions
        if each.message_id not in stored and each.customer in winners
    ]
    return EventRows(*map(list, zip(*new, strict=True)))


async def write(connection: Connection, emissions: Sequence[Emission], now: datetime) -> int:
    """Store events in the order they were emitted, leaving out those whose id is stored already.

    Args:
        connection: In a transaction that has not written events.
        emissions: What was emitted; nothing is stored of customers who were erased.
        now: The instant they count as recorded.

    Returns:
        How many were stored.

    Raises:
        NotFound: If a customer never existed.
        Unavailable: If others are changing the same at this moment.
    """
    rows = await rows_of(connection, emissions)
    if len(rows) and await insert_events(connection, rows, recorded_at=now, stats=any(rows.behaviours)) < len(rows):
        raise Unavailable(text("the same events are being stored at this moment; try again"), retry_after=1)
    return len(rows)
