"""What measures, `where` and trends mean, on events few enough to see the answer."""

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
SHANGHAI = Settings(data=Path("unused"))
NEW_YORK = Settings(data=Path("unused"), timezone="America/New_York")
ALL = {1, 2, 3, 4, 5, 6}
DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)
PLATFORM = {"segments.entered"}


def at(text):
    return NOW - datetime.fromisoformat(text)


EVENTS = [
    # customer, name, before now, amount in minor units, currency, source, properties
    (1, "order.paid", 1 * DAY, 1000, "CNY", "web", {"sku": "a", "qty": 1, "gift": True}),
    (1, "order.paid", 10 * DAY, 2005, "CNY", "app", {"sku": "b", "qty": 2.50}),
    (1, "order.paid", 100 * DAY, 500, "CNY", "", {"sku": "a", "qty": "3"}),
    (1, "order.paid", -1 * HOUR, 100_000, "CNY", "web", {"sku": "z", "qty": 100}),  # not yet
    (2, "order.paid", 2 * DAY, 5000, "USD", "web", {"sku": "a", "qty": 1.0, "gift": False}),
    (2, "order.paid", 3 * DAY, 5000, "JPY", "web", {"sku": "A", "qty": 1}),
    (3, "order.paid", 90 * DAY, 700, "CNY", "app", {"sku": None, "qty": 10}),
    (4, "app.login", 0 * DAY, None, None, "", {}),
    (5, "order.paid", 1 * DAY, 0, "CNY", "web", {"sku": ["a"], "qty": {"n": 1}, "gift": "true"}),
    (4, "segments.entered", 5 * DAY, None, None, "", {}),
    (4, "segments.entered", -1 * HOUR, None, None, "", {}),  # not yet
    # Around midnight in Shanghai, on one day in New York.
    (6, "page.view", at("2026-03-01T15:59Z"), None, None, "", {}),
    (6, "page.view", at("2026-03-01T16:01Z"), None, None, "", {}),
    # Around both midnights of 8 March in New York, where summer time began that day.
    (6, "page.tick", at("2026-03-08T04:30Z"), None, None, "", {}),
    (6, "page.tick", at("2026-03-08T05:30Z"), None, None, "", {}),
    (6, "page.tick", at("2026-03-09T03:30Z"), None, None, "", {}),
    (6, "page.tick", at("2026-03-09T04:30Z"), None, None, "", {}),
    # Later and earlier of two windows of 30 days: 2 after 4, 3 after 0, 0 after 2, 3 after 2, 4 after 3.
    *((1, "visit", day * DAY, None, None, "", {"n": 1 if day < 30 else -1}) for day in (1, 2, 31, 32, 33, 34)),
    *((2, "visit", day * DAY, None, None, "", {"n": 1}) for day in (1, 2, 3)),
    *((3, "visit", day * DAY, None, None, "", {"n": -1}) for day in (40, 41)),
    *((5, "visit", day * DAY, None, None, "", {"n": 1 if day < 30 else -1}) for day in (0, 1, 2, 30, 59, 60)),
    (5, "visit", -1 * SECOND, None, None, "", {"n": 50}),  # not yet
    *((6, "visit", day * DAY, None, None, "", {"n": 1 if day < 30 else -1}) for day in (1, 2, 3, 4, 55, 56, 57)),
]


async def fill(url):
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("INSERT INTO customer (id) SELECT generate_series(1, 6)")
        numbers = itertools.count()
        await connection.executemany(
            "INSERT INTO event (batch_id, message_id, name, behaviour, customer_id, home_customer_id, shard,"
            " occurred_at, recorded_at, amount, currency, source, properties, origin, live)"
            " VALUES (1, $1, $3, $9, $2, $2, 0, $4, now(), $5, $6, $7, $8::text::jsonb, 'system', true)",
            [
                (str(next(numbers)), customer, name, NOW - ago, *rest, json.dumps(properties), name not in PLATFORM)
                for customer, name, ago, *rest, properties in EVENTS
            ],
        )
        await connection.execute(
            "INSERT INTO customer_event_stat SELECT customer_id, coalesce(name, '*'), currency, count(*),"
            " coalesce(sum(amount), 0), min(occurred_at), max(occurred_at) FROM"
            " (SELECT customer_id, name, coalesce(currency, '') AS currency, amount, occurred_at"
            "  FROM event WHERE behaviour) AS b"
            " GROUP BY GROUPING SETS ((customer_id, name, currency), (customer_id, currency))"
        )
        await connection.execute("INSERT INTO event_type SELECT DISTINCT name, behaviour FROM event")
    finally:
        await connection.close()


