"""Both plans of the compiler, the evaluator and an engine that was written apart find the same, whatever is asked."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple
from zoneinfo import ZoneInfo

import asyncpg
import msgspec
import pytest

from dice import CURRENCIES, MEASURES, MOMENTS, OPS, PROPERTIES, Dice, World, parts, relations
from engine import DIGITS, Engine, Node
from misreadings import AddsUpCurrencies
from walls import DAY, SECOND, micros
from zhike.conditions import service
from zhike.conditions.catalog import Fields
from zhike.conditions.check import check, check_where
from zhike.conditions.checked import Checked, Moment
from zhike.conditions.decode import decode
from zhike.conditions.evaluator import holds
from zhike.conditions.problems import BadCondition
from zhike.contracts import ConditionField, RecordedEvent
from zhike.hooks import hookimpl
from zhike.orm import Connection
from zhike.platform import assemble
from zhike.settings import Settings
from zhike.testing.databases import Server

# The database and the engines are made once, by the worker that gets the group.
pytestmark = [pytest.mark.xdist_group("conditions_agreement"), pytest.mark.timeout(600)]

CONDITIONS, SEEDS = 900, 3
CUSTOMERS, EVENTS = 120, 4000
TYPES = {"text": "text", "number": "numeric", "boolean": "boolean", "instant": "timestamptz"}
encode = msgspec.json.Encoder(decimal_format="number").encode


class Case(NamedTuple):
    """A condition, when and where it is asked, and who fulfils it by the engine that was written apart."""

    condition: Node
    zone: str
    now: datetime
    expected: frozenset[int]


def table(key: str) -> str:
    return key.replace(".", "_")


def registered() -> list[ConditionField]:
    return [
        ConditionField(
            key=key,
            label=key,
            type=relation.kind,
            relation=table(key),
            changed_by=("dice.thrown",),
            many=relation.many,
            history=relation.history,
        )
        for key, relation in relations().items()
    ]


FIELDS = Fields(assemble({"dice": SimpleNamespace(register_condition_fields=hookimpl(registered))}).registry)


async def fill(url: str, world: World) -> None:
    connection = await asyncpg.connect(url)
    columns = ("id", "kind", "name", "phone", "email", "company", "stage", "owner", "team")
    columns += ("created_at", "updated_at", "merged_into")
    try:
        await connection.executemany(
            f"INSERT INTO customer ({', '.join(columns)}, attributes)"
            f" VALUES ({', '.join(f'${n}' for n in range(1, 13))}, $13::text::jsonb)",
            [(*(each[name] for name in columns), encode(each["attributes"]).decode()) for each in world.customers],
        )
        columns = ("id", "name", "behaviour", "customer_id", "occurred_at", "amount", "currency", "source")
        await connection.executemany(
            f"INSERT INTO event ({', '.join(columns)}, properties, message_id, batch_id, home_customer_id, shard,"
            " recorded_at, origin, live) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::jsonb, $1::int8::text, 1,"
            " $4, 0, now(), 'system', true)",
            [(*(each[name] for name in columns), encode(each["properties"]).decode()) for each in world.events],
        )
        for name in ("name", "'*'"):
            await connection.execute(
                f"INSERT INTO customer_event_stat SELECT customer_id, {name}, coalesce(currency, ''), count(*),"
                " coalesce(sum(amount), 0), min(occurred_at), max(occurred_at) FROM event WHERE behaviour"
                " GROUP BY 1, 2, 3"
            )
        await connection.execute("INSERT INTO event_type SELECT DISTINCT name, behaviour FROM event")
        for key, relation in world.relations.items():
            history = ", valid_from timestamptz, valid_to timestamptz" if relation.history else ""
            await connection.execute(
                f"CREATE TABLE {table(key)} (customer_id bigint, value {TYPES[relation.kind]}{history})"
            )
            places = ", ".join(f"${n}" for n in range(1, 5 if relation.history else 3))
            await connection.executemany(f"INSERT INTO {table(key)} VALUES ({places})", relation.rows)
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


@pytest.fixture(scope="module")
def world() -> World:
    return Dice(20240229).world(CUSTOMERS, EVENTS)


@pytest.fixture(scope="module")
def engines(world: World) -> dict[str, Engine]:
    return {zone: Engine(world, zone) for zone in {zone for zone, _ in MOMENTS}}


@pytest.fixture(scope="module")
def sample(engines: dict[str, Engine]) -> list[list[Case]]:
    """Conditions, most of which divide the customers: one in three of the others is left."""
    return [list(drawn(Dice(seed), engines)) for seed in range(SEEDS)]


def drawn(dice: Dice, engines: dict[str, Engine]) -> Iterator[Case]:
    left = CONDITIONS // SEEDS
    while left:
        zone, now = dice.choice(MOMENTS)
        condition = dice.condition()
        found = engines[zone].members(condition, micros(now))
        if 0 < len(found) < len(engines[zone].living) or dice.random() < 1 / 3:
            left -= 1
            yield Case(condition, zone, now, found)


@pytest.fixture(scope="module")
def filled_url(database_server: Server, world: World) -> Iterator[str]:
    url = database_server.create(plugins=())
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(asyncio.run, fill(url, world)).result()
    yield url
    database_server.drop(url)


class Product:
    """The product's answers for one world."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._before: dict[Moment, tuple[Checked, set[int]]] = {}
        self.everybody = list(range(-1, CUSTOMERS + 3))

    def checked(self, condition: Node, zone: str) -> Checked:
        return check(decode(encode(condition)), fields=FIELDS, settings=Settings(data=Path("unused"), timezone=zone))

    async def by_sets(self, case: Case) -> set[int]:
        checked = self.checked(case.condition, case.zone)
        return await service.members(self._connection, checked, Moment(case.now, case.zone))

    async def by_customer(self, case: Case) -> set[int]:
        checked = self.checked(case.condition, case.zone)
        moment = Moment(case.now, case.zone)
        found = await service.members(self._connection, checked, moment, among=self.everybody)
        # With the condition before, whose readings it shares, of other windows and for other customers.
        other, others = self._before.setdefault(moment, (checked, found))
        some, few = self.everybody[::3], self.everybody[1::2]
        asked = [(checked, self.everybody), (checked, some), (other, few)]
        together = await service.members_of_each(self._connection, asked, moment)
        assert together == [found, found & set(some), others & set(few)]
        self._before[moment] = checked, found
        return found


