"""Identity and events alone on one connection: what a pipeline without stats, log and rules would do."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from zhike_limits.events import Columns
from zhike_limits.sql import NEW_CUSTOMERS, STORE, Pool

# The statement of the whole ingest up to the stats, which it does not keep.
STORE_EVENTS = f"{STORE.partition('), stat AS (')[0]}) SELECT count(*) FILTER (WHERE behaviour) FROM stored"


async def identity_and_events(pool: Pool, load: list[Columns]) -> float:
    """Store new batches one after the other, a transaction each, and return events per second."""
    now = datetime.now(UTC)
    stored = 0
    async with pool.acquire() as connection:
        begun = time.perf_counter()
        for b in load:
            async with connection.transaction():
                made = [record[0] for record in await connection.fetch(NEW_CUSTOMERS, b.identity)]
                values = (b.message_id, b.name, b.identity, b.occurred_at, b.amount, b.currency)
                stored += await connection.fetchval(STORE_EVENTS, *values, b.properties, b.source, made, now)
        seconds = time.perf_counter() - begun
    assert stored == sum(len(batch.name) for batch in load)
    return stored / seconds
