"""Members kept by events and by edges are those that a full evaluation finds, and both plans find the same ones."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from zhike.conditions.check import check
from zhike.conditions.checked import Checked, Moment
from zhike.conditions.compiler.edges import compile_edges
from zhike.conditions.compiler.statement import PLANNING, compile_members
from zhike.conditions.decode import decode
from zhike.conditions.dependencies import Dependencies, dependencies
from zhike.contracts import ConditionField
from zhike.events.service import record
from zhike.hooks import hookimpl
from zhike.orm import Connection, Database
from zhike.platform import Platform

NAMES = ["order.paid", "app.login", "customer.updated"]
DURATIONS = ["PT6H", "P1D", "P7D", "P1M", "P1M", "P2M", "P1Y", "P13M", "P1M1DT1H", "P30D"]
EQUALITY, ORDER, PRESENCE = (
    ["eq", "ne", "in", "not_in"],
    ["gt", "gte", "lt", "lte", "between"],
    ["is_set", "is_not_set"],
)
INSTANT = ["within_last", "anniversary", "before"]
TEXTS = ["上海", "a", "b", ""]
POOLS: dict[str, list[Any]] = {
    "count": [0, 1, 2, 3],
    "sum": [0, 1, 2, 5, 10],
    "distinct": [0, 1, 2],
    "active_days": [0, 1, 2, 3],
    "avg": [0, 1, 2, 2.5, 3],
    "min": [0, 1, 2, 5],
    "max": [0, 1, 2, 5],
    "days_since_first": [0, 1, 2, 3, 7, 30, 31, 364, 365, 1.5],
    "days_since_last": [0, 1, 2, 3, 6, 7, 8, 30, 1.5],
}
OPS = {
    "customer.name": [*EQUALITY, "contains", *PRESENCE],
    "customer.attributes.city": [*EQUALITY, "starts_with", *PRESENCE],
    "customer.attributes.born": INSTANT,
    "customer.created_at": INSTANT,
    "customer.updated_at": INSTANT,
    "marks.due": [*INSTANT, *PRESENCE],
    "marks.tag": ["contains", "not_contains", "in", "not_in", *PRESENCE],
    "marks.list": ["contains", "not_contains", "in", "not_in", *PRESENCE],
    "marks.grade": EQUALITY + ORDER + PRESENCE,
}
LEAVES = [
    *[("event", name, op) for name in POOLS for op in EQUALITY + ORDER],
    *[("event", name, op) for name in ("avg", "min", "max", "days_since_first", "days_since_last") for op in PRESENCE],
    *[("trend", name, op) for name in POOLS for op in ORDER if not name.startswith("days")],
    *[("field", name, op) for name, ops in OPS.items() for op in ops],
]
"""Type, measure or field, and operator of every leaf there can be."""
TABLES = """
CREATE TABLE marks_tag (customer_id bigint, value text, valid_from timestamptz NOT NULL, valid_to timestamptz);
CREATE TABLE marks_grade (customer_id bigint, value numeric, valid_from timestamptz NOT NULL, valid_to timestamptz);
CREATE TABLE marks_due (customer_id bigint, value timestamptz);
CREATE TABLE marks_list (customer_id bigint, value text);
"""


class Marks:
    """A plugin with a field of every sort."""

    @hookimpl
    def register_condition_fields(self) -> list[ConditionField]:
        """Register them."""
        sorts: list[tuple[str, Any, bool, bool]] = [
            ("tag", "text", True, True),
            ("grade", "number", False, True),
            ("due", "instant", False, False),
            ("list", "text", True, False),
        ]
        return [
            ConditionField(
                key=f"marks.{name}",
                label=name,
                type=kind,
                relation=f"marks_{name}",
                many=many,
                history=history,
                changed_by=("marks.changed",),
            )
            for name, kind, many, history in sorts
        ]


class Dice(random.Random):
    """Makes conditions and what happens to customers."""

    def condition(self, depth: int = 2) -> dict[str, Any]:
        kind = self.choice(["leaf", "all", "any", "not"] if depth else ["leaf"])
        if kind == "leaf":
            return self.leaf(*self.choice(LEAVES))
        if kind == "not":
            return {"type": "not", "of": self.condition(depth - 1)}
        return {"type": kind, "of": [self.condition(depth - 1) for _ in range(self.choice([1, 2, 3]))]}

    def leaf(self, kind: str, name: str, op: str) -> dict[str, Any]:
        if kind == "field":
            return self.field(name, op)
        node = {"type": kind, "measure": name, "op": op}
        node["event"] = self.choice([*NAMES, "*", "*", ["order.paid", "app.login"]])
        if name in ("sum", "avg", "min", "max", "distinct"):
            node["of"] = self.choice(["amount", "event.properties.n"])
            if node["of"] == "amount" and self.random() < 0.3:
                node["currency"] = "JPY"
        if kind == "trend" or self.random() < 0.7:
            node["within"] = self.choice(DURATIONS)
        if self.random() < 0.4:
            node["where"] = self.where()
        return node | self.value(op, [-1, -0.5, 0, 0.5, 1, 2] if kind == "trend" else POOLS[name])

    def where(self) -> dict[str, Any]:
        node = self.choice(
            [
                {"type": "field", "field": "event.properties.n", "op": "gte", "value": 2},
                {"type": "field", "field": "event.properties.n", "op": "ne", "value": 1},
                {"type": "field", "field": "event.amount", "op": "gt", "value": 1},
                {"type": "field", "field": "event.source", "op": "is_set"},
                {"type": "field", "field": "event.occurred_at", "op": "after", "value": "2026-03-01"},
                {"type": "field", "field": "event.occurred_at", "op": "within_last", "value": self.choice(DURATIONS)},
                {"type": "field", "field": "event.occurred_at", "op": "anniversary"},
                {"type": "field", "field": "event.properties.until", "op": "within_last", "value": "P1D"},
                {"type": "field", "field": "event.properties.until", "op": "anniversary", "value": "P7D"},
            ]
        )
        return {"type": "not", "of": node} if self.random() < 0.3 else node

    def field(self, name: str, op: str) -> dict[str, Any]:
        node = {"type": "field", "field": name, "op": op}
        if name in ("marks.tag", "marks.grade") and self.random() < 0.7:
            node["for"] = self.choice(DURATIONS)
        match op:
            case "before":
                return node | {"value": "2026-03-30"}
            case "within_last":
                return node | {"value": self.choice(DURATIONS)}
            case "anniversary":
                return node | self.choice(
                    [{}, {"value": "P1D"}, {"value": "P3D"}, {"value": "P1W"}, {"value": "P366D"}]
                )
        return node | self.value(op, [1, 2, 3] if name == "marks.grade" else TEXTS)

    def value(self, op: str, pool: Sequence[Any]) -> dict[str, Any]:
        if op in PRESENCE:
            return {}
        if op in ("in", "not_in"):
            return {"value": self.sample(pool, 2)}
        if op == "between":
            return {"value": sorted(self.sample(pool, 2))}
        return {"value": self.choice(pool)}

    def back(self) -> timedelta:
        """How long ago something is: often as long as a window, or not yet, and on the quarter of an hour."""
        days = self.choice([0, 0, 0, 1, 2, 3, 6, 7, 7, 28, 30, 31, 59, 61, 365, 396, self.randrange(800)])
        return timedelta(days=days, minutes=15 * self.choice([0, 0, 1, 24, 95, -1, -20, -96]))

    def event(self, now: datetime, known: int) -> dict[str, Any]:
        number = self.randrange(known)
        identities = {"external_id": f"c{number}"}
        if self.random() < 0.3:
            # A visitor, whom a later event with both identities merges into a customer.
            identities = (
                {"device_id": f"d{number}"} if self.random() < 0.7 else identities | {"device_id": f"d{number}"}
            )
        event: dict[str, Any] = {
            "name": self.choice(NAMES[:2]),
            "message_id": f"m{self.randrange(2000)}",
            "occurred_at": max(now - self.back(), datetime(1970, 1, 1, tzinfo=UTC)),
            "identities": identities,
            "source": self.choice(["", "web"]),
            "properties": {"n": self.choice([0, 1, 1.0, 2, 3, "1", None, True]), "until": self.instant(now)},
        }
        if self.random() < 0.6:
            event |= {"amount": self.choice([0, 1, 2, 5, -3]), "currency": self.choice(["CNY", "JPY"])}
        if self.random() < 0.4:
            traits = {"born": self.instant(now), "city": self.choice(TEXTS), "name": self.choice([*TEXTS, None])}
            event["traits"] = dict(self.sample(sorted(traits.items(), key=str), 1))
        return event

    def instant(self, now: datetime) -> str:
        moment = now - self.back()
        return self.choice([moment.isoformat(), moment.date().isoformat(), "2024-02-29", "soon"])

    def jump(self) -> timedelta:
        minutes = self.choice(
            [1, 15, 15, 60, 60, 180, 720, 720, 1440, 1440, 4320, 4320, 10080, self.choice([31, 365]) * 1440]
        )
        return timedelta(minutes=minutes if self.random() < 0.75 else -minutes)


class Rule:
    """A condition and those for whom it holds, as far as is known."""

    def __init__(self, node: dict[str, Any], platform: Platform) -> None:
        self.node = node
        self.checked: Checked = check(
            decode(msgspec.json.encode(node)), fields=platform.fields, settings=platform.settings
        )
        self.depends: Dependencies = dependencies(self.checked, platform.fields)
        self.members: set[int] = set()

    async def found(self, connection: Connection, now: datetime, zone: str, among: list[int] | None) -> set[int]:
        sql, values = compile_members(
            self.checked, select="customer.id", moment=Moment(now, zone), visible="true", among=among
        )
        return {row["id"] for row in await connection.fetch(sql, *values)}

    async def renew(self, connection: Connection, now: datetime, zone: str, ids: set[int]) -> None:
        if ids:
            self.members = self.members - ids | await self.found(connection, now, zone, sorted(ids))


class World:
    """A deployment in which things happen, and the rules that are kept up to date on it."""

    def __init__(
        self, dice: Dice, platform: Platform, connection: Connection, rules: list[Rule], now: datetime
    ) -> None:
        self.dice, self.platform, self.connection, self.rules = dice, platform, connection, rules
        self.now = self.first = self.last = now
        self.zone = platform.settings.timezone
        self.seen = 0
        self.evaluated = self.turned = self.possible = 0

    async def storm(self, events: int, marks: int) -> None:
        """Let things happen now, and evaluate the rules that depend on them for the customers concerned."""
        for size in (events // 2, events - events // 2):
            await record(self.platform, [self.dice.event(self.now, 24) for _ in range(size)], origin="token:test")
        log = await self.connection.fetch(
            "SELECT id, customer_id, name, behaviour, properties FROM event WHERE id > $1 ORDER BY id", self.seen
        )
        happened = [(row["name"], row["behaviour"], row["customer_id"]) for row in log]
        for row in log:
            if row["name"] == "customer.merged":
                loser = msgspec.json.decode(row["properties"])["loser_id"]
                happened.append((row["name"], False, loser))
                await self._move(loser, row["customer_id"])
        if log:
            self.seen = log[-1]["id"]
        living = [row["id"] for row in await self.connection.fetch("SELECT id FROM customer WHERE merged_into IS NULL")]
        for _ in range(marks if living else 0):
            customer = self.dice.choice(living)
            await self._mark(customer)
            happened.append(("marks.changed", False, customer))
        for rule in self.rules:
            depends = rule.depends
            ids = {
                customer
                for name, behaviour, customer in happened
                if name in depends.events or (behaviour and depends.any_behaviour)
            }
            await rule.renew(self.connection, self.now, self.zone, ids)
        self.first, self.last = min(self.first, self.now), max(self.last, self.now)

    async def sweep(self) -> None:
        """Evaluate the rules for those whom time has brought past an edge since the last sweep; compare."""
        first, last = min(self.first, self.now), max(self.last, self.now)
        living = await self.connection.fetchval("SELECT count(*) FROM customer WHERE merged_into IS NULL")
        for rule in self.rules:
            sql, values = compile_edges(rule.checked, first, last, ZoneInfo(self.zone))
            found = await self.connection.fetch(sql, *values)
            ids = {row["customer_id"] for row in found}
            assert len(ids) == len(found)
            assert rule.depends.timed or not ids
            before = rule.members
            await rule.renew(self.connection, self.now, self.zone, ids)
            self.turned += len(before ^ rule.members)
            async with self.connection.transaction():
                await self.connection.execute(PLANNING)
                full = await rule.found(self.connection, self.now, self.zone, None)
            assert rule.members == full, (rule.node, first, last, self.now, rule.members ^ full)
            self.evaluated += len(ids)
            self.possible += living
        self.first = self.last = self.now

    async def _move(self, loser: int, winner: int) -> None:
        for table in ("marks_tag", "marks_list"):
            await self.connection.execute(f"UPDATE {table} SET customer_id = $2 WHERE customer_id = $1", loser, winner)
        for table in ("marks_grade", "marks_due"):
            await self.connection.execute(f"DELETE FROM {table} WHERE customer_id = $1", loser)

    async def _mark(self, customer: int) -> None:
        dice, run = self.dice, self.connection.execute
        turns = sorted({self.now - dice.back() for _ in range(4)})
        match dice.randrange(4):
            case 0:
                await run("DELETE FROM marks_tag WHERE customer_id = $1 AND value = $2", customer, dice.choice(TEXTS))
                value, until = dice.choice(TEXTS), dice.choice([None, turns[-1]])
                begun = turns[0] if until is None or turns[0] < until else until - timedelta(days=7)
                await run("INSERT INTO marks_tag VALUES ($1, $2, $3, $4)", customer, value, begun, until)
            case 1:
                await run("DELETE FROM marks_grade WHERE customer_id = $1", customer)
                for begun, until in zip(turns, [*turns[1:], None], strict=True):
                    if dice.random() < 0.8:
                        grade = dice.choice([1, 2, 3, None])
                        await run("INSERT INTO marks_grade VALUES ($1, $2, $3, $4)", customer, grade, begun, until)
            case 2:
                await run("DELETE FROM marks_due WHERE customer_id = $1", customer)
                await run("INSERT INTO marks_due VALUES ($1, $2)", customer, dice.choice([None, *turns]))
            case 3:
                await run("DELETE FROM marks_list WHERE customer_id = $1 AND value = $2", customer, dice.choice(TEXTS))
                await run("INSERT INTO marks_list VALUES ($1, $2)", customer, dice.choice([*TEXTS, None]))


ZONES = [
    ("Asia/Shanghai", datetime(2028, 2, 27, 13, 30, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 3, 28, 20, 15, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 2, 12, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 10, 30, 22, 45, tzinfo=UTC)),
]


@pytest.mark.parametrize("place", range(len(ZONES)))
async def test_what_is_kept_up_to_date_is_what_a_full_evaluation_finds(
    place: int, database: Database, make_platform: Any, frozen_now: Any
) -> None:
    zone, begin = ZONES[place]
    platform = make_platform(database, marks=Marks())
    platform.settings = msgspec.structs.replace(platform.settings, timezone=zone)
    dice = Dice(place)
    nodes = [dice.leaf(*leaf) for leaf in LEAVES[place :: len(ZONES)]] + [dice.condition() for _ in range(25)]
    async with database.connection() as connection:
        await connection.execute(TABLES)
        frozen_now.set(begin)
        world = World(dice, platform, connection, [Rule(node, platform) for node in nodes], begin)
        await world.storm(150, 60)
        for _ in range(15):
            for _ in range(dice.choice([0, 1, 2])):
                world.now += dice.jump()
                frozen_now.set(world.now)
                await world.storm(dice.choice([0, 5, 12]), dice.choice([0, 4]))
            world.now += dice.jump()
            frozen_now.set(world.now)
            await world.sweep()
        assert await connection.fetchval("SELECT count(*) FROM customer_merge") > 0
    # Time alone has changed much, and little was evaluated for it.
    assert world.turned > 100
    assert world.evaluated < world.possible / 3