def simpler(node: Node) -> Iterator[Node]:
    """Yield conditions with a little less in them."""
    match node["type"]:
        case "all" | "any":
            yield from node["of"]
            for index in range(len(node["of"])):
                yield node | {"of": node["of"][:index] + node["of"][index + 1 :]}
        case "not":
            yield node["of"]
        case _:
            for key in ("where", "for", "currency", *(["within"] if node["type"] == "event" else [])):
                if node.get(key):
                    yield {name: value for name, value in node.items() if name != key}
            for key in ("event", "value"):
                if isinstance(node.get(key), list) and node["op"] != "between":
                    yield from (node | {key: [each]} for each in node[key] if len(node[key]) > 1)
            if node.get("where"):
                yield from (node | {"where": where} for where in simpler(node["where"]))


async def shrunk(node: Node, disagrees: Callable[[Node], Awaitable[bool]]) -> Node:
    """Return the smallest condition inside that is still answered differently."""
    for smaller in simpler(node):
        try:
            if await disagrees(smaller):
                return await shrunk(smaller, disagrees)
        except BadCondition:
            continue
    return node


async def report(case: Case, engine: Engine, world: World, answer: Callable[[Case], Awaitable[set[int]]]) -> str:
    """Return what a reader needs who has to tell which answer is right."""

    def asked(node: Node) -> Case:
        return case._replace(condition=node, expected=engine.members(node, micros(case.now)))

    async def disagrees(node: Node) -> bool:
        smaller = asked(node)
        return await answer(smaller) != smaller.expected

    small = asked(await shrunk(case.condition, disagrees))
    found = await answer(small)
    one = min(found ^ small.expected)
    return "\n".join(
        [
            f"{answer.__name__}, {small.zone}, now = {small.now.isoformat()}",
            encode(small.condition).decode(),
            f"only the product: {sorted(found - small.expected)}; only the engine: {sorted(small.expected - found)}",
            f"{one}: {world.about(one, small.condition)}",
        ]
    )


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_the_same_members(
    seed: int, filled_url: str, world: World, engines: dict[str, Engine], sample: list[list[Case]]
) -> None:
    connection = await asyncpg.connect(filled_url)
    different = []
    try:
        product = Product(connection)
        for case in sample[seed]:
            for answer in (product.by_sets, product.by_customer):
                if await answer(case) != case.expected:
                    different.append(await report(case, engines[case.zone], world, answer))
    finally:
        await connection.close()
    assert not different, "\n\n".join(different)