async def members(url, condition, *, now=NOW, settings=SHANGHAI, among=None):
    checked = check(decode(json.dumps(condition).encode()), fields=Fields(Registry()), settings=settings)
    moment = Moment(now, settings.timezone)
    sql, values = compile_members(checked, select="customer.id", moment=moment, visible="true", among=among)
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute(PLANNING)
            found = [row["id"] for row in await connection.fetch(sql, *values)]
    finally:
        await connection.close()
    assert len(found) == len(set(found))
    return set(found)


def measured(measure, op, *value, of=None, event="order.paid", **rest):
    node = {"type": "event", "event": event, "measure": measure, "op": op, **rest}
    return node | ({"value": value[0]} if value else {}) | ({"of": of} if of else {})


def amount(measure, op, *value, **rest):
    return measured(measure, op, *value, of="amount", **rest)


def part(measure, key, op, *value, **rest):
    return measured(measure, op, *value, of=f"event.properties.{key}", **rest)


def trend(measure, op, value, of=None, event="visit", within="P30D", **rest):
    node = {"type": "trend", "event": event, "measure": measure, "within": within, "op": op, "value": value, **rest}
    return node | ({"of": of} if of else {})


def field(key, op, *value):
    return {"type": "field", "field": f"event.{key}", "op": op} | ({"value": value[0]} if value else {})


def counted(where, op="gte", value=1, **rest):
    return measured("count", op, value, where=where, **rest)


def negation(condition):
    return {"type": "not", "of": condition}


