"""What each operator and measure means, on customers and events small enough to see the answer."""

import itertools
import json
from datetime import UTC, datetime, timedelta
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
ALL = {1, 2, 3, 4, 6}  # 5 is merged into 1

CUSTOMERS = [
    # id, name, stage, owner, merged_into, attributes
    (1, "Zoë", "lead", 7, None, '{"city":"上海","score":1.10,"vip":true,"note":"100%_x","born":"1990-02-28"}'),
    (
        2,
        "zoë",
        "won",
        None,
        None,
        '{"city":"北京","score":"1.1","vip":false,"note":"100 per","born":"1990-03-01 00:00"}',
    ),
    (3, None, None, None, None, "{}"),
    (
        4,
        "",
        None,
        9,
        None,
        '{"city":null,"score":2,"vip":"true","note":"","born":"1990-02-30","a.b":[1],"%s":"$1","leap":"1992-02-29"}',
    ),
    (5, "Zoë", "lead", 7, 1, '{"city":"上海","score":1.1,"vip":true}'),
    (
        6,
        "Zoe\u0308",
        "上海",
        7,
        None,
        '{"city":"上海市","score":-5e-3,"vip":1,"born":"1990-02-28T23:00:00Z","leap":"nonsense"}',
    ),
]
DAY = timedelta(days=1)
EVENTS = [
    # customer, name, before now, minor units, currency
    (1, "order.paid", 1 * DAY, 1000, "CNY"),
    (1, "order.paid", 10 * DAY, 2005, "CNY"),
    (1, "order.paid", 100 * DAY, 500, "CNY"),
    (1, "order.paid", timedelta(hours=-1), 100_000, "CNY"),  # not yet
    (1, "order.refunded", 5 * DAY, -3005, "CNY"),
    (2, "order.paid", 2 * DAY, 5000, "USD"),
    (2, "order.paid", 3 * DAY, 5000, "JPY"),
    (2, "app.login", timedelta(0), None, None),
    (3, "order.paid", 90 * DAY, 700, "CNY"),
    (4, "customer.updated", 1 * DAY, None, None),
    (5, "order.paid", 1 * DAY, 99_900, "CNY"),
    (6, "order.paid", 1 * DAY, 0, "CNY"),
    (6, "app.login", timedelta(seconds=-1), None, None),  # not yet
]
PLATFORM = {"customer.updated"}


async def fill(url):
    connection = await asyncpg.connect(url)
    try:
        await connection.executemany(
            "INSERT INTO customer (id, name, stage, owner, merged_into, attributes, created_at) VALUES"
            " ($1, $2, $3, $4, $5, $6::text::jsonb, timestamptz '2026-01-01 00:00+08' + $1::int8 * interval '1 day')",
            CUSTOMERS,
        )
        numbers = itertools.count()
        await connection.executemany(
            "INSERT INTO event (batch_id, message_id, name, behaviour, customer_id, home_customer_id, shard,"
            " occurred_at, recorded_at, amount, currency, properties, source, origin, live)"
            " VALUES (1, $1, $3, $7, $2, $2, 0, $4, now(), $5, $6, '{}', '', 'system', true)",
            [
                (str(next(numbers)), customer, name, NOW - ago, amount, currency, name not in PLATFORM)
                for customer, name, ago, amount, currency in EVENTS
            ],
        )
        for name in ("name", "'*'"):
            await connection.execute(
                f"INSERT INTO customer_event_stat SELECT customer_id, {name}, coalesce(currency, ''), count(*),"
                " coalesce(sum(amount), 0), min(occurred_at), max(occurred_at) FROM event WHERE behaviour"
                " GROUP BY 1, 2, 3"
            )
        await connection.execute("INSERT INTO event_type SELECT DISTINCT name, behaviour FROM event")
    finally:
        await connection.close()


async def members(url, condition, at=NOW, settings=SETTINGS):
    checked = check(decode(json.dumps(condition).encode()), fields=Fields(Registry()), settings=settings)
    moment = Moment(at, settings.timezone)
    sql, values = compile_members(checked, select="customer.id", moment=moment, visible="true")
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute(PLANNING)
            found = [row["id"] for row in await connection.fetch(sql, *values)]
    finally:
        await connection.close()
    assert len(found) == len(set(found))
    return set(found)


def field(key, op, *value):
    return {"type": "field", "field": f"customer.{key}", "op": op} | ({"value": value[0]} if value else {})


def attribute(key, op, *value):
    return field(f"attributes.{key}", op, *value)


def count(op, value, event="order.paid", **rest):
    return {"type": "event", "event": event, "measure": "count", "op": op, "value": value, **rest}


def total(op, value, event="order.paid", **rest):
    return {"type": "event", "event": event, "measure": "sum", "of": "amount", "op": op, "value": value, **rest}


