"""POST /conditions/explain: for every node whether it held, on which value, against what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import msgspec
import pytest

from zhike.access.actor import Actor
from zhike.conditions import service
from zhike.conditions.checked import Moment
from zhike.contracts import ConditionField
from zhike.errors import NotFound
from zhike.hooks import hookimpl

NOW = datetime(2026, 3, 14, 8, tzinfo=UTC)
AT = "2026-03-14T16:00:00+08:00"


def field(key, op, *value):
    return {"type": "field", "field": key, "op": op} | ({"value": value[0]} if value else {})


def measured(measure="count", op="gte", value=1, event="order.paid", **more):
    return {"type": "event", "event": event, "measure": measure, "op": op, "value": value} | more


def order(customer, days, amount=None, currency=None, **properties):
    return {
        "name": "order.paid",
        "identities": {"external_id": customer},
        "occurred_at": (NOW - timedelta(days=days)).isoformat(),
        "properties": properties,
    } | ({} if amount is None else {"amount": amount, "currency": currency})


@pytest.fixture
async def zoe(record):
    """The id of a customer with three orders in CNY, one in USD and one without amount."""
    events = await record(
        order("zoe", 1, "12.30", "CNY", sku="a", weight=1.5),
        order("zoe", 2, "7.70", "CNY", sku="b", weight=2),
        order("zoe", 40, "10.00", "CNY", sku="a", weight="heavy"),
        order("zoe", 3, "99.00", "USD", sku="c"),
        order("zoe", 4) | {"traits": {"name": "Zoë", "city": "上海", "score": 1.10, "born": "1990-03-15"}},
    )
    return events[0].customer_id


@pytest.fixture
def explain(client):
    async def ask(condition, customer_id, **more):
        answer = await client.post(
            "/api/v1/conditions/explain", json={"condition": condition, "customer_id": customer_id, "at": AT} | more
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    return ask


async def test_every_node_is_explained(explain, zoe):
    condition = {
        "type": "all",
        "of": [
            field("customer.attributes.city", "in", ["上海", "北京"]),
            {"type": "any", "of": [field("customer.name", "is_not_set"), measured(op="gt", value=7)]},
            {"type": "not", "of": measured("sum", "gte", 20, of="amount", within="P30D")},
        ],
    }
    assert await explain(condition, zoe) == {
        "customer_id": zoe,
        "held": False,
        "nodes": [
            {"path": "condition", "type": "all", "held": False},
            {
                "path": "condition.of[0]",
                "type": "field",
                "held": True,
                "expected": {"op": "in", "value": ["上海", "北京"]},
                "value": "上海",
            },
            {"path": "condition.of[1]", "type": "any", "held": False},
            {
                "path": "condition.of[1].of[0]",
                "type": "field",
                "held": False,
                "expected": {"op": "is_not_set"},
                "value": "Zoë",
            },
            {
                "path": "condition.of[1].of[1]",
                "type": "event",
                "held": False,
                "expected": {"op": "gt", "value": 7},
                "value": 5,
            },
            {"path": "condition.of[2]", "type": "not", "held": False},
            {
                "path": "condition.of[2].of",
                "type": "event",
                "held": True,
                "expected": {"op": "gte", "value": 20},
                "value": 20.0,
                "currency": "CNY",
                "left_out": 1,
            },
        ],
    }


LEAVES = [
    (measured("avg", "gt", "9.99", of="amount"), True, 10, {"currency": "CNY", "left_out": 1}),
    (measured("max", "eq", "99.00", of="amount", currency="USD"), True, 99, {"currency": "USD", "left_out": 3}),
    (measured("min", "lt", 5, of="event.properties.weight"), True, 1.5, {}),
    (measured("distinct", "eq", 3, of="event.properties.sku"), True, 3, {}),
    (measured("distinct", "eq", 3, of="amount"), True, 3, {"currency": "CNY", "left_out": 1}),
    (measured("active_days", "lt", 5), False, 5, {}),
    (measured("days_since_last", "gte", 1), True, 1, {}),
    (measured("days_since_first", "eq", 41), False, 40, {}),
    (measured("days_since_last", "is_not_set", event="app.login", value=None), True, None, {}),
    (measured("sum", "eq", 0, of="amount", event="app.login"), True, 0, {"currency": "CNY", "left_out": 0}),
    (measured(where=field("event.properties.sku", "eq", "a"), event="*"), True, 2, {}),
    (field("customer.attributes.score", "eq", "1.10"), False, 1.1, {}),
    (field("customer.attributes.born", "anniversary", "P2D"), True, "1990-03-15", {}),
    (field("customer.attributes.none", "ne", "x"), True, None, {}),
    (field("customer.owner", "eq", 7), False, None, {}),
]


async def test_every_kind_of_leaf(explain, zoe):
    for node, held, value, more in LEAVES:
        answer = await explain(node, zoe)
        expected = {"op": node["op"]} | ({} if node.get("value") is None else {"value": node["value"]})
        said = {"path": "condition", "type": node["type"], "held": held, "value": value, "expected": expected}
        assert answer == {"customer_id": zoe, "held": held, "nodes": [said | more]}


async def test_a_trend_shows_both_windows(explain, zoe):
    trend = {
        "type": "trend",
        "event": "*",
        "measure": "sum",
        "of": "amount",
        "within": "P30D",
        "op": "gt",
        "value": 0.9,
    }
    [said] = (await explain(trend, zoe))["nodes"]
    assert (said["held"], said["later"], said["earlier"], said["value"]) == (True, 20, 10, 1)
    assert (said["currency"], said["left_out"]) == ("CNY", 1)
    [said] = (await explain(trend | {"within": "P100D"}, zoe))["nodes"]
    assert (said["held"], said["later"], said["earlier"], said["value"]) == (False, 30, 0, None)


async def test_instants_are_rfc_3339(explain, zoe):
    [said] = (await explain(field("customer.created_at", "is_set"), zoe))["nodes"]
    assert datetime.fromisoformat(said["value"]).utcoffset() == timedelta(0)
    assert "T" in said["value"]


async def test_the_instant_that_counts_as_now_is_the_callers(explain, zoe):
    [said] = (await explain(measured(), zoe, at="2026-03-12T08:00:00Z"))["nodes"]
    assert said["value"] == 4


async def test_one_statement_answers_for_all_nodes(explain, zoe, query_counter):
    condition = {"type": "any", "of": [measured(value=value) for value in range(1, 40)]}
    query_counter.reset()
    answer = await explain(condition, zoe)
    assert len(answer["nodes"]) == 40
    assert sum(statement.lstrip().startswith("SELECT customer.id") for statement in query_counter.statements) == 1
    assert query_counter.count < 10


async def test_nothing_but_nodes_without_leaves(explain, zoe):
    answer = await explain({"type": "not", "of": {"type": "any", "of": []}}, zoe)
    assert [(node["path"], node["held"]) for node in answer["nodes"]] == [("condition", True), ("condition.of", False)]


async def test_numbers_stay_exact(client, explain, record):
    [event] = await record(order("big", 1) | {"traits": {"n": 2**63 - 1, "list": [1, 2.5, "x", None]}})
    text = (
        await client.post(
            "/api/v1/conditions/explain",
            json={"condition": field("customer.attributes.n", "is_set"), "customer_id": event.customer_id},
        )
    ).text
    assert '"value":9223372036854775807' in text
    [said] = (await explain(field("customer.attributes.list", "is_set"), event.customer_id))["nodes"]
    assert said["value"] == [1, 2.5, "x", None]


async def test_msgpack(client, zoe):
    body = {"condition": measured("sum", "gte", 1.5, of="amount"), "customer_id": zoe, "at": AT}
    answer = await client.post(
        "/api/v1/conditions/explain",
        content=msgspec.msgpack.encode(body),
        headers={"content-type": "application/msgpack", "accept": "application/msgpack"},
    )
    [said] = msgspec.msgpack.decode(answer.content)["nodes"]
    assert (said["held"], said["value"], said["expected"]) == (True, "30.00", {"op": "gte", "value": 1.5})


async def test_numbers_beyond_64_bits_in_msgpack(client, zoe):
    answer = await client.post(
        "/api/v1/conditions/explain",
        json={"condition": measured("count", "lt", 2**64), "customer_id": zoe, "at": AT},
        headers={"accept": "application/msgpack"},
    )
    [said] = msgspec.msgpack.decode(answer.content)["nodes"]
    assert (said["held"], said["expected"]) == (True, {"op": "lt", "value": str(2**64)})


async def test_an_unknown_customer_is_not_found(client, zoe):
    body = {"condition": measured(), "customer_id": zoe + 1}
    answer = await client.post("/api/v1/conditions/explain", json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_one_out_of_scope_is_not_found(platform, zoe):
    nobody = Actor(kind="token", id=1, name="x", role="none", permissions=frozenset())
    assert (await service.explain(platform, Actor.system(), measured(), zoe)).held
    with pytest.raises(NotFound):
        await service.explain(platform, nobody, measured(), zoe)


async def test_one_merged_away_is_explained_by_the_winner(explain, platform, record):
    await record({"name": "app.open", "identities": {"external_id": "c"}, "occurred_at": AT})
    visit, *_ = await record({"name": "app.login", "identities": {"anonymous_id": "v"}, "occurred_at": AT})
    login, *_ = await record(
        {"name": "app.login", "identities": {"external_id": "c", "anonymous_id": "v"}, "occurred_at": AT}
    )
    assert login.customer_id != visit.customer_id
    answer = await explain(measured(event="app.login", op="eq", value=2), visit.customer_id)
    assert (answer["customer_id"], answer["held"]) == (login.customer_id, True)


async def test_a_masked_field_is_refused(anonymous, make_token, zoe):
    body = {"condition": {"type": "not", "of": field("customer.phone", "eq", "+8613800138000")}, "customer_id": zoe}
    headers = {"authorization": f"Bearer {await make_token('viewer')}"}
    answer = await anonymous.post("/api/v1/conditions/explain", json=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "masked")
    assert "condition.of" in answer.json()["detail"]
    assert "customer.phone" in answer.json()["detail"]


async def test_fields_of_plugins(database, make_platform, settings):
    async with database.transaction() as connection:
        await connection.execute(
            "CREATE TABLE tagging_tag (customer_id bigint, value text, valid_from timestamptz, valid_to timestamptz);"
            "INSERT INTO customer (id) VALUES (1), (2);"
            "INSERT INTO tagging_tag VALUES (1, 'vip', '2026-01-01Z', NULL), (1, 'new', '2026-03-10Z', NULL),"
            " (1, 'old', '2025-01-01Z', '2026-01-01Z')"
        )
    tags = ConditionField(
        key="tags",
        label="Tags",
        type="text",
        relation="tagging_tag",
        changed_by=("tag.added",),
        many=True,
        history=True,
    )
    plugin = SimpleNamespace(CLAIMS=("tags", "tag"), register_condition_fields=hookimpl(lambda: [tags]))
    platform = make_platform(database, tagging=plugin)
    asked = field("tags", "contains", "vip")
    for customer_id, node, held, value in [
        (1, asked | {"for": "P30D"}, True, ["new", "vip"]),
        (1, field("tags", "contains", "new") | {"for": "P30D"}, False, ["new", "vip"]),
        (2, field("tags", "is_not_set"), True, []),
    ]:
        said = await service.explain(platform, Actor.system(), node, customer_id, at=NOW)
        assert (said.held, said.nodes[0].value) == (held, value)


async def test_an_explanation_agrees_with_the_members(platform, zoe, record):
    await record(order("other", 5, "30.00", "CNY"))
    condition = {"type": "any", "of": [measured("sum", "gt", 30, of="amount"), measured("avg", "eq", 30, of="amount")]}
    async with platform.db.connection() as connection:
        members = await service.members(connection, service.check(platform, condition), Moment(NOW, "Asia/Shanghai"))
        everybody = {row[0] for row in await connection.fetch("SELECT id FROM customer")}
    assert len(everybody) == 2
    explained = {each: await service.explain(platform, Actor.system(), condition, each, at=NOW) for each in everybody}
    assert {each for each, said in explained.items() if said.held} == members != everybody