FIGURES = [
    # An average is exact: 35.05 / 3.
    (amount("avg", "gt", 11.68), {1}),
    (amount("avg", "gt", 11.69), set()),
    (amount("avg", "gt", "11.683333333333333333333333333333333"), {1}),
    (amount("avg", "lt", "11.683333333333333333333333333333334"), {1, 3, 5}),
    (amount("avg", "eq", "11.683333333333333333333333333333333"), set()),
    (amount("avg", "eq", 15.025, within="P30D"), {1}),
    (amount("avg", "eq", 7), {3}),
    (amount("avg", "ne", 7), {1, 2, 4, 5, 6}),
    (amount("avg", "in", [0, 7]), {3, 5}),
    (amount("avg", "not_in", [0, 7]), {1, 2, 4, 6}),
    (amount("avg", "between", [7, 11.69]), {1, 3}),
    (amount("avg", "is_set"), {1, 3, 5}),
    (amount("avg", "is_not_set"), {2, 4, 6}),
    (amount("avg", "is_not_set", within="P30D"), {2, 3, 4, 6}),
    (amount("avg", "eq", 50, currency="USD"), {2}),
    (amount("min", "lt", 7.01), {1, 3, 5}),
    (amount("min", "lt", 10.01, within="P30D"), {1, 5}),
    (amount("min", "is_not_set"), {2, 4, 6}),
    (amount("max", "gte", 20.05), {1}),
    (amount("max", "ne", 7), {1, 2, 4, 5, 6}),
    (amount("max", "lte", 20.05, within="P1Y"), {1, 3, 5}),
    (amount("max", "eq", 5000, currency="JPY"), {2}),
    (amount("distinct", "eq", 3), {1}),
    (amount("distinct", "gte", 1, currency="USD"), {2}),
    (amount("distinct", "lt", 1), {2, 4, 6}),
    # Properties: numbers are added up, texts that look like numbers are not; exactly.
    (part("sum", "qty", "eq", 3.5), {1}),
    (part("sum", "qty", "eq", 0), {4, 5, 6}),
    (part("sum", "qty", "gt", 2), {1, 3}),
    (part("sum", "qty", "lt", 3, within="P90D"), {2, 3, 4, 5, 6}),
    (part("avg", "qty", "eq", 1.75), {1}),
    (part("avg", "qty", "in", [1, 10]), {2, 3}),
    (part("avg", "qty", "is_not_set"), {4, 5, 6}),
    (part("min", "qty", "eq", 1), {1, 2}),
    (part("max", "qty", "gte", 2.5), {1, 3}),
    (part("max", "nothing", "is_set"), set()),
    (part("sum", "' OR true --", "gte", 1), set()),
    # Texts, numbers and booleans are told apart by type; 1 and 1.0 are one; null, lists and objects are nothing.
    (part("distinct", "sku", "eq", 2), {1, 2}),
    (part("distinct", "sku", "eq", 0), {3, 4, 5, 6}),
    (part("distinct", "qty", "eq", 3), {1}),
    (part("distinct", "qty", "eq", 1), {2, 3}),
    (part("distinct", "gift", "gte", 1), {1, 2, 5}),
    (part("distinct", "sku", "gte", 1, within="P5D"), {1, 2}),
    (part("distinct", "sku", "not_in", [1, 2]), {3, 4, 5, 6}),
]
SINCE = [
    (measured("days_since_first", "gte", 90), {1, 3}),
    (measured("days_since_first", "gt", 90), {1}),
    (measured("days_since_first", "gt", 89.5), {1, 3}),
    (measured("days_since_first", "eq", 3), {2}),
    (measured("days_since_first", "eq", 2.5), set()),
    (measured("days_since_first", "ne", 3), {1, 3, 4, 5, 6}),
    (measured("days_since_first", "lt", 4), {2, 5}),
    (measured("days_since_first", "lte", 3), {2, 5}),
    (measured("days_since_first", "lt", 0), set()),
    (measured("days_since_first", "gte", -5), {1, 2, 3, 5}),
    (measured("days_since_first", "gte", 1e300), set()),
    (measured("days_since_first", "lte", 1e300), {1, 2, 3, 5}),
    (measured("days_since_first", "between", [2.5, 90]), {2, 3}),
    (measured("days_since_first", "between", [2.2, 2.8]), set()),
    (measured("days_since_first", "in", [1, 90, 2.5]), {3, 5}),
    (measured("days_since_first", "not_in", [1, 90]), {1, 2, 4, 6}),
    (measured("days_since_first", "is_not_set"), {4, 6}),
    (measured("days_since_first", "gte", 10, within="P30D"), {1}),
    (measured("days_since_first", "gte", 0, event="*"), ALL),
    (measured("days_since_last", "lt", 2), {1, 5}),
    (measured("days_since_last", "gte", 30), {3}),
    (measured("days_since_last", "is_set", event="app.login"), {4}),
    (measured("days_since_last", "eq", 0, event="app.login"), {4}),
    (measured("days_since_last", "eq", 1, event=["order.paid", "app.login"]), {1, 5}),
    (measured("days_since_last", "lte", 0, event="*"), {4, 5}),
    (measured("days_since_last", "is_not_set", within="P60D"), {3, 4, 6}),
    (measured("days_since_last", "eq", 5, event="segments.entered"), {4}),
    (measured("count", "eq", 1, event="segments.entered"), {4}),
    (measured("count", "eq", 2, event=["segments.entered", "app.login"]), {4}),
    (measured("count", "eq", 1, event="segments.entered", within="P7D"), {4}),
    (measured("active_days", "eq", 3), {1}),
    (measured("active_days", "eq", 0), {4, 6}),
    (measured("active_days", "gte", 2, within="P7D"), {2}),
]
WHERE = [
    (counted(field("properties.sku", "eq", "a")), {1, 2}),
    (counted(field("properties.sku", "eq", "a"), "eq", 2), {1}),
    (counted(field("properties.sku", "eq", "a"), "lt", 1), {3, 4, 5, 6}),
    (counted(field("properties.sku", "ne", "a")), {1, 2, 3, 5}),
    (counted(field("properties.sku", "is_not_set")), {3}),
    (counted(field("properties.sku", "contains", "'; DROP TABLE event --")), set()),
    (counted(field("properties.qty", "gte", 2)), {1, 3}),
    (counted(field("properties.gift", "eq", True)), {1}),
    (counted(field("properties.gift", "eq", "true")), {5}),
    (counted(field("source", "is_not_set"), within="P1Y"), {1}),
    (counted(field("source", "in", ["app", ""])), {1, 3}),
    (counted(field("currency", "ne", "CNY")), {2}),
    # Amounts are of the node's currency; those of others are missing.
    (counted(field("amount", "gte", 10), "eq", 2), {1}),
    (counted(field("amount", "gte", "10"), currency="USD"), {2}),
    (counted(field("amount", "eq", 5000), currency="JPY"), {2}),
    (counted(field("amount", "lt", 0.001)), {5}),
    (counted(field("amount", "is_not_set"), "eq", 2), {2}),
    (counted(field("amount", "is_not_set"), currency="JPY"), {1, 2, 3, 5}),
    (counted(field("amount", "ne", 10)), {1, 2, 3} | {5}),
    (counted(field("occurred_at", "within_last", "P7D")), {1, 2, 5}),
    (counted(field("occurred_at", "before", "2026-03-05")), {1, 3}),
    (counted(field("occurred_at", "between", ["2026-03-13", "2026-03-14T08:00:00Z"])), {1, 5}),
    (counted(field("occurred_at", "anniversary"), event="*"), {4, 5}),
    (counted(field("name", "starts_with", "app."), event="*"), {4}),
    (counted(field("name", "ne", "visit"), event="*", within="P30D"), {1, 2, 4, 5, 6}),
    (counted({"type": "all", "of": []}), {1, 2, 3, 5}),
    (counted({"type": "any", "of": []}), set()),
    (counted(negation(field("properties.sku", "eq", "a"))), {1, 2, 3, 5}),
    (
        counted({"type": "all", "of": [field("source", "eq", "web"), negation(field("properties.gift", "is_set"))]}),
        {2},
    ),
    (
        counted({"type": "any", "of": [field("properties.sku", "eq", "b"), field("amount", "eq", 7)]}),
        {1, 3},
    ),
    (amount("sum", "gte", 10, where=field("source", "eq", "web")), {1}),
    (amount("avg", "eq", 7.5, where=field("properties.sku", "eq", "a")), {1}),
    (measured("days_since_last", "gte", 10, where=field("source", "ne", "web")), {1, 3}),
    (measured("active_days", "eq", 2, where=field("properties.sku", "eq", "a")), {1}),
    (part("distinct", "sku", "eq", 1, where=field("source", "eq", "web")), {1}),
]
TRENDS = [
    (trend("count", "lt", -0.4), {1, 3}),
    (trend("count", "lte", -0.5), {1, 3}),
    (trend("count", "lt", -0.5), {3}),
    (trend("count", "gte", 0.5), {5}),
    (trend("count", "gt", 0.333333333333), {5, 6}),
    (trend("count", "lte", 0.333333333333), {1, 3}),
    (trend("count", "between", [-0.5, 0.5]), {1, 5, 6}),
    (trend("count", "gte", -1e300), {1, 3, 5, 6}),
    (trend("count", "gte", -1, event="nothing.such"), set()),
    (trend("count", "lt", -0.4, within="P1M"), {1, 3}),
    (trend("active_days", "between", [0.5, 0.5]), {5}),
    # A change is a share of the size of what was before, also below zero.
    (trend("sum", "gte", 1.5, of="event.properties.n"), {1, 5, 6}),
    (trend("sum", "gt", 2.3333333333, of="event.properties.n"), {5, 6}),
    (trend("sum", "gt", 2.3333333334, of="event.properties.n"), {5}),
    (trend("sum", "between", [1, 1], of="event.properties.n"), {3}),
    (trend("avg", "between", [2, 2], of="event.properties.n"), {1, 5, 6}),
    (trend("avg", "lt", 2, of="event.properties.n"), set()),
    (trend("min", "gte", 2, of="event.properties.n"), {1, 5, 6}),
    (trend("max", "lte", 2, of="event.properties.n"), {1, 5, 6}),
    (trend("distinct", "between", [0, 0], of="event.properties.n"), {1, 5, 6}),
    (trend("distinct", "lt", 0, of="event.properties.n"), {3}),
    (trend("count", "lte", 0, where=field("properties.n", "lt", 0)), {1, 3, 5, 6}),
    (trend("sum", "lt", 0, of="amount", event="order.paid", within="P90D"), {3}),
    (trend("sum", "gt", 5, of="amount", event="order.paid", within="P90D"), {1}),
    (trend("sum", "lt", 0, of="amount", event="order.paid", within="P2D", currency="USD"), {2}),
]
CASES = [*FIGURES, *SINCE, *WHERE, *TRENDS]


