"""The raw sides: free of the product, on a schema that does not move, and doing the product's work."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

import zhike_limits
from zhike.events.decode import decode_events
from zhike.events.ingest import store
from zhike.orm import Database
from zhike.settings import load
from zhike_embedded import binaries
from zhike_limits import sql
from zhike_limits.cluster import BareCluster
from zhike_limits.events import Load, bodies, columns
from zhike_limits.pipeline import identity_and_events
from zhike_limits.tickets import RedisServer, noop_rate

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
CUSTOMERS = 200
LOAD = Load(seed=7, batches=3, size=50, population=CUSTOMERS, new=0.1, now=NOW.timestamp())
FROZEN = "9855ed8c2f42b03e828877a6b38707e85592892308cf8dd71a8f5d9ecbb83302"
LEFT = {
    "event": "SELECT message_id, name, amount, currency, occurred_at, properties, source FROM event WHERE behaviour",
    "platform": "SELECT name, count(*) FROM event WHERE NOT behaviour GROUP BY name",
    "identity": "SELECT namespace, value, customer_id = home_customer_id FROM identity",
    "customers": "SELECT count(*) FROM customer",
    "stats": """
        SELECT i.value, s.name, currency, count, sum, first_at, last_at FROM customer_event_stat s
        JOIN identity i ON i.customer_id = s.customer_id AND namespace = 'external_id'
    """,
    "batches": "SELECT array(SELECT unnest(names) ORDER BY 1), size FROM log_batch",
}


def test_the_limits_import_nothing_of_the_product() -> None:
    folder = Path(zhike_limits.__file__).parent
    modules = [f"zhike_limits.{path.stem}" for path in folder.glob("*.py") if path.stem != "__init__"]
    assert len(modules) >= 4
    code = f"""
import importlib, sys
class Forbidden:
    def find_spec(self, name, path=None, target=None):
        assert name.split(".")[0] not in ("zhike", "zhike_bench"), name
sys.meta_path.insert(0, Forbidden())
for name in {modules!r}:
    importlib.import_module(name)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_the_reference_schema_does_not_move() -> None:
    assert hashlib.sha256(sql.SCHEMA.read_bytes()).hexdigest() == FROZEN


def test_loads_are_the_same_in_every_process_and_share_nothing_with_others() -> None:
    code = f"from zhike_limits.events import *; import sys; sys.stdout.buffer.write(b''.join(bodies({LOAD!r})))"
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    elsewhere = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment)
    assert elsewhere.stdout == b"".join(bodies(LOAD))
    other = Load(seed=8, batches=3, size=50, population=CUSTOMERS, new=0.1, now=NOW.timestamp())
    ids = [{one for batch in columns(load) for one in batch.message_id} for load in (LOAD, other)]
    assert len(ids[0]) == len(ids[1]) == LOAD.events
    assert not ids[0] & ids[1]


async def test_the_raw_ingest_leaves_what_the_product_leaves(
    database: Database, empty_database_url: str, tmp_path: Path
) -> None:
    settings = load(tmp_path, {})
    async with database.transaction() as connection:
        await _seed(connection)
    for body in bodies(LOAD):
        events, rejected = decode_events(body, "json", now=NOW, settings=settings)
        assert not rejected
        async with database.transaction() as connection:
            stored = await store(connection, events, origin="token:1", live=True, now=NOW)
        assert stored.accepted == LOAD.size
    await sql.make_schema(empty_database_url)
    pool = await sql.open_pool(empty_database_url)
    async with pool, pool.acquire() as connection:
        await _seed(connection)
        for batch in columns(LOAD):
            assert await sql.store(connection, batch, NOW) == LOAD.size
        async with database.connection() as product:
            for what, question in LEFT.items():
                raw, ours = await connection.fetch(question), await product.fetch(question)
                assert raw, what
                assert sorted(map(repr, raw)) == sorted(map(repr, ours)), what
        assert await sql.store(connection, columns(LOAD)[0], NOW) == 0


async def test_identity_and_events_alone_are_the_raw_ingest_without_its_stats(empty_database_url: str) -> None:
    await sql.make_schema(empty_database_url)
    async with await sql.open_pool(empty_database_url) as pool:
        await _seed(pool)
        assert await identity_and_events(pool, columns(LOAD)) > 0
        expected = {batch: sorted(columns(LOAD)[batch].message_id) for batch in range(LOAD.batches)}
        rows = await pool.fetch("SELECT batch_id, message_id FROM event WHERE behaviour ORDER BY batch_id, message_id")
        stored: dict[int, list[str]] = {}
        for batch_id, message_id in rows:
            stored.setdefault(batch_id, []).append(message_id)
        assert list(stored.values()) == list(expected.values())
        assert await pool.fetchval("SELECT count(*) FROM customer WHERE id > $1", CUSTOMERS) > 0
        assert await pool.fetchval("SELECT count(*) FROM customer_event_stat") == 0


@pytest.mark.skipif(RedisServer.program() is None, reason="redis-server is not installed")
async def test_arq_does_all_jobs_on_a_redis_that_leaves_nothing_behind(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    redis = await server.start()
    try:
        for count in (1, 1500):
            assert await noop_rate(redis, count) > 0
        assert await redis.keys() == [b"arq:queue:health-check"]
    finally:
        await redis.aclose(close_connection_pool=True)
        await server.stop()
    assert _left(tmp_path) == []


async def test_a_bare_cluster_starts_and_stops(tmp_path: Path) -> None:
    cluster = BareCluster(binaries(), tmp_path)
    assert cluster.initdb() > 0
    assert await cluster.start() > 0
    connection = await asyncpg.connect(host=str(tmp_path), user="postgres", database="postgres")
    assert await connection.fetchval("SHOW fsync") == "on"
    assert await connection.fetchval("SHOW data_checksums") == "on"
    await connection.close()
    cluster.stop()
    assert not (tmp_path / "data" / "postmaster.pid").exists()


def _left(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def _seed(connection: sql.Connection | sql.Pool) -> None:
    for statement in sql.SEED_CUSTOMERS:
        await connection.execute(statement, CUSTOMERS)
    await connection.execute("SELECT setval(pg_get_serial_sequence('customer', 'id'), $1)", CUSTOMERS)
