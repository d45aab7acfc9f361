"""The compiler finds the customers that a plain reading of the language finds, on data and conditions made by dice."""

import asyncio
import itertools
import json
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from zhike.conditions.compiler.statement import PLANNING, compile_members
from zhike.conditions.decode import decode
from zhike.settings import Settings

NOW = datetime(2026, 3, 31, 15, 30, tzinfo=UTC)
CONDITIONS = 600
TEXTS = [
    "上海",
    "上海市",
    "shanghai",
    "Shanghai",
    "100%",
    "100_",
    "",
    "a'b",
    "$1",
    "{x}",
    "\\",
    "ë",
    "e\u0308",
    "1.1",
    "true",
]
NUMBERS = [0, 1, 2, 1.1, Decimal("1.10"), -3, 10**20, Decimal("0.005"), 7]
DATES = ["2024-02-29", "2023-02-29", "2024-02-29T23:30:00-05:00", "2024-03-01 04:30", "2024-03-01T00:00Z", "soon"]
KEYS = ["city", "score", "vip", "born", "a.b", "'; --"]
NAMES = ["order.paid", "order.refunded", "app.login", "签到", "customer.updated"]
CURRENCIES = {"CNY": 2, "JPY": 0, "BHD": 3}
OPS = ["eq", "ne", "gt", "gte", "lt", "lte", "between", "in", "not_in"]
COLUMNS = {"name": "text", "stage": "text", "owner": "number", "id": "number", "created_at": "instant"}


class Dice(random.Random):
    def any_value(self):
        return self.choice([*TEXTS, *NUMBERS, *DATES, True, False, None, ["上海"], {"x": 1}])

    def customers(self, size):
        for number in range(1, size + 1):
            yield {
                "id": number,
                "name": self.choice([*TEXTS, None]),
                "stage": self.choice(["lead", "won", None]),
                "owner": self.choice([1, 2, 7, None]),
                "created_at": NOW - timedelta(hours=self.randrange(2000)),
                "merged_into": self.randrange(1, number) if number > 1 and self.random() < 0.1 else None,
                "attributes": {key: self.any_value() for key in KEYS if self.random() < 0.7},
            }

    def events(self, size, customers):
        for _ in range(size):
            currency = self.choice([*CURRENCIES, "CNY", "CNY", None])
            back = self.choice([self.uniform(-1, 3), self.uniform(0, 60), self.uniform(0, 500), 30, 31, 90])
            yield {
                "customer": min(self.randrange(1, customers + 1), self.randrange(1, customers + 1)),
                "name": self.choice(NAMES),
                "at": NOW - timedelta(seconds=round(back * 86400)),
                "currency": currency,
                "amount": None if currency is None else self.choice([0, 1, 500, 12345, -700, self.randrange(10**6)]),
            }

    def condition(self, depth=3):
        kind = (
            self.choice(["all", "any", "not", "field", "event", "event"]) if depth else self.choice(["field", "event"])
        )
        if kind in ("all", "any"):
            return {"type": kind, "of": [self.condition(depth - 1) for _ in range(self.choice([0, 1, 2, 2, 3, 3]))]}
        if kind == "not":
            return {"type": "not", "of": self.condition(depth - 1)}
        return self.field() if kind == "field" else self.event()

    def field(self):
        if self.random() < 0.5:
            column = self.choice(list(COLUMNS))
            kind, key = COLUMNS[column], f"customer.{column}"
        else:
            kind, key = self.choice(["text", "number", "boolean", "date"]), f"customer.attributes.{self.choice(KEYS)}"
        ops = {
            "text": [*OPS, "contains", "not_contains", "starts_with", "ends_with", "is_set", "is_not_set"],
            "number": [*OPS, "is_set", "is_not_set"],
            "boolean": ["eq", "ne", "in", "not_in", "is_set", "is_not_set"],
            "instant": [*OPS, "before", "after", "is_set", "is_not_set"],
            "date": ["before", "after"],
        }
        pool = {"text": TEXTS, "number": NUMBERS, "boolean": [True, False]}.get(kind, [DATES[0], *DATES[2:5]])
        op = self.choice(ops[kind])
        return {"type": "field", "field": key, "op": op} | self.value(op, pool)

    def event(self):
        event = self.choice([*NAMES, "*", self.sample(NAMES, 2), "none"])
        op = self.choice(OPS)
        condition = {"type": "event", "event": event, "measure": "count", "op": op}
        pool = [0, 0, 1, 2, 3, 5, 10, 0.5, -1]
        if self.random() < 0.5:
            condition |= {"measure": "sum", "of": self.choice(["amount", "event.amount"])}
            pool = [0, 5, 0.01, "123.45", 5000, -7, "0.005", 10**6]
            if self.random() < 0.5:
                condition["currency"] = self.choice(list(CURRENCIES))
        if self.random() < 0.6:
            condition["within"] = self.choice(
                ["P1D", "P30D", "P31D", "P1M", "P2M", "P3M", "P1Y", "P12W", "PT6H", "P1M1DT1H"]
            )
        return condition | self.value(op, pool)

    def value(self, op, pool):
        if op in ("is_set", "is_not_set"):
            return {}
        if op in ("in", "not_in"):
            return {"value": [self.choice(pool) for _ in range(self.randrange(1, 4))]}
        if op == "between":
            return {"value": [self.choice(pool), self.choice(pool)]}
        return {"value": self.choice(pool)}


