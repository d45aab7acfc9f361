"""Raw SQL over the reference schema: what the same work costs without a product around it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import msgspec

from zhike_limits.events import NAMESPACE, Columns

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

SCHEMA = Path(__file__).with_name("schema.sql")
CONNECTIONS = 4

# $1 customers, known by external_id c1 .. c<n>; every fifth one has a phone as well.
SEED_CUSTOMERS = (
    """
    INSERT INTO customer (id, name, attributes)
    SELECT n, 'Customer ' || n, jsonb_build_object('city', 'city' || n % 50)
    FROM generate_series(1, $1::bigint) n
    """,
    f"""
    INSERT INTO identity (namespace, value, customer_id, home_customer_id)
    SELECT '{NAMESPACE}', 'c' || n, n, n FROM generate_series(1, $1::bigint) n
    UNION ALL
    SELECT 'phone', '+86138' || lpad(n::text, 8, '0'), n, n FROM generate_series(5, $1::bigint, 5) n
    """,
)
# $1 events of $2 customers over 400 days, in batches of 1000; a tenth of them belongs to the first hundredth
# of the customers, who so have ten times as many as the others on average.
SEED_EVENTS = """
    INSERT INTO event (
      batch_id, message_id, name, behaviour, customer_id, home_customer_id, shard, occurred_at, recorded_at,
      amount, currency, properties, source, origin, live
    )
    SELECT -(n / 1000) - 1, 'seed-' || md5(n::text),
           (ARRAY['page.view', 'app.login', 'order.paid', 'cart.added'])[n % 4 + 1], true, c, c, c % 64,
           at, at, CASE WHEN n % 4 = 2 THEN n % 90000 END, CASE WHEN n % 4 = 2 THEN 'CNY' END,
           jsonb_build_object('path', '/p/' || n / 4 % 500, 'device', 'ios', 'quantity', n % 7), 'web', 'system', true
    FROM (SELECT n, CASE WHEN n % 10 = 0 THEN 1 + n / 10 % ($2::bigint / 100) ELSE 1 + n * 7919 % $2 END AS c,
                 now() - (n * 6343 % 34560000) * interval '1 second' AS at
          FROM generate_series(1, $1::bigint) n) seed
"""

# Unknown identities become customers. Sorted, and committed rows of others win, so batches never deadlock.
NEW_CUSTOMERS = f"""
    WITH missing AS MATERIALIZED (
      SELECT DISTINCT value FROM unnest($1::text[]) AS given (value)
      WHERE (SELECT customer_id FROM identity WHERE namespace = '{NAMESPACE}' AND value = given.value) IS NULL
      ORDER BY value
    ), fresh AS MATERIALIZED (
      SELECT value, nextval(pg_get_serial_sequence('customer', 'id')) AS id FROM missing
    ), attached AS (
      INSERT INTO identity (namespace, value, customer_id, home_customer_id)
      SELECT '{NAMESPACE}', value, id, id FROM fresh ON CONFLICT DO NOTHING RETURNING customer_id
    )
    INSERT INTO customer (id) SELECT customer_id FROM attached RETURNING id
