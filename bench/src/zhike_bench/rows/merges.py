"""Row N2: merging two customers."""

from __future__ import annotations

import time

from zhike.access.actor import Actor
from zhike.customers.merging import MergeRequest, merge
from zhike.work import begin
from zhike_bench.bars import Row
from zhike_bench.engines import make_platform
from zhike_bench.pairs import interleave
from zhike_bench.stage import Stage
from zhike_limits import sql

MERGES = 20
EVENTS = 564
"""Events of a loser: those of an active customer's year."""
_TOTALS = """
INSERT INTO customer_event_stat (customer_id, name, currency, count, sum, first_at, last_at)
SELECT customer_id, coalesce(name, '*'), '', count(*), 0, min(occurred_at), max(occurred_at)
FROM event WHERE customer_id = ANY($1::bigint[])
GROUP BY GROUPING SETS ((customer_id, name), (customer_id))
ON CONFLICT (customer_id, name, currency) DO UPDATE SET count = excluded.count
"""


async def n2(stage: Stage) -> list[tuple[str, Row]]:
    """Merges of customers with 564 events each, against the UPDATE of as many rows of the same customers."""
    db, pool = await stage.db(), await stage.pool()
    platform, actor = make_platform(stage.settings, db), Actor.command("bench")
    merges = stage.leg(MERGES)
    legs = [_pairs(stage.customer(2 * merges), merges) for _ in range(stage.pairs + 1)]

    async def product(number: int) -> float:
        pairs = legs[number]
        losers = [loser for loser, _ in pairs]
        async with stage.owner() as connection:
            await sql.visit(connection, losers, EVENTS)
            await connection.execute(_TOTALS, losers)
        begun = time.perf_counter()
        for loser, winner in pairs:
            async with begin(platform, origin=actor.origin) as work:
                await merge(work, actor, MergeRequest(winner=winner, losers=[loser]))
        return (time.perf_counter() - begun) * 1000 / merges

    async def limit(number: int) -> float:
        pairs = legs[number]
        async with pool.acquire() as connection:
            await sql.visit(connection, [loser for loser, _ in pairs], EVENTS)
        return await sql.move(pool, pairs) * 1000 / merges

    return [("", await interleave("N2", stage.scale, stage.pairs, product, limit))]


def _pairs(first: int, merges: int) -> list[tuple[int, int]]:
    """Return losers and winners, neighbours from one customer on."""
    return [(each, each + 1) for each in range(first, first + 2 * merges, 2)]
