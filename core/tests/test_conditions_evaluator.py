"""The evaluator in memory finds what the compiled SQL finds, event by event, on events and conditions made by dice."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from zhike.conditions import service
from zhike.conditions.check import check_where
from zhike.conditions.checked import Moment
from zhike.conditions.comparison import Comparison
from zhike.conditions.decode import decode
from zhike.conditions.evaluator import compares, holds
from zhike.consumers.log import LogReader
from zhike.contracts import RecordedEvent
from zhike.settings import Settings

NOW = datetime(2026, 2, 28, 15, 30, tzinfo=UTC)  # a year without 29 February
EVENTS, CONDITIONS = 250, 300  # in each zone
TEXTS = [
    "上海",
    "上海市",
    "",
    "a'b",
    "100%_x",
    "ë",
    "e\u0308",
    "𝄞",
    "\uffff",
    "true",
    "1.1",
    "Zoë",
    "zoë",
    "{{7*7}}",
    "$1",
]
NUMBERS = [0, 1, 1.0, Decimal("1.10"), 1.1, -3, 10**25, Decimal("-5e-30"), 2**63, 1e308, Decimal("0.1"), 12.3]
DATES = [
    "2026-02-28", "2024-02-29", "2023-02-29", "2026-03-01", "2026-02-28T15:30:00Z", "2026-02-28T15:30:00.000001Z",
    "2026-02-28 23:59:59.999999", "2026-02-28T23:30", "1990-03-02T23:30:00-05:00", "0001-01-01T00:00:00+14:00",
    "0001-01-01", "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59.999999Z", "2000-12-31", "1900-02-29", "soon",
    "2018-11-04", "2011-12-30", "2025-10-26T02:30:00", "1883-11-18T12:01:00", "2026-02-28T15:30:00+24:00",
    "2026-02-28\n",
]  # fmt: skip
KEYS = ["city", "n", "a.b", "'; DROP TABLE event; --", "日期"]
EQUALITY, ORDER = ["eq", "ne", "in", "not_in"], ["gt", "gte", "lt", "lte", "between"]
SEARCH = ["contains", "not_contains", "starts_with", "ends_with"]
TIME = ["before", "after", "within_last", "anniversary"]
ZONES = ["Asia/Shanghai", "America/Sao_Paulo", "Pacific/Apia", "Europe/Berlin"]
WINDOWS = ["PT1H", "P1D", "P1M", "P1Y", "P500Y"]


class Dice(random.Random):
    def json(self):
        return self.choice([*TEXTS, *NUMBERS, *DATES, *DATES, True, False, None, ["上海"], {"x": 1}])

    def event(self, number):
        currency = self.choice(["CNY", "CNY", "JPY", "BHD", None])
        amount = self.choice([0, 1, 1230, -700, 2**53 + 1, 2**63 - 1]) if currency else None
        return {
            "customer": number,
            "name": self.choice(["order.paid", "app.login", "签到"]),
            "at": NOW - timedelta(microseconds=self.choice([0, 1, 3_600_000_000, self.randrange(10**14)])),
            "amount": amount,
            "currency": currency,
            "source": self.choice(["", "web", "上海"]),
            "properties": {key: self.json() for key in KEYS if self.random() < 0.8},
        }

    def literal(self, kind):
        return {
            "text": lambda: self.choice(TEXTS),
            "number": lambda: self.choice(NUMBERS),
            "money": lambda: self.choice([0, "12.30", 12.3, 0.005, -7, "0.001", 2**53 + 1, 92233720368547758.07]),
            "boolean": lambda: self.random() < 0.5,
            "instant": lambda: self.choice(["2026-02-28", "2026-02-28T15:30:00Z", "9999-12-31T23:59:59Z"]),
        }[kind]()

    def test(self, field, op, kind):
        node = {"type": "field", "field": field, "op": op}
        if op == "between":
            node["value"] = [self.literal(kind), self.literal(kind)]
        elif op in ("in", "not_in"):
            node["value"] = [self.literal(kind) for _ in range(self.randrange(1, 4))]
        elif op == "within_last":
            node["value"] = self.choice(WINDOWS)
        elif op == "anniversary":
            node |= self.choice([{}, {"value": "P1D"}, {"value": "P2W"}, {"value": "P365D"}])
        elif op not in ("is_set", "is_not_set"):
            node["value"] = self.literal(kind)
        return node

    def leaf(self):
        presence = ["is_set", "is_not_set"]
        field, kind = self.choice(
            [
                ("name", "text"),
                ("source", "text"),
                ("currency", "text"),
                ("amount", "money"),
                ("occurred_at", "instant"),
            ]
            + [(f"properties.{key}", kind) for key in KEYS for kind in ("text", "number", "boolean", "instant")]
        )
        ops = {
            "text": EQUALITY + ORDER + SEARCH + presence,
            "number": EQUALITY + ORDER + presence,
            "money": EQUALITY + ORDER + presence,
            "boolean": EQUALITY + presence,
            "instant": TIME if field.startswith("properties") else EQUALITY + ORDER + TIME + presence,
        }[kind]
        return self.test(f"event.{field}", self.choice(ops), kind)

    def where(self, depth=2):
        kind = self.choice(["all", "any", "not", "field", "field", "field"]) if depth else "field"
        if kind == "field":
            return self.leaf()
        if kind == "not":
            return {"type": "not", "of": self.where(depth - 1)}
        return {"type": kind, "of": [self.where(depth - 1) for _ in range(self.randrange(3))]}


def encoded(value):
    return msgspec.json.Encoder(decimal_format="number").encode(value)


@pytest.mark.parametrize("zone", ZONES)
async def test_memory_and_sql_agree(platform, zone):
    dice = Dice(zone)
    platform.settings = msgspec.structs.replace(platform.settings, timezone=zone)
    moment = Moment(NOW, zone)
    rows = [dice.event(number) for number in range(1, EVENTS + 1)]
    async with platform.db.transaction() as connection:
        await connection.execute(f"INSERT INTO customer (id) SELECT generate_series(1, {EVENTS})")
        await connection.executemany(
            "INSERT INTO event (batch_id, message_id, name, behaviour, customer_id, home_customer_id, shard,"
            " occurred_at, recorded_at, amount, currency, properties, source, origin, live) SELECT 1, $1, $2, true,"
            " $1::text::bigint, $1::text::bigint, 0, $3, $3, $4, $5, $6, $7, 'system', true",
            [
                (str(row["customer"]), row["name"], row["at"], row["amount"], row["currency"],
                 encoded(row["properties"]).decode(), row["source"])
                for row in rows
            ],
        )  # fmt: skip
        await connection.execute("INSERT INTO event_type SELECT DISTINCT name, behaviour FROM event")
        places = await connection.fetch("SELECT batch_id, id FROM event")
        await connection.execute("ANALYZE")
    log = LogReader(platform.db, None)
    events = [event for place in places if (event := await log.event(*place))]
    assert len(events) == EVENTS
    found = 0
    async with platform.db.connection() as connection:
        for _ in range(CONDITIONS):
            where, currency = dice.where(), dice.choice(["CNY", "JPY", "BHD"])
            node = {"type": "event", "event": "*", "measure": "count", "op": "gte", "value": 1}
            checked = service.check(platform, encoded(node | {"where": where, "currency": currency}))
            in_sql = await service.members(connection, checked, moment)
            in_memory = {event.customer_id for event in events if holds(checked.measure.where, event, moment)}
            assert in_memory == in_sql, where
            found += 0 < len(in_sql) < EVENTS
    assert found > CONDITIONS // 2, "conditions that tell events apart"


def event(**fields):
    return RecordedEvent(
        **{"id": 1, "batch_id": 1, "message_id": "m", "name": "order.paid", "behaviour": True, "customer_id": 1}
        | {"shard": 1, "occurred_at": NOW, "recorded_at": NOW}
        | fields
    )


SETTINGS = Settings(data=Path("unused"))
MOMENT = Moment(NOW, "Asia/Shanghai")


@pytest.mark.parametrize(
    ("field", "op", "value", "expected"),
    [
        ("event.amount", "eq", "12.30", True),
        ("event.amount", "gt", 12.3, False),
        ("event.amount", "gte", 12.295, True),
        ("event.currency", "eq", "CNY", True),
        ("event.source", "is_set", None, False),
        ("event.source", "ne", "web", True),
        ("event.properties.n", "eq", 1, True),
        ("event.properties.n", "eq", "1", False),
        ("event.properties.yes", "eq", True, True),
        ("event.properties.yes", "eq", 1, False),
        ("event.properties.list", "is_set", None, True),
        ("event.properties.null", "is_set", None, False),
        ("event.properties.day", "anniversary", None, True),
        ("event.properties.day", "before", "1992-02-29T00:00:00+08:00", False),
        ("event.properties.day", "after", "1992-02-28T16:00:00Z", False),
        ("event.occurred_at", "within_last", "PT1S", True),
    ],
)
def test_one_event(field, op, value, expected):
    happened = event(
        amount=Decimal("12.30"),
        currency="CNY",
        properties_json='{"n":1.0,"yes":true,"list":[],"null":null,"day":"1992-02-29"}',
    )
    node = {"type": "field", "field": field, "op": op} | ({} if value is None else {"value": value})
    where = check_where(decode(encoded(node)), settings=SETTINGS)
    assert holds(where, happened, MOMENT) is expected


def test_an_amount_of_another_currency_is_missing():
    where = check_where(
        decode({"type": "field", "field": "event.amount", "op": "gte", "value": 0}), settings=SETTINGS, currency="JPY"
    )
    assert holds(where, event(amount=Decimal(5), currency="JPY"), MOMENT)
    assert not holds(where, event(amount=Decimal(5), currency="CNY"), MOMENT)
    assert not holds(where, event(), MOMENT)


def test_a_single_value():
    contains = Comparison("contains", "text", ("上",), False)
    assert compares(contains, "上海", MOMENT)
    assert not compares(contains, None, MOMENT)
    assert not compares(contains, 5, MOMENT)
    assert compares(Comparison("contains", "text", ("上",), True), None, MOMENT)
    assert compares(Comparison("eq", "instant", (NOW,), False), NOW.astimezone(), MOMENT)


def test_a_condition_about_customers_is_refused(platform):
    checked = service.check(platform, {"type": "field", "field": "customer.name", "op": "is_set"})
    with pytest.raises(TypeError):
        holds(checked, event(), MOMENT)