"""
_EVENT_COLUMNS = """batch_id, message_id, name, behaviour, customer_id, home_customer_id, shard, occurred_at,
    recorded_at, amount, currency, properties, source, origin, live"""
_GIVEN = """unnest($1::text[], $2::text[], {third}, $4::timestamptz[], $5::bigint[], $6::text[], $7::jsonb[],
      $8::text[])"""
_REST = "occurred_at, amount, currency, properties, source"
# The LIMIT 1 keeps the planner from reading the whole of identity when that is small.
# One statement: join with identity, the batch row, the events that are not there yet, and the stats of those.
# $9 are the customers NEW_CUSTOMERS made; each gets its customer.created.
STORE = f"""
    WITH item AS MATERIALIZED (
      SELECT e.message_id, e.name, true AS behaviour, i.customer_id, i.home_customer_id, e.occurred_at,
             e.amount, e.currency, e.properties, e.source
      FROM {_GIVEN.format(third="$3::text[]")} AS e (message_id, name, identity, {_REST})
      JOIN LATERAL (
        SELECT * FROM identity WHERE namespace = '{NAMESPACE}' AND value = e.identity LIMIT 1
      ) i ON true
      UNION ALL
      SELECT gen_random_uuid()::text, 'customer.created', false, id, id, $10::timestamptz, NULL, NULL, '{{}}',
             ''
      FROM unnest($9::bigint[]) id
    ), batch AS (
      INSERT INTO log_batch (names, shards, size)
      SELECT array_agg(DISTINCT name), bit_or(1::bigint << (home_customer_id % 64)::int), count(*) FROM item
      RETURNING batch_id
    ), stored AS (
      INSERT INTO event ({_EVENT_COLUMNS})
      SELECT batch_id, message_id, name, behaviour, customer_id, home_customer_id, home_customer_id % 64,
             occurred_at, $10, amount, currency, properties, source, 'token:1', true
      FROM item, batch
      ON CONFLICT (message_id) DO NOTHING
      RETURNING customer_id, name, behaviour, amount, currency, occurred_at
    ), stat AS (
      INSERT INTO customer_event_stat AS s (customer_id, name, currency, count, sum, first_at, last_at)
      SELECT customer_id, n.name, coalesce(currency, ''), count(*), coalesce(sum(amount), 0),
             min(occurred_at), max(occurred_at)
      FROM stored, LATERAL (VALUES (stored.name), ('*')) n (name)
      WHERE behaviour
      GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
      ON CONFLICT (customer_id, name, currency) DO UPDATE SET
        count = s.count + excluded.count, sum = s.sum + excluded.sum,
        first_at = least(s.first_at, excluded.first_at), last_at = greatest(s.last_at, excluded.last_at)
    )
    SELECT count(*) FILTER (WHERE behaviour) FROM stored
"""
# The event rows alone: customers are given as numbers, nothing is resolved and nothing is counted.
INSERT_EVENTS = f"""
    INSERT INTO event ({_EVENT_COLUMNS})
    SELECT $9, message_id, name, true, customer_id, customer_id, customer_id % 64, occurred_at, $10, amount,
           currency, properties, source, 'token:1', true
    FROM {_GIVEN.format(third="$3::bigint[]")} AS e (message_id, name, customer_id, {_REST})
    ON CONFLICT (message_id) DO NOTHING
"""
# $1 customers get $2 events each, in batches of their own.
VISIT = f"""
    INSERT INTO event ({_EVENT_COLUMNS})
    SELECT -1000000000 - n, gen_random_uuid()::text, 'page.view', true, c, c, c % 64, now() - n * interval '1 hour',
           now(), NULL, NULL, '{{"path": "/p"}}', 'web', 'system', true
    FROM unnest($1::bigint[]) AS c, generate_series(1, $2::int) AS n
"""
MOVE = "UPDATE event SET customer_id = $2 WHERE customer_id = $1"
CUSTOMER = "SELECT * FROM customer WHERE id = $1"
CUSTOMERS = """
    SELECT c.id, c.kind, c.name, c.phone, c.email, c.company, c.stage, c.owner, c.team, c.attributes,
           c.created_at, c.updated_at,
           (SELECT array_agg(ARRAY[namespace, value]) FROM identity WHERE customer_id = c.id) AS identities
    FROM customer c WHERE c.id < $1 AND c.merged_into IS NULL ORDER BY c.id DESC LIMIT $2
"""
SCAN = "SELECT count(*) FROM event"


async def open_pool(url: str, size: int = CONNECTIONS) -> Pool:
    """Open a pool whose connections pass jsonb as text and are not reset between uses."""

    async def keep(_: Connection) -> None:
        """Nothing here sets session state, so there is nothing to reset."""

    return await asyncpg.create_pool(url, min_size=size, max_size=size, reset=keep, init=_jsonb_as_text)


async def _jsonb_as_text(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=str, decoder=str, format="text")


async def make_schema(url: str) -> None:
    """Create the reference schema in an empty database."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(SCHEMA.read_text(encoding="utf-8"))
    finally:
        await connection.close()