def negation(condition):
    return {"type": "not", "of": condition}


FIELDS = [
    # Text compares by code point: case and composed characters differ, an empty text is a value.
    (field("name", "eq", "Zoë"), {1}),
    (field("name", "ne", "Zoë"), {2, 3, 4, 6}),
    (field("name", "in", ["Zoë", "zoë", ""]), {1, 2, 4}),
    (field("name", "not_in", ["Zoë", "zoë"]), {3, 4, 6}),
    (field("name", "eq", ""), {4}),
    (field("name", "is_set"), {1, 2, 4, 6}),
    (field("name", "is_not_set"), {3}),
    (field("name", "gt", "Zoz"), {1, 2}),
    (field("name", "lte", "Zoz"), {4, 6}),
    (field("name", "between", ["Zoe", "zoë"]), {1, 2, 6}),
    (field("stage", "gte", "won"), {2, 6}),
    (field("name", "contains", ""), {1, 2, 4, 6}),
    (field("name", "not_contains", "oe"), {1, 2, 3, 4}),
    (field("name", "starts_with", "Zo"), {1, 6}),
    (field("name", "ends_with", "ë"), {1, 2}),
    (field("kind", "eq", "person"), ALL),
    # Numbers and instants.
    (field("owner", "gte", 7), {1, 4, 6}),
    (field("owner", "ne", 7), {2, 3, 4}),
    (field("owner", "between", [7, 7.5]), {1, 6}),
    (field("id", "in", [1, 2, 5, 1e300, -(10**40)]), {1, 2}),
    (field("created_at", "before", "2026-01-04"), {1, 2}),
    (field("created_at", "eq", "2026-01-04"), {3}),
    (field("created_at", "after", "2026-01-04T00:00:00+08:00"), {4, 6}),
    (field("created_at", "gte", "2026-01-03T16:00:00Z"), {3, 4, 6}),
    (field("created_at", "between", ["2026-01-03", "2026-01-05"]), {2, 3, 4}),
    # An attribute of another JSON type than the literal is missing.
    (attribute("city", "eq", "上海"), {1}),
    (attribute("city", "ne", "上海"), {2, 3, 4, 6}),
    (attribute("city", "in", ["上海", "北京"]), {1, 2}),
    (attribute("city", "starts_with", "上"), {1, 6}),
    (attribute("city", "is_set"), {1, 2, 6}),
    (attribute("city", "is_not_set"), {3, 4}),
    (attribute("score", "eq", 1.1), {1}),
    (attribute("score", "eq", "1.1"), {2}),
    (attribute("score", "ne", 1.1), {2, 3, 4, 6}),
    (attribute("score", "lt", 1.5), {1, 6}),
    (attribute("score", "gt", 1.0), {1, 4}),
    (attribute("score", "between", [-0.005, 1.1]), {1, 6}),
    (attribute("score", "in", [2, -0.0050]), {4, 6}),
    (attribute("vip", "eq", True), {1}),
    (attribute("vip", "ne", True), {2, 3, 4, 6}),
    (attribute("vip", "eq", "true"), {4}),
    (attribute("vip", "eq", 1), {6}),
    (attribute("vip", "in", [True, False]), {1, 2}),
    # Nothing in a text is a wildcard, a path or SQL.
    (attribute("note", "contains", "%_"), {1}),
    (attribute("note", "contains", "100%"), {1}),
    (attribute("note", "starts_with", "100_"), set()),
    (attribute("note", "ends_with", "_x"), {1}),
    (attribute("note", "ends_with", "%"), set()),
    (attribute("note", "not_contains", "%"), {2, 3, 4, 6}),
    (attribute("note", "eq", "' OR '1'='1"), set()),
    (attribute("note", "in", ["{100%_x}", "100%_x"]), {1}),
    (attribute("' OR true --", "is_set"), set()),
    (attribute("%s", "eq", "$1"), {4}),
    (attribute("a.b", "is_set"), {4}),
    (attribute("a", "is_set"), set()),
    # Dates in attributes: texts that are none are missing, also 30 February; a date begins in the deployment's zone.
    (attribute("born", "before", "1990-03-01"), {1}),
    (attribute("born", "before", "1990-03-01T00:00:01"), {1, 2}),
    (attribute("born", "after", "1990-02-28T16:00:00Z"), {6}),
    (attribute("born", "after", "1990-02-27T16:00:00Z"), {2, 6}),
    (negation(attribute("born", "after", "1900-01-01")), {3, 4}),
    # The last days, up to and with now.
    (field("created_at", "within_last", "P68D"), {6}),
    (field("created_at", "within_last", "P70D"), {3, 4, 6}),
    (field("created_at", "within_last", "PT1S"), set()),
    (attribute("born", "within_last", "P37Y"), {1, 2, 6}),
    (attribute("born", "within_last", "P1Y"), set()),
    (attribute("score", "within_last", "P37Y"), set()),
]
MEASURES = [
    # Without events a count and a sum are 0; what is in the future does not count.
    (count("gte", 1), {1, 2, 3, 6}),
    (count("eq", 3), {1}),
    (count("eq", 0), {4}),
    (count("ne", 0), {1, 2, 3, 6}),
    (count("ne", 3), {2, 3, 4, 6}),
    (count("lt", 3), {2, 3, 4, 6}),
    (count("between", [0, 1]), {3, 4, 6}),
    (count("between", [1, 2]), {2, 3, 6}),
    (count("in", [0, 3]), {1, 4}),
    (count("not_in", [0, 3]), {2, 3, 6}),
    (count("not_in", [1, 2]), {1, 4}),
    (count("gte", 0), ALL),
    (count("lt", 0), set()),
    (count("gt", 2.5), {1}),
    (count("eq", 2.5), set()),
    (count("gt", -(10**30)), ALL),
    (count("eq", 0, "nothing.such"), ALL),
    (count("gte", 1, "' OR true --"), set()),
    # Windows: (now - D, now].
    (count("gte", 1, within="P90D"), {1, 2, 6}),
    (count("gte", 1, within="P91D"), {1, 2, 3, 6}),
    (count("eq", 0, within="P90D"), {3, 4}),
    (count("eq", 2, within="P3M"), {1, 2}),
    (count("gte", 1, "app.login", within="PT1S"), {2}),
    (count("gte", 1, "app.login"), {2}),
    (count("eq", 0, "app.login"), {1, 3, 4, 6}),
    # Several names count together; * is every behaviour and nothing else.
    (count("eq", 4, ["order.paid", "order.refunded"]), {1}),
    (count("eq", 3, ["order.paid", "app.login", "order.paid"]), {1, 2}),
    (count("gte", 1, "*"), {1, 2, 3, 6}),
    (count("eq", 1, ["*"]), {3, 6}),
    (count("eq", 0, "*"), {4}),
    (count("eq", 1, "*", within="P2D"), {1, 2, 6}),
    (count("eq", 1, "customer.updated"), {4}),
    (count("eq", 1, ["customer.updated", "order.paid"]), {3, 4, 6}),
    (count("eq", 1, "customer.updated", within="P2D"), {4}),
    # Sums are of one currency, compared exactly in major units, numbers and texts alike.
    (total("eq", 35.05), {1}),
    (total("eq", "35.05"), {1}),
    (total("gt", 35.049999999), {1}),
    (total("gt", "35.05"), set()),
    (total("eq", 0), {2, 4, 6}),
    (total("lt", 7.01), {2, 3, 4, 6}),
    (total("lte", 0.005), {2, 4, 6}),
    (total("gt", 0), {1, 3}),
    (total("eq", 50, currency="USD"), {2}),
    (total("eq", 5000, currency="JPY"), {2}),
    (total("between", [10, 30.05], within="P90D"), {1}),
    (total("ne", 30.05, within="P90D"), {2, 3, 4, 6}),
    (total("eq", 0, ["order.paid", "order.refunded"], within="P90D"), {1, 2, 3, 4, 6}),
    (total("lt", 0, "order.refunded"), {1}),
    (total("eq", 5, "*"), {1}),
    (total("eq", 5, "*") | {"of": "event.amount"}, {1}),
]
CLAUSES = [
    ({"type": "all", "of": []}, ALL),
    ({"type": "any", "of": []}, set()),
    (negation({"type": "any", "of": []}), ALL),
    ({"type": "all", "of": [count("gte", 1), field("owner", "eq", 7)]}, {1, 6}),
    ({"type": "any", "of": [count("eq", 0), field("owner", "eq", 7)]}, {1, 4, 6}),
    ({"type": "any", "of": [count("gte", 3), count("gte", 3), total("gt", 0)]}, {1, 3}),
    (negation({"type": "all", "of": [count("gte", 1), field("owner", "eq", 7)]}), {2, 3, 4}),
    (negation({"type": "any", "of": [count("eq", 0), negation(attribute("vip", "eq", True))]}), {1}),
]