@pytest.mark.parametrize(
    ("condition", "expected"), CASES, ids=[json.dumps(condition, ensure_ascii=False)[:140] for condition, _ in CASES]
)
async def test_meaning(filled_url, condition, expected):
    assert await members(filled_url, condition) == expected
    assert await members(filled_url, negation(condition)) == ALL - expected


@pytest.mark.parametrize(
    ("settings", "event", "days"),
    [
        (SHANGHAI, "page.view", 2),
        (NEW_YORK, "page.view", 1),
        (SHANGHAI, "page.tick", 2),
        (NEW_YORK, "page.tick", 3),
    ],
)
async def test_active_days_are_those_of_the_deployments_zone(filled_url, settings, event, days):
    exactly = measured("active_days", "eq", days, event=event)
    assert await members(filled_url, exactly, settings=settings) == {6}


async def test_days_are_24_hours_also_where_clocks_change(filled_url):
    # 2026-03-08T04:30Z, still 7 March in New York, is seven dates but only six times 24 hours and a half before.
    since = measured("days_since_first", "eq", 6, event="page.tick")
    assert await members(filled_url, since, settings=NEW_YORK) == {6}
    assert await members(filled_url, since | {"within": "P6DT4H"}, settings=NEW_YORK) == {6}
    assert await members(filled_url, since | {"within": "P6DT2H"}, settings=NEW_YORK) == set()


