"""What PostgreSQL does with a compiled condition: each set is read once, whatever the planner expects."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from zhike.conditions.compiler.statement import PLANNING, compile_count
from zhike.conditions.decode import decode
from zhike.settings import Settings

NOW = datetime(2026, 3, 14, 8, tzinfo=UTC)
SETTINGS = Settings(data=Path("unused"))
BOUGHT = {"type": "event", "event": "order.paid", "measure": "count", "op": "gte", "value": 3}
SPENT = {"type": "event", "event": "order.paid", "measure": "sum", "of": "amount", "op": "gt", "value": 100}
RECENT = BOUGHT | {"within": "P90D"}
SILENT = {"type": "event", "event": "*", "measure": "count", "within": "P30D", "op": "eq", "value": 0}
CITY = {"type": "field", "field": "customer.attributes.city", "op": "eq", "value": "上海"}
CONDITIONS = {
    "total": BOUGHT,
    "window": RECENT,
    "absence": SILENT,
    "negation": {"type": "not", "of": RECENT},
    # Three fields that always hold together: the planner expects next to no customer and finds all.
    "misjudged": {
        "type": "all",
        "of": [CITY, {"type": "not", "of": CITY | {"op": "ne"}}, CITY | {"op": "ends_with"}, BOUGHT, RECENT, SPENT],
    },
    "either": {"type": "any", "of": [CITY, BOUGHT, RECENT, {"type": "not", "of": SILENT}]},
    "nested": {"type": "not", "of": {"type": "any", "of": [SILENT, {"type": "all", "of": [SPENT, RECENT]}]}},
}


async def _fill(url):
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            """
            INSERT INTO customer (id, attributes) SELECT i, '{"city": "上海"}' FROM generate_series(1, 5000) AS i;
            INSERT INTO event (batch_id, message_id, name, behaviour, customer_id, home_customer_id, shard, occurred_at,
                               recorded_at, amount, currency, properties, source, origin, live)
            SELECT 1, i, (ARRAY['order.paid', 'app.login', 'page.view'])[1 + i % 3], true, 1 + i % 5000, 1 + i % 5000,
                   0, timestamptz '2026-03-14 09:00Z' - i * interval '5 minutes', now(), i, 'CNY', '{}', '', 'system',
                   true FROM generate_series(1, 50000) AS i;
            INSERT INTO event_type SELECT DISTINCT name, behaviour FROM event;
            INSERT INTO customer_event_stat
            SELECT customer_id, coalesce(name, '*'), currency, count(*), sum(amount), min(occurred_at), max(occurred_at)
            FROM event GROUP BY GROUPING SETS ((customer_id, name, currency), (customer_id, currency));
            ANALYZE
            """
        )
    finally:
        await connection.close()


@pytest.fixture(scope="module")
def filled_url(database_server):
    url = database_server.create(plugins=())
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(asyncio.run, _fill(url)).result()
    yield url
    database_server.drop(url)


def nodes(plan):
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


@pytest.mark.parametrize("condition", CONDITIONS.values(), ids=CONDITIONS)
async def test_each_table_is_read_once_per_set(filled_url, condition):
    sql, values = compile_count(decode(condition), now=NOW, settings=SETTINGS, visible="true")
    connection = await asyncpg.connect(filled_url)
    try:
        async with connection.transaction():
            await connection.execute(PLANNING)
            await connection.execute("SET LOCAL max_parallel_workers_per_gather = 0")
            explained = await connection.fetchval("EXPLAIN (ANALYZE, FORMAT JSON) " + sql, *values)
    finally:
        await connection.close()
    plan = list(nodes(json.loads(explained)[0]["Plan"]))
    assert "SubPlan" not in {node.get("Parent Relationship") for node in plan}
    assert {node["Node Type"] for node in plan}.isdisjoint({"Nested Loop"})
    reads = [node for node in plan if node.get("Relation Name") in ("event", "customer_event_stat", "customer")]
    assert reads
    assert {node["Actual Loops"] for node in reads} <= {0, 1}


async def test_equal_sets_are_joined_once():
    sql, values = compile_count(
        decode({"type": "any", "of": [RECENT, {"type": "all", "of": [CITY, RECENT]}, {"type": "not", "of": RECENT}]}),
        now=NOW,
        settings=SETTINGS,
        visible="true",
    )
    assert sql.count("JOIN") == 1
    assert values.count("order.paid") == 1