def names_of(cases):
    return [json.dumps(condition, ensure_ascii=False)[:120] for condition, _ in cases]


@pytest.mark.parametrize(("condition", "expected"), FIELDS, ids=names_of(FIELDS))
async def test_fields(filled_url, condition, expected):
    assert await members(filled_url, condition) == expected
    assert await members(filled_url, negation(condition)) == ALL - expected


@pytest.mark.parametrize(("condition", "expected"), MEASURES, ids=names_of(MEASURES))
async def test_measures(filled_url, condition, expected):
    assert await members(filled_url, condition) == expected
    assert await members(filled_url, negation(condition)) == ALL - expected


@pytest.mark.parametrize(("condition", "expected"), CLAUSES, ids=names_of(CLAUSES))
async def test_clauses(filled_url, condition, expected):
    assert await members(filled_url, condition) == expected
    assert await members(filled_url, negation(negation(condition))) == expected


@pytest.mark.parametrize(
    ("after", "condition", "expected"),
    [
        (timedelta(hours=1), count("eq", 4), {1}),  # the order of the next hour has come
        (timedelta(hours=1), total("eq", 1035.05), {1}),
        (timedelta(seconds=1), count("gte", 1, "app.login"), {2, 6}),
        (-timedelta(seconds=1), count("gte", 1, "app.login"), set()),
        (-5 * DAY, count("eq", 2), {1}),
        (-5 * DAY, count("eq", 0), {2, 4, 6}),
        (-5 * DAY, total("eq", 25.05), {1}),
        (-5 * DAY, total("eq", -5, "*"), {1}),
        (-95 * DAY, count("gte", 1), {1}),
        (-95 * DAY, count("gte", 1, "*", within="P1Y"), {1}),
        (-200 * DAY, count("gte", 1, "*"), set()),
    ],
)
async def test_at_another_instant(filled_url, after, condition, expected):
    assert await members(filled_url, condition, at=NOW + after) == expected