class Reader:
    """Reads a condition for one customer at a time, in Python, with nothing from the product."""

    def __init__(self, customers, events, now, zone):
        self.customers, self.events, self.now, self.zone = customers, events, now, zone

    def members(self, condition):
        return {one["id"] for one in self.customers if one["merged_into"] is None and self.holds(condition, one)}

    def holds(self, node, customer):
        match node["type"]:
            case "all":
                return all(self.holds(part, customer) for part in node["of"])
            case "any":
                return any(self.holds(part, customer) for part in node["of"])
            case "not":
                return not self.holds(node["of"], customer)
            case "field":
                return self.field(node, customer)
        return self.compare(node["op"], self.measure(node, customer), node["value"], "number")

    def field(self, node, customer):
        key, op, literal = node["field"].removeprefix("customer."), node["op"], node.get("value")
        if not key.startswith("attributes."):
            return self.compare(op, customer[key], literal, COLUMNS[key])
        value = customer["attributes"].get(key.removeprefix("attributes."))
        if op in ("is_set", "is_not_set"):
            return (value is not None) == (op == "is_set")
        sample = literal[0] if isinstance(literal, list) else literal
        kind = "instant" if op in ("before", "after") else self.json_type(sample)
        if self.json_type(value) != ("text" if kind == "instant" else kind):
            value = None
        return self.compare(op, value, literal, kind)

    @staticmethod
    def json_type(value):
        if isinstance(value, bool):
            return "boolean"
        return "text" if isinstance(value, str) else "number" if isinstance(value, int | float | Decimal) else "other"

    def compare(self, op, value, literal, kind):
        for negative, positive in (
            ("not_in", "in"),
            ("not_contains", "contains"),
            ("is_not_set", "is_set"),
            ("ne", "eq"),
        ):
            if op == negative:
                return not self.compare(positive, value, literal, kind)
        value = self.typed(value, kind)
        if value is None:
            return False
        if op == "is_set":
            return True
        wanted = [self.typed(each, kind) for each in (literal if isinstance(literal, list) else [literal])]
        first = wanted[0]
        return {
            "eq": lambda: value == first,
            "in": lambda: value in wanted,
            "gt": lambda: value > first,
            "after": lambda: value > first,
            "gte": lambda: value >= first,
            "lt": lambda: value < first,
            "before": lambda: value < first,
            "lte": lambda: value <= first,
            "between": lambda: first <= value <= wanted[1],
            "contains": lambda: first in value,
            "starts_with": lambda: value.startswith(first),
            "ends_with": lambda: value.endswith(first),
        }[op]()

    def typed(self, value, kind):
        if value is None or kind in ("text", "boolean"):
            return value
        if kind == "number":
            return Decimal(str(value))
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        return moment if moment.tzinfo else moment.replace(tzinfo=self.zone)

    def measure(self, node, customer):
        names = node["event"] if isinstance(node["event"], list) else [node["event"]]
        count, total = 0, Decimal(0)
        currency = node.get("currency", "CNY")
        for event in self.events:
            named = event["name"] != "customer.updated" if names == ["*"] else event["name"] in names
            if event["customer"] != customer["id"] or not named or event["at"] > self.now:
                continue
            if "within" in node and event["at"] <= self.start(node["within"]):
                continue
            count += 1
            if event["currency"] == currency:
                total += Decimal(event["amount"]) / 10 ** CURRENCIES[currency]
        return count if node["measure"] == "count" else total

    def start(self, within):
        """The steps of the few durations used here, months by counting the calendar back."""
        months = {"P1M": 1, "P2M": 2, "P3M": 3, "P1Y": 12, "P1M1DT1H": 1}.get(within, 0)
        local = self.now.astimezone(self.zone)
        day, wanted = local.date(), local.day
        for _ in range(months):
            day = day.replace(day=1) - timedelta(days=1)
        while months and day.day > wanted:
            day -= timedelta(days=1)
        moment = datetime.combine(day, local.timetz())
        exact = {"P1D": 24, "P30D": 720, "P31D": 744, "P12W": 2016, "PT6H": 6, "P1M1DT1H": 25}.get(within, 0)
        return moment.astimezone(UTC) - timedelta(hours=exact)


