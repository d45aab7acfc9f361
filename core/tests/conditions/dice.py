"""Makes customers, events, relations and conditions by chance, the same ones for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from engine import Node
from walls import DAY, EPOCH, Clock, micros

# Month ends, 29 February, and instants one or two months after clocks skipped or repeated what they show.
MOMENTS = [
    ("Asia/Shanghai", datetime(2024, 2, 29, 15, 30, tzinfo=UTC)),
    ("Asia/Shanghai", datetime(2024, 3, 31, 15, 59, 59, 999_999, tzinfo=UTC)),
    ("America/New_York", datetime(2024, 4, 10, 6, 30, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2024, 5, 6, 15, 15, tzinfo=UTC)),
    ("Europe/London", datetime(2024, 5, 31, 0, 30, tzinfo=UTC)),
    ("Europe/London", datetime(2025, 2, 28, 0, 0, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2025, 2, 26, 15, 0, tzinfo=UTC)),
    ("America/New_York", datetime(2024, 11, 3, 5, 30, tzinfo=UTC)),
    ("America/New_York", datetime(2024, 12, 3, 6, 30, tzinfo=UTC)),
]
WINDOWS = ["P1D", "P7D", "P30D", "P31D", "P1M", "P2M", "P90D", "P1Y", "P12W", "PT6H", "P1M1DT1H"]
HELD = ["P1D", "P7D", "P14D", "P1M", "P2M", "PT6H"]
TEXTS = ["上海", "上海市", "shanghai", "Shanghai", "100%", "100_", "", "a'b", '"', "$1", "{x}", "\\", "\\u0041", "ë",
         "e\u0308", "1.1", "true", "😀", "😀😀", "\uffee", "𠮷", "a\nb", "' OR '1'='1"]  # fmt: skip
NUMBERS = [0, 1, 2, 3, 7, -3, Decimal("1.0"), Decimal("1.1"), Decimal("1.10"), Decimal("0.1"), Decimal("0.2"),
           Decimal("0.005"), Decimal("1E-7"), Decimal("-2.5"), 10**9]  # fmt: skip
ALIKE = ["1", 1, Decimal("1.0"), True, "true", "1.0", Decimal("1.5"), 2]
LARGE = [10**20, 2**53 + 1, 2**63, Decimal("9007199254740992.000000001")]
DATES = ["2024-02-29", "2023-02-29", "2023-02-28", "2024-02-29T23:30:00-05:00", "2024-03-01 04:30", "2024-03-01T00:00Z",
         "2024-03-31 01:30", "2024-03-10T02:30:00", "2024-11-03 01:30:00.000001", "0001-01-01",
         "9999-12-31T23:30:00-14:00", "2024-13-01", "2024-02-30", "24-02-29", "2024-03-01T25:00", "soon",
         "2024-03-01T00:00:00+15:00", "2024-03-01T00:00z"]  # fmt: skip
LITERAL_DATES = ["2024-02-29", "2024-02-29T23:30:00-05:00", "2024-03-01 04:30", "2024-03-31 01:30", "2024-01-01",
                 "2024-03-10T02:30:00", "2024-11-03 01:30:00.000001", "2024-06-30T12:00:00.5+09:30"]  # fmt: skip
ATTRIBUTES = ["city", "score", "vip", "born", "a.b", "'; --"]
PROPERTIES = ["sku", "qty", "gift", "until", "a.b", "上"]
NAMES = ["order.paid", "order.refunded", "app.login", "签到", "customer.updated"]
PLATFORM = "customer.updated"
CURRENCIES = ["CNY", "JPY", "BHD"]
AMOUNTS = [0, 1, 100, 500, 500, 12_345, -700, 10**12]
STAGES = ["lead", "won", "😀", "\uffee"]
COLUMNS = {"customer.name": "text", "customer.stage": "text", "customer.company": "text", "customer.owner": "number",
           "customer.id": "number", "customer.created_at": "instant", "customer.updated_at": "instant"}  # fmt: skip
EQUALITY = ["eq", "ne", "in", "not_in"]
ORDERED = ["gt", "gte", "lt", "lte", "between"]
PRESENCE = ["is_set", "is_not_set"]
SEARCH = ["contains", "not_contains", "starts_with", "ends_with"]
TIME = ["before", "after", "within_last", "within_last", "anniversary", "anniversary"]
OPS = {
    "text": EQUALITY + ORDERED + SEARCH + PRESENCE,
    "number": EQUALITY + ORDERED + PRESENCE,
    "boolean": EQUALITY + PRESENCE,
    "instant": EQUALITY + ORDERED + TIME + PRESENCE,
    "date": TIME,
    "many": ["contains", "not_contains", "in", "not_in", *PRESENCE],
}
MEASURES = ["count", "sum", "avg", "min", "max", "days_since_first", "days_since_last", "active_days", "distinct"]
SIMPLE = ("count", "active_days", "days_since_first", "days_since_last")
MISSING = ("avg", "min", "max", "days_since_first", "days_since_last")
EVENT_FIELDS = ["name", "amount", "currency", "source", *(["occurred_at"] * 2), *(["properties"] * 5)]


@dataclass
class Relation:
    """Rows (customer, value) or, with history, (customer, value, valid_from, valid_to) of a field."""

    kind: str
    many: bool
    history: bool
    pool: list[Any]
    rows: list[tuple[Any, ...]] = field(default_factory=list)


@dataclass
class World:
    """What conditions are asked about."""

    customers: list[dict[str, Any]]
    events: list[dict[str, Any]]
    relations: dict[str, Relation]

    def about(self, customer: int, condition: Node) -> dict[str, Any]:
        """Return what a condition may ask about a customer, for a failing test."""
        asked = repr(condition)
        return {
            **next(each for each in self.customers if each["id"] == customer),
            "events": [each for each in self.events if each["customer_id"] == customer and "'measure'" in asked],
            "relations": {
                key: [row[1:] for row in relation.rows if row[0] == customer]
                for key, relation in self.relations.items()
                if key in asked
            },
        }


def relations() -> dict[str, Relation]:
    """Return one field of every form, without rows."""
    return {
        "dice.tags": Relation("text", True, True, ["高价值", "vip", "100%", ""]),
        "dice.lots": Relation("number", True, False, [1, 2, Decimal("2.5"), Decimal("1.10")]),
        "dice.booked": Relation("instant", True, True, [EPOCH, *(now for _, now in MOMENTS[:3])]),
        "dice.level": Relation("text", False, True, ["gold", "Gold", "silver", "é"]),
        "dice.score": Relation("number", False, True, [10, 20, Decimal("33.3"), -1]),
        "dice.class": Relation("text", False, False, ["A", "B", "", "😀"]),
        "dice.active": Relation("boolean", False, True, [True, False]),
        "dice.renewal": Relation("instant", False, False, [EPOCH]),
    }


class Dice(random.Random):
    """Throws worlds and conditions."""

    # Worlds

    def world(self, customers: int, events: int) -> World:
        """Return a world of that many customers and events."""
        made = World(list(self._customers(customers)), list(self._events(events, customers)), relations())
        winners = {each["id"]: each["merged_into"] for each in made.customers if each["merged_into"]}
        for each in made.events:
            while (winner := winners.get(each["customer_id"])) and each["moved"]:
                each["customer_id"] = winner
        for key, relation in made.relations.items():
            for customer in range(1, customers + 1):
                if self.random() < 0.85:
                    relation.rows += [(customer, *row) for row in self._rows(key, relation)]
        return made

    def _customers(self, size: int) -> Iterator[dict[str, Any]]:
        for number in range(1, size + 1):
            created = self._instant()
            yield {
                "id": number,
                "kind": self.choice(["person", "company"]),
                "name": self.choice([*TEXTS, None, None]),
                "phone": None,
                "email": self.choice(["a@example.com", None]),
                "company": self.choice(["上海", "Shanghai", None]),
                "stage": self.choice([*STAGES, None]),
                "owner": self.choice([1, 2, 7, None]),
                "team": self.choice([1, None]),
                "created_at": created,
                "updated_at": max(created, self._instant()),
                "merged_into": self.randrange(1, number) if number > 1 and self.random() < 0.1 else None,
                "attributes": self._values(
                    dict(zip(ATTRIBUTES, (TEXTS, NUMBERS, [True, False], None), strict=False)), ATTRIBUTES
                ),
            }

    def _events(self, size: int, customers: int) -> Iterator[dict[str, Any]]:
        kinds = dict(zip(PROPERTIES, (TEXTS, NUMBERS, [True, False], None), strict=False))
        for number in range(1, size + 1):
            name = self.choice([*NAMES, "order.paid", "order.paid"])
            currency = self.choice([*CURRENCIES, "CNY", "CNY", None]) if name.startswith("order") else None
            yield {
                "id": number,
                "customer_id": min(self.randrange(1, customers + 1), self.randrange(1, customers + 1)),
                "moved": self.random() < 0.9,
                "name": name,
                "behaviour": name != PLATFORM,
                "occurred_at": self._instant(),
                "currency": currency,
                "amount": None if currency is None else self.choice([*AMOUNTS, self.randrange(10**6)]),
                "source": self.choice(["web", "app", "pos", ""]),
                "properties": self._values(kinds, PROPERTIES),
            }

    def _values(self, kinds: dict[str, list[Any] | None], keys: list[str]) -> dict[str, Any]:
        """Return values of a key's own kind for the most part, and of any other now and then."""
        found = {}
        for key in keys:
            pool = (
                kinds.get(key, TEXTS)
                if self.random() < 0.75
                else [*TEXTS, *NUMBERS, True, False, None, ["上海"], {"x": 1}]
            )
            if pool is NUMBERS and key in ATTRIBUTES:
                pool = [*NUMBERS, *LARGE]
            elif key == "a.b":
                pool = [*ALIKE, *pool]
            if self.random() < 0.8:
                found[key] = self._date() if pool is None else self.choice(pool)
        return found

    def _edge(self, moment: tuple[str, datetime], windows: list[str]) -> int:
        """Return an instant at the edge of a window, or of the window before it, that ends at a moment."""
        zone, now = moment
        edge, window = micros(now), self.choice(windows)
        for _ in range(self.choice([0, 1, 1, 2])):
            edge = Clock(zone).before(edge, window)
        return edge + self.choice([-1, 0, 0, 1])

    def _instant(self, windows: list[str] = WINDOWS, moment: tuple[str, datetime] | None = None) -> datetime:
        zone, now = moment = moment or self.choice(MOMENTS)
        match self.choice(["edge", "edge", "days", "midnight", "near", "near", "year"]):
            case "edge":
                at = self._edge(moment, windows)
            case "days":
                at = micros(now) - self.choice([1, 2, 6, 7, 29, 30, 31, 60, 90]) * DAY + self.choice([-1, 0, 1])
            case "midnight":
                clock = Clock(zone)
                at = clock.instant((clock.day(micros(now)) - self.randrange(40)) * DAY) + self.choice([-1, 0, 1])
            case "near":
                at = micros(now) - round(self.uniform(-3, 62) * DAY)
            case _:
                at = micros(now) - round(self.uniform(-30, 500) * DAY)
        return EPOCH + timedelta(microseconds=at)

    def _date(self) -> str:
        """Return a text that looks like a date and is one for the most part; many are near an anniversary."""
        form = self.choice(["pool", "edge", "birthday", "birthday"])
        if form == "pool":
            return self.choice(DATES)
        if form == "edge":
            offset = timedelta(minutes=self.choice([0, 480, -300, 345]))
            local = (self._instant() + offset).replace(tzinfo=None)
            hours, minutes = divmod(abs(int(offset.total_seconds())) // 60, 60)
            suffix = f"{'-' if offset < timedelta(0) else '+'}{hours:02}:{minutes:02}"
            return local.isoformat(sep=self.choice("T ")) + (suffix if offset else "Z")
        day = (self.choice(MOMENTS)[1] + timedelta(days=self.choice([-1, 0, 0, 1, 2, 3, 6, 7, 8]))).date()
        year = self.randrange(1950, 2026)
        if (day.month, day.day) == (2, 28) and self.random() < 0.5:
            return f"{year - year % 4}-02-29"
        if (day.month, day.day) == (2, 29):
            year -= year % 4
        return f"{year:04}-{day:%m-%d}" + self.choice(["", "", " 23:30", "T23:59:59+14:00", "T00:00:00Z"])

    def _rows(self, key: str, relation: Relation) -> Iterator[tuple[Any, ...]]:
        if relation.many:
            for value in relation.pool:
                if self.random() < 0.5:
                    for _ in range(self.choice([1, 1, 2])):
                        yield from self._periods([value]) if relation.history else [(value,)]
            if self.random() < 0.05:
                yield from self._periods([None]) if relation.history else [(None,)]
        elif relation.history:
            yield from self._periods([*relation.pool, None])
        else:
            yield (self.choice([self._instant() if relation.kind == "instant" else self.choice(relation.pool), None]),)

    def _periods(self, values: list[Any]) -> Iterator[tuple[Any, datetime, datetime | None]]:
        """Return periods that follow each other, some with a gap between, some without end, some of no length."""
        moment = self.choice(MOMENTS)
        cuts = sorted({self._instant(HELD, moment) for _ in range(self.choice([2, 3, 4, 6, 8]))})
        ends = [*cuts[1:], self.choice([None, cuts[-1] + timedelta(days=9)])]
        for start, end in zip(cuts, ends, strict=True):
            if self.random() < 0.8:
                yield self.choice(values), start, end
            if self.random() < 0.05:
                yield self.choice(values), start, start

    # Conditions

    def condition(self, depth: int = 3) -> Node:
        """Return a condition with leaves of every kind."""
        kind = self.choice(["leaf", "leaf", "not", "all", "any"])
        if depth == 0 or kind == "leaf":
            return self.leaf()
        if kind == "not":
            return {"type": "not", "of": self.condition(depth - 1)}
        return {"type": kind, "of": [self.condition(depth - 1) for _ in range(self.choice([1, 2, 2, 2, 3]))]}

    def leaf(self) -> Node:
        """Return a leaf, of each kind about as often as of the others."""
        throw = self.random()
        if throw < 0.33:
            return self.trend()
        if throw < 0.66:
            return self.event()
        return self.related() if throw < 0.92 else self.field()

    def field(self) -> Node:
        """Return a comparison of a column or an attribute, of birthdays in particular."""
        if self.random() < 0.25:
            value = self.choice(["P1D", "P2D", "P1W", "P8D"])
            return {"type": "field", "field": "customer.attributes.born", "op": "anniversary", "value": value}
        if self.random() < 0.4:
            key = self.choice(list(COLUMNS))
            pool = {
                "customer.stage": STAGES,
                "customer.id": [1, 5, 20, 40, Decimal("2.5")],
                "customer.owner": [1, 2, 7],
            }
            return {"type": "field", "field": key, **self._compared(COLUMNS[key], pool.get(key))}
        key = self.choice([*ATTRIBUTES, *ATTRIBUTES, *(["born"] * 4), "unknown"])
        return {"type": "field", "field": f"customer.attributes.{key}", **self._json(key, ATTRIBUTES)}

    def _json(self, key: str, keys: list[str]) -> Node:
        own = dict(zip(keys, ("text", "number", "boolean", "date"), strict=False)).get(key, "text")
        return self._compared(own if self.random() < 0.7 else self.choice(["text", "number", "boolean", "date"]))

    def _compared(self, kind: str, pool: list[Any] | None = None) -> Node:
        op = self.choice(OPS[kind])
        if op == "within_last":
            return {"op": op, "value": self.choice(WINDOWS)}
        if op == "anniversary":
            value = self.choice([None, "P1D", "P2D", "P1W", "P7D", "P30D", "P366D"])
            return {"op": op} | ({"value": value} if value else {})
        if pool is None:
            pool = {"text": TEXTS, "number": [*NUMBERS, *LARGE], "boolean": [True, False]}.get(kind, LITERAL_DATES)
        return {"op": op, **self._value(op, pool)}

    def _value(self, op: str, pool: list[Any]) -> Node:
        if op in PRESENCE:
            return {}
        if op in ("in", "not_in"):
            return {"value": [self.choice(pool) for _ in range(self.randrange(1, 4))]}
        if op == "between":
            low, high = self.choice(pool), self.choice(pool)
            in_order = isinstance(low, str) or isinstance(high, str) or low <= high or self.random() < 0.2
            return {"value": [low, high] if in_order else [high, low]}
        return {"value": self.choice(pool)}

    def related(self) -> Node:
        """Return a comparison of a relation's field, often over a time."""
        fields = relations()
        key = self.choice(list(fields))
        relation = fields[key]
        pool = relation.pool
        if relation.kind == "instant":
            pool = [each.isoformat() for each in pool] if relation.many else None
        node = {"type": "field", "field": key, **self._compared("many" if relation.many else relation.kind, pool)}
        if relation.history and self.random() < 0.7:
            node["for"] = self.choice(HELD)
        return node

    def event(self) -> Node:
        """Return a comparison of a measure."""
        measure = self.choice(MEASURES)
        node = self._measure("event", measure)
        op = self.choice(EQUALITY + ORDERED + ORDERED + (PRESENCE if measure in MISSING else []))
        if self.random() < 0.65:
            node["within"] = self.choice(WINDOWS)
        money = node.get("of") in ("amount", "event.amount") and measure != "distinct"
        pool = [0, 1, 1, 2, 2, 3, 4, 5, 10, Decimal("0.5"), -1]
        if measure.startswith("days"):
            pool = [0, 1, 2, 6, 7, 29, 30, 31, 60, 90, 300]
        elif money:
            pool = [0, 1, 5, Decimal("0.01"), "123.45", 5000, -7, Decimal("0.005"), "500", Decimal("0.5"), 2000, 10**10]
        elif measure not in ("count", "active_days", "distinct"):
            pool = [*NUMBERS, Decimal("0.3"), Decimal("3.5"), Decimal("1.55"), 10**8]
        return node | {"op": op} | self._value(op, pool)

    def trend(self) -> Node:
        """Return a comparison of a measure's change."""
        node = self._measure("trend", self.choice([each for each in MEASURES if not each.startswith("days")]))
        op = self.choice(ORDERED)
        pool = [-1, Decimal("-0.5"), Decimal("-0.25"), 0, 0, Decimal("0.5"), 1, 2, 10, Decimal("0.333"), -3]
        return node | {"within": self.choice(WINDOWS), "op": op} | self._value(op, pool)

    def _measure(self, kind: str, measure: str) -> Node:
        names = [
            *NAMES,
            "order.paid",
            "order.paid",
            "*",
            "*",
            ["*"],
            self.sample(NAMES, 2),
            self.sample(NAMES, 3),
            "none",
        ]
        node: Node = {"type": kind, "event": self.choice(names), "measure": measure}
        if measure not in SIMPLE:
            node["of"] = self.choice(
                [
                    "amount",
                    "event.amount",
                    *(["event.properties.qty"] * 2),
                    f"event.properties.{self.choice(PROPERTIES)}",
                ]
            )
            if measure == "distinct":
                node["of"] = self.choice(
                    [*(f"event.properties.{key}" for key in PROPERTIES), "event.properties.a.b", "amount"]
                )
        if self.random() < 0.45:
            node["where"] = self.where()
        of_money = node.get("of") in ("amount", "event.amount")
        if (of_money or "event.amount" in repr(node.get("where"))) and self.random() < 0.5:
            node["currency"] = self.choice(CURRENCIES)
        return node

    def where(self, depth: int = 2) -> Node:
        """Return a condition over an event."""
        kind = self.choice(["leaf", "leaf", "leaf", "not", "all", "any"])
        if depth == 0 or kind == "leaf":
            return self._where_leaf()
        if kind == "not":
            return {"type": "not", "of": self.where(depth - 1)}
        return {"type": kind, "of": [self.where(depth - 1) for _ in range(self.choice([1, 2, 2, 3]))]}

    def _where_leaf(self) -> Node:
        name = self.choice(EVENT_FIELDS)
        if name == "properties":
            key = self.choice([*PROPERTIES, *PROPERTIES, "unknown"])
            return {"type": "field", "field": f"event.properties.{key}", **self._json(key, PROPERTIES)}
        kind = {"amount": "number", "occurred_at": "instant"}.get(name, "text")
        pool = {
            "name": [*NAMES, "order"],
            "amount": [0, 1, 5, Decimal("0.5"), Decimal("0.01"), Decimal("123.45"), -7, 5000, Decimal("0.005")],
            "currency": [*CURRENCIES, "cny"],
            "source": ["web", "app", "", "o"],
        }.get(name)
        if name == "occurred_at" and self.random() < 0.7:
            return {"type": "field", "field": "event.occurred_at", "op": "within_last", "value": self.choice(WINDOWS)}
        return {"type": "field", "field": f"event.{name}", **self._compared(kind, pool)}


def parts(node: Node) -> Iterator[Node]:
    """Yield a condition and everything in it, conditions over events too."""
    yield node
    below = node.get("of")
    for part in below if isinstance(below, list) else [below] if isinstance(below, dict) else []:
        yield from parts(part)
    if node.get("where"):
        yield from parts(node["where"])