@pytest.mark.parametrize(
    ("zone", "today", "key", "length", "expected"),
    [
        # 28 February 23:00 UTC is 1 March in Shanghai and 28 February in New York.
        ("Asia/Shanghai", "2026-02-28T12:00", "born", None, {1}),
        ("Asia/Shanghai", "2026-03-01T00:00", "born", None, {2, 6}),
        ("Asia/Shanghai", "2026-02-28T23:59", "born", "P2D", {1, 2, 6}),
        ("Asia/Shanghai", "2026-03-02T00:00", "born", None, set()),
        ("Asia/Shanghai", "2026-03-02T00:00", "born", "P365D", {1, 2, 6}),
        ("Asia/Shanghai", "2026-02-22T00:00", "born", "P1W", {1}),
        ("Asia/Shanghai", "2026-02-22T00:00", "born", "P6D", set()),
        ("America/New_York", "2026-02-28T23:59", "born", None, {1, 6}),
        ("America/New_York", "2026-03-01T00:00", "born", "P1D", {2}),
        # 29 February is kept on 28 February where there is none.
        ("Asia/Shanghai", "2026-02-28T00:00", "leap", None, {4}),
        ("Asia/Shanghai", "2026-03-01T00:00", "leap", None, set()),
        ("Asia/Shanghai", "2028-02-28T00:00", "leap", None, set()),
        ("Asia/Shanghai", "2028-02-28T00:00", "leap", "P2D", {4}),
        ("Asia/Shanghai", "2028-02-29T00:00", "leap", None, {4}),
        ("Asia/Shanghai", "2025-12-31T00:00", "leap", "P60D", {4}),
        ("Asia/Shanghai", "2025-12-31T00:00", "leap", "P59D", set()),
    ],
)
async def test_anniversaries(filled_url, zone, today, key, length, expected):
    settings = Settings(data=Path("unused"), timezone=zone)
    near = attribute(key, "anniversary", *([length] if length else []))
    now = datetime.fromisoformat(today).replace(tzinfo=settings.zone).astimezone(UTC)
    assert await members(filled_url, near, at=now, settings=settings) == expected
    assert await members(filled_url, negation(near), at=now, settings=settings) == ALL - expected


@pytest.mark.parametrize(
    ("zone", "at", "within", "inside"),
    [
        # Customer 1 bought on 4 March at 08:00 UTC, 03:00 in New York before summer time.
        ("America/New_York", "2026-04-04T06:59:59Z", "P1M", True),
        ("America/New_York", "2026-04-04T07:00:00Z", "P1M", False),
        ("America/New_York", "2026-04-04T07:59:59Z", "P31D", True),
        ("America/New_York", "2026-04-04T08:00:00Z", "P31D", False),
        ("Asia/Shanghai", "2026-04-04T07:59:59Z", "P1M", True),
        ("Asia/Shanghai", "2026-04-04T08:00:00Z", "P1M", False),
    ],
)
async def test_calendar_months_in_the_deployments_zone(filled_url, zone, at, within, inside):
    settings = Settings(data=Path("unused"), timezone=zone)
    bought = count("eq", 3 if inside else 2, within=within)
    assert 1 in await members(filled_url, bought, at=datetime.fromisoformat(at), settings=settings)