async def _fill(url, customers, events):
    connection = await asyncpg.connect(url)
    try:
        await connection.executemany(
            "INSERT INTO customer (id, name, stage, owner, created_at, merged_into, attributes)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb)",
            [
                (*[one[key] for key in ("id", "name", "stage", "owner", "created_at", "merged_into")],
                 json.dumps(one["attributes"], default=float))
                for one in customers
            ],
        )  # fmt: skip
        numbers = itertools.count()
        await connection.executemany(
            "INSERT INTO event (batch_id, message_id, name, behaviour, customer_id, home_customer_id, shard,"
            " occurred_at, recorded_at, amount, currency, properties, source, origin, live)"
            " VALUES (1, $1, $2, $3, $4, $4, 0, $5, now(), $6, $7, '{}', '', 'system', true)",
            [
                (str(next(numbers)), event["name"], event["name"] != "customer.updated",
                 *[event[key] for key in ("customer", "at", "amount", "currency")])
                for event in events
            ],
        )  # fmt: skip
        for name in ("name", "'*'"):
            await connection.execute(
                f"INSERT INTO customer_event_stat SELECT customer_id, {name}, coalesce(currency, ''), count(*),"
                " coalesce(sum(amount), 0), min(occurred_at), max(occurred_at) FROM event WHERE behaviour"
                " GROUP BY 1, 2, 3"
            )
        await connection.execute("INSERT INTO event_type SELECT DISTINCT name, behaviour FROM event")
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


@pytest.fixture(scope="module")
def data():
    dice = Dice(20260331)
    customers = list(dice.customers(80))
    return customers, list(dice.events(1200, 80))


@pytest.fixture(scope="module")
def filled_url(database_server, data):
    url = database_server.create(plugins=())
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(asyncio.run, _fill(url, *data)).result()
    yield url
    database_server.drop(url)


@pytest.mark.parametrize("seed", range(4))
async def test_the_same_members(filled_url, data, seed):
    dice = Dice(seed)
    zone = ["Asia/Shanghai", "Europe/Berlin", "America/New_York", "UTC"][seed]
    settings = Settings(data=Path("unused"), timezone=zone)
    sizes = []
    connection = await asyncpg.connect(filled_url)
    try:
        for _ in range(CONDITIONS // 4):
            condition = dice.condition()
            now = NOW - timedelta(hours=dice.choice([0, 0, 0, 1, -12, 300, 3000]))
            expected = Reader(*data, now, ZoneInfo(zone)).members(condition)
            body = json.dumps(condition, default=float).encode()
            sql, values = compile_members(
                decode(body), select="customer.id", now=now, settings=settings, visible="true"
            )
            async with connection.transaction():
                await connection.execute(PLANNING)
                found = [row["id"] for row in await connection.fetch(sql, *values)]
            assert sorted(found) == sorted(expected), (body.decode(), now, sql)
            sizes.append(len(found))
    finally:
        await connection.close()
    # The dice are fair: many conditions divide the customers, and not always alike.
    living = sum(one["merged_into"] is None for one in data[0])
    assert sum(0 < size < living for size in sizes) > len(sizes) / 3
    assert len(set(sizes)) > 15