@pytest.mark.parametrize(
    ("after", "condition", "expected"),
    [
        (HOUR, measured("days_since_last", "eq", 0), {1}),
        (HOUR, measured("count", "eq", 4), {1}),
        (HOUR, amount("avg", "gt", 100), {1}),
        (HOUR, measured("count", "eq", 2, event="segments.entered"), {4}),
        (-SECOND, measured("days_since_last", "eq", 0), {1, 5}),
        (-SECOND, measured("days_since_last", "is_set", event="app.login"), set()),
        (-5 * DAY, measured("days_since_last", "eq", 5), {1}),
        (-5 * DAY, measured("days_since_last", "is_not_set"), {2, 4, 5, 6}),
        (-5 * DAY, measured("days_since_first", "is_not_set"), {2, 4, 5, 6}),
        (-5 * DAY, amount("avg", "eq", 12.525), {1}),
        (-5 * DAY, amount("avg", "is_not_set"), {2, 4, 5, 6}),
        (-5 * DAY, amount("sum", "eq", 0), {2, 4, 5, 6}),
        (-5 * DAY, measured("count", "eq", 1, event="segments.entered"), {4}),
        (-6 * DAY, measured("count", "eq", 0, event="segments.entered"), ALL),
        (-200 * DAY, measured("days_since_last", "is_set", event="*"), set()),
    ],
)
@pytest.mark.parametrize("present", [True, False], ids=["from totals", "long past"])
async def test_at_another_instant(filled_url, frozen_now, present, after, condition, expected):
    frozen_now.set(NOW if present else NOW + 365 * DAY)
    assert await members(filled_url, condition, now=NOW + after) == expected


@pytest.mark.parametrize(
    ("zone", "now", "change"),
    [
        # A month ends on its last day: the windows of 31 March begin on 28 February and 28 January.
        (SHANGHAI, "2026-03-31T12:00+08:00", {1, 3, 5, 6}),
        (NEW_YORK, "2026-03-31T12:00-04:00", {1, 3, 5, 6}),
    ],
)
async def test_a_trends_earlier_window_is_the_same_window_at_an_earlier_now(filled_url, zone, now, change):
    moved = datetime.fromisoformat(now).astimezone(UTC)
    counts = {
        customer: [
            sum(name == "visit" and who == customer and start < NOW - ago <= end for who, name, ago, *_ in EVENTS)
            for start, end in zip(edges(moved, zone)[1:], edges(moved, zone)[:-1], strict=True)
        ]
        for customer in ALL
    }
    falling = {customer for customer, (later, earlier) in counts.items() if earlier and later < earlier}
    assert await members(filled_url, trend("count", "lt", 0, within="P1M"), now=moved, settings=zone) == falling
    known = {customer for customer, (_, earlier) in counts.items() if earlier}
    assert known <= change
    assert await members(filled_url, trend("count", "gte", -1, within="P1M"), now=moved, settings=zone) == known


def edges(now, settings):
    """31 March, 28 February and 28 January, all at noon."""
    local = now.astimezone(settings.zone)
    return [local, local.replace(month=2, day=28), local.replace(month=1, day=28)]