async def store(connection: Connection, batch: Columns, now: datetime) -> int:
    """Store one batch in one transaction and return how many of its events were new."""
    async with connection.transaction():
        made = await connection.fetch(NEW_CUSTOMERS, batch.identity)
        values = (
            batch.message_id,
            batch.name,
            batch.identity,
            batch.occurred_at,
            batch.amount,
            batch.currency,
        )
        ids = [record[0] for record in made]
        stored: int = await connection.fetchval(STORE, *values, batch.properties, batch.source, ids, now)
        return stored


async def ingest(pool: Pool, load: list[Columns]) -> float:
    """Store new batches on `CONNECTIONS` connections side by side and return events per second."""
    now = datetime.now(UTC)
    stored: list[int] = []

    async def one(batch: Columns) -> None:
        async with pool.acquire() as connection:
            stored.append(await store(connection, batch, now))

    seconds = await timed(one, load, CONNECTIONS)
    assert sum(stored) == sum(len(batch.name) for batch in load)
    return sum(stored) / seconds


async def insert(pool: Pool, load: list[Columns], batch_id: int) -> float:
    """Insert the event rows alone on one connection, a transaction per batch; return rows per second.

    The batches' identities are read as customer numbers (`c17` is 17).
    """
    now = datetime.now(UTC)
    rows = [
        (b.message_id, b.name, [int(value[1:]) for value in b.identity], b.occurred_at, b.amount, b.currency)
        for b in load
    ]
    async with pool.acquire() as connection:
        begun = time.perf_counter()
        for batch, values in zip(load, rows, strict=True):
            await connection.execute(INSERT_EVENTS, *values, batch.properties, batch.source, batch_id, now)
        return sum(len(b.name) for b in load) / (time.perf_counter() - begun)


async def get(pool: Pool, ids: Iterable[int]) -> float:
    """Fetch customers one after the other by id and return customers per second."""

    async def one(customer: int) -> None:
        assert await pool.fetchrow(CUSTOMER, customer) is not None

    wanted = list(ids)
    return len(wanted) / await timed(one, wanted, 1)


async def pages(pool: Pool, before: Iterable[int], limit: int, workers: int) -> float:
    """Fetch and encode pages of `limit` customers below the given ids and return pages per second."""
    encode = msgspec.json.Encoder().encode

    async def one(position: int) -> None:
        records = await pool.fetch(CUSTOMERS, position, limit)
        items: list[dict[str, Any]] = []
        for record in records:
            item = dict(record)
            item["attributes"] = msgspec.Raw(item["attributes"])
            identities: dict[str, list[str]] = {}
            for namespace, value in item["identities"]:
                identities.setdefault(namespace, []).append(value)
            item["identities"] = identities
            items.append(item)
        assert len(items) == limit
        encode({"items": items, "next": None})

    wanted = list(before)
    return len(wanted) / await timed(one, wanted, workers)


async def visit(connection: Connection, customers: list[int], events: int) -> None:
    """Give each of the customers so many events more; any database with the columns of the reference schema will do."""
    await connection.execute(VISIT, customers, events)


async def move(pool: Pool, pairs: Iterable[tuple[int, int]]) -> float:
    """Give the events of the first customer of each pair to the second and return the seconds it took."""
    begun = time.perf_counter()
    async with pool.acquire() as connection:
        for loser, winner in pairs:
            await connection.execute(MOVE, loser, winner)
    return time.perf_counter() - begun


async def scan(pool: Pool, expected: int) -> float:
    """Count all events by one sequential scan and return the seconds it took."""
    async with pool.acquire() as connection, connection.transaction():
        # A count could as well read the smallest index, or use all cores; the limit is one pass over the rows.
        for setting in "enable_indexonlyscan = off", "max_parallel_workers_per_gather = 0":
            await connection.execute(f"SET LOCAL {setting}")
        begun = time.perf_counter()
        counted = await connection.fetchval(SCAN)
        seconds = time.perf_counter() - begun
    assert counted == expected
    return seconds


async def timed(work: Callable[[Any], Awaitable[None]], items: Iterable[Any], workers: int) -> float:
    """Give the items to `workers` tasks and return the seconds until all are done."""
    queue = iter(items)

    async def worker() -> None:
        for item in queue:
            await work(item)

    begun = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(workers)))
    return time.perf_counter() - begun