async def test_time_changes_nothing_beside_the_edges(
    filled_url: str, world: World, engines: dict[str, Engine], sample: list[list[Case]]
) -> None:
    dice = Dice(8)
    connection = await asyncpg.connect(filled_url)
    named = changes = 0
    try:
        product = Product(connection)
        for case in sample[0]:
            since = case.now - timedelta(microseconds=dice.choice([1, 2, SECOND, DAY // 24, DAY, 8 * DAY, 40 * DAY]))
            changed = engines[case.zone].members(case.condition, micros(since)) ^ case.expected
            checked = product.checked(case.condition, case.zone)
            edges = await service.edges(connection, checked, since, case.now, ZoneInfo(case.zone))
            assert changed <= edges, (encode(case.condition).decode(), case.zone, since, case.now, changed - edges)
            changes += len(changed)
            named += len(edges)
    finally:
        await connection.close()
    assert changes > 500
    assert named < len(sample[0]) * len(world.customers) / 2


def recorded(event: dict[str, object]) -> RecordedEvent:
    amount, currency = event["amount"], event["currency"]
    return RecordedEvent(
        batch_id=1,
        message_id="",
        shard=0,
        recorded_at=event["occurred_at"],
        amount=None if amount is None else Decimal(amount).scaleb(-DIGITS[currency]),
        properties_json=encode(event["properties"]).decode(),
        currency=currency,
        **{key: event[key] for key in ("id", "name", "behaviour", "customer_id", "occurred_at", "source")},
    )


def test_the_same_events(world: World, engines: dict[str, Engine]) -> None:
    dice = Dice(7)
    events = [recorded(each) for each in dice.sample(world.events, 250)]
    ids = {event.id for event in events}
    dividing = 0
    for _ in range(300):
        where, currency, (zone, now) = dice.where(), dice.choice(CURRENCIES), dice.choice(MOMENTS)
        settings = Settings(data=Path("unused"), timezone=zone)
        checked = check_where(decode(encode(where)), settings=settings, currency=currency)
        found = {event.id for event in events if holds(checked, event, Moment(now, zone))}
        expected = engines[zone].events(where, micros(now), currency) & ids
        assert found == expected, (encode(where).decode(), currency, zone, now.isoformat(), sorted(found ^ expected))
        dividing += 0 < len(found) < len(events)
    assert dividing > 150


def test_the_sample_is_not_trivial(engines: dict[str, Engine], sample: list[list[Case]]) -> None:
    cases = [case for part in sample for case in part]
    everybody = {zone: len(engine.living) for zone, engine in engines.items()}
    assert len(cases) >= 500
    assert sum(0 < len(case.expected) < everybody[case.zone] for case in cases) > 0.75 * len(cases)
    assert sum(0.1 < len(case.expected) / everybody[case.zone] < 0.9 for case in cases) > 0.5 * len(cases)
    assert len({len(case.expected) for case in cases}) > 60
    nodes = [node for case in cases for node in parts(case.condition)]
    types = Counter(node["type"] for node in nodes)
    assert min(types[each] for each in ("all", "any", "not", "field", "event", "trend")) > 100
    asked = {key for key in relations() if key in {node.get("field") for node in nodes}}
    assert asked == set(relations())
    leaves = [
        n for n in nodes if n["type"] in ("event", "trend") or n.get("field", "").startswith(("customer", "dice"))
    ]
    measured = [node for node in leaves if node["type"] == "event"]
    related = [node for node in leaves if node.get("field", "") in relations()]
    new = [node for node in measured if node["measure"] not in ("count", "sum") or node.get("where")]
    for kind in (new, related, [node for node in leaves if node["type"] == "trend"]):
        assert len(kind) >= 0.25 * len(leaves)
    assert sum(bool(node.get("where")) for node in leaves) > 0.25 * types["event"] + 0.25 * types["trend"]
    assert sum("for" in node for node in related) > 0.25 * len(related)
    times = Counter((node["type"], node["measure"]) for node in leaves if "measure" in node)
    for measure in MEASURES:
        assert times["event", measure] > 20
        assert measure.startswith("days") or times["trend", measure] > 20
    fields = [node for node in nodes if node["type"] == "field"]
    ops = Counter(node["op"] for node in fields)
    assert min(ops[op] for kind in OPS.values() for op in kind) > 15
    assert min(Counter(node["op"] for node in related if "for" in node)[op] for op in OPS["many"]) > 3
    inside = Counter(node["field"].split(".")[1] for node in fields if node["field"].startswith("event."))
    assert min(inside[name] for name in ("name", "amount", "currency", "source", "occurred_at")) > 15
    assert inside["properties"] > 10 * len(PROPERTIES)


@pytest.mark.parametrize("wrong", Engine.__subclasses__())
def test_a_wrong_reading_is_noticed(wrong: type[Engine], engines: dict[str, Engine], sample: list[list[Case]]) -> None:
    readers = {zone: engine.read_by(wrong) for zone, engine in engines.items()}
    different = 0
    for case in (case for part in sample for case in part):
        # Only a condition with the word in it can be misread: the others are left out, to save time.
        if getattr(wrong, "about", "") in repr(case.condition):
            different += readers[case.zone].members(case.condition, micros(case.now)) != case.expected
            if different == 3:
                return
    pytest.fail(f"{wrong.__name__}: only {different} conditions tell it from the right reading")


async def test_a_disagreement_is_shown_on_the_smallest_condition(
    world: World, engines: dict[str, Engine], sample: list[list[Case]]
) -> None:
    def answer(case: Case) -> frozenset[int]:
        reader = engines[case.zone].read_by(AddsUpCurrencies)
        return reader.members(case.condition, micros(case.now))

    async def wrong(case: Case) -> set[int]:
        return set(answer(case))

    large = [case for case in sample[0] if case.condition["type"] in ("all", "any")]
    case = next(case for case in large if answer(case) != case.expected)
    shown = (await report(case, engines[case.zone], world, wrong)).splitlines()
    small = msgspec.json.decode(shown[1])
    assert small["type"] in ("event", "trend")
    assert "amount" in repr(small.get("of")) + repr(small.get("where"))
    assert shown[2].startswith("only the product: [")
    assert "'events': [{" in shown[3]
