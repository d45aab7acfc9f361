"""What PostgreSQL does with a compiled condition: each set is read once, whatever the planner expects."""

import json
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from zhike.conditions.catalog import Fields
from zhike.conditions.check import check
from zhike.conditions.checked import Moment
from zhike.conditions.compiler.statement import PLANNING, compile_members
from zhike.conditions.decode import decode
from zhike.registry import Registry
from zhike.settings import Settings

NOW = datetime(2026, 3, 14, 8, tzinfo=UTC)
SETTINGS = Settings(data=Path("unused"))
BOUGHT = {"type": "event", "event": "order.paid", "measure": "count", "op": "gte", "value": 3}
SPENT = {"type": "event", "event": "order.paid", "measure": "sum", "of": "amount", "op": "gt", "value": 100}
RECENT = BOUGHT | {"within": "P90D"}
SILENT = {"type": "event", "event": "*", "measure": "count", "within": "P30D", "op": "eq", "value": 0}
CITY = {"type": "field", "field": "customer.attributes.city", "op": "eq", "value": "上海"}
SINCE = {"type": "event", "event": "order.paid", "measure": "days_since_last", "op": "gte", "value": 30}
SKUS = {"type": "event", "event": "*", "measure": "distinct", "of": "event.properties.sku", "op": "gt", "value": 1}
TREND = {"type": "trend", "event": "*", "measure": "count", "within": "P30D", "op": "lt", "value": -0.5}
FROM_WEB = {"type": "field", "field": "event.properties.from", "op": "eq", "value": "web"}
STILL_TO_COME = 12
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
    "where": RECENT | {"where": FROM_WEB},
    "distinct": SKUS | {"within": "P7D"},
    "days": {"type": "all", "of": [SINCE, RECENT | {"measure": "active_days"}]},
    "trend": {"type": "not", "of": TREND},
    "nested": {"type": "not", "of": {"type": "any", "of": [SILENT, {"type": "all", "of": [SPENT, RECENT]}]}},
}


async def fill(url):
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


def compiled(condition):
    checked = check(decode(condition), fields=Fields(Registry()), settings=SETTINGS)
    return compile_members(checked, select="count(*)", moment=Moment(NOW, SETTINGS.timezone), visible="true")


def nodes(plan):
    if plan.get("Parent Relationship") == "SubPlan":
        # Looks up the last event of those alone who have one that is still to come.
        assert plan["Actual Loops"] <= STILL_TO_COME
        return
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


@pytest.mark.parametrize("condition", CONDITIONS.values(), ids=CONDITIONS)
async def test_each_table_is_read_once_per_set(filled_url, frozen_now, condition):
    frozen_now.set(NOW)
    sql, values = compiled(condition)
    connection = await asyncpg.connect(filled_url)
    try:
        async with connection.transaction():
            await connection.execute(PLANNING)
            await connection.execute("SET LOCAL max_parallel_workers_per_gather = 0")
            explained = await connection.fetchval("EXPLAIN (ANALYZE, FORMAT JSON) " + sql, *values)
    finally:
        await connection.close()
    plan = list(nodes(json.loads(explained)[0]["Plan"]))
    assert {node["Node Type"] for node in plan}.isdisjoint({"Nested Loop"})
    reads = [node for node in plan if node.get("Relation Name") in ("event", "customer_event_stat", "customer")]
    assert reads
    assert {node["Actual Loops"] for node in reads} <= {0, 1}


def test_equal_sets_are_joined_once():
    sql, values = compiled(
        {"type": "any", "of": [RECENT, {"type": "all", "of": [CITY, RECENT]}, {"type": "not", "of": RECENT}]}
    )
    assert sql.count("JOIN") == 1
    assert values.count("order.paid") == 1


@pytest.mark.parametrize("measure", ["count", "days_since_first", "days_since_last"])
def test_totals_answer_what_they_know_and_events_the_rest(frozen_now, measure):
    frozen_now.set(NOW)
    asked = BOUGHT | {"measure": measure}
    assert "customer_event_stat" in compiled(asked)[0]
    for rest in ({"within": "P7D"}, {"where": FROM_WEB}):
        assert "customer_event_stat" not in compiled(asked | rest)[0]
    frozen_now.advance(days=2)
    assert ("customer_event_stat" in compiled(asked)[0]) == (measure != "days_since_last")
