"""Fields of plugins: what every operator and `for` mean on the rows of a table or view, in both plans."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest

from zhike.conditions import decode
from zhike.conditions.catalog import Fields
from zhike.conditions.check import check
from zhike.conditions.checked import Moment
from zhike.conditions.compiler.statement import PLANNING, compile_members
from zhike.conditions.problems import BadCondition
from zhike.contracts import ConditionField
from zhike.hooks import hookimpl
from zhike.platform import assemble
from zhike.settings import Settings

NOW = datetime(2026, 3, 14, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
SETTINGS = Settings(data=Path("unused"))
EVERYBODY = {*range(1, 9)}  # 9 is merged into 1
TABLES = """
CREATE TABLE probe_mark (customer_id bigint, value text);
CREATE TABLE probe_base (customer_id bigint, points int, paid bool, until timestamptz, class varchar(10));
CREATE VIEW probe_points AS SELECT customer_id, points AS value FROM probe_base;
CREATE VIEW probe_paid AS SELECT customer_id, paid AS value FROM probe_base;
CREATE VIEW probe_until AS SELECT customer_id, until AS value FROM probe_base;
CREATE VIEW probe_class AS SELECT customer_id, class AS value FROM probe_base;
CREATE VIEW probe_half AS SELECT customer_id, points / 2.0 AS value FROM probe_base;
CREATE TABLE probe_stage (customer_id bigint, value text, valid_from timestamptz, valid_to timestamptz);
CREATE TABLE probe_group (customer_id int, value int, valid_from timestamptz, valid_to timestamptz);
"""
MARKS = [(1, "a"), (1, "b"), (2, "a"), (2, "a"), (3, "ab"), (4, None), (5, ""), (9, "a")]
BASE = [
    (1, 5, True, NOW - 30 * HOUR, "a"),
    (2, -7, False, NOW, "B"),
    (3, 0, None, NOW + HOUR, "é"),
    (4, None, True, None, None),
    (5, 2_000_000_000, False, datetime(1990, 3, 15, tzinfo=UTC), ""),
    (9, 5, True, NOW, "a"),
]


def registered(**kinds: Any) -> list[ConditionField]:
    what: dict[str, Any] = {"changed_by": ("probe.changed",)}
    return [
        ConditionField(key=f"probe.{name}", label=name, relation=f"probe_{name}", **what, **more)
        for name, more in kinds.items()
    ]


FIELDS = registered(
    mark={"type": "text", "many": True},
    points={"type": "number"},
    paid={"type": "boolean"},
    until={"type": "instant"},
    half={"type": "number"},
    stage={"type": "text", "history": True},
    group={"type": "number", "history": True, "many": True},
    **{"class": {"type": "text", "ops": ("gt", "contains")}},
)
FIELDS_OF = Fields(assemble({"probe": SimpleNamespace(register_condition_fields=hookimpl(lambda: FIELDS))}).registry)


async def fill(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(TABLES)
        await connection.executemany(
            "INSERT INTO customer (id, merged_into, created_at) VALUES ($1, $2, $3)",
            [(number, 1 if number == 9 else None, NOW - 48 * HOUR) for number in range(1, 10)],
        )
        await connection.copy_records_to_table("probe_mark", records=MARKS)
        await connection.copy_records_to_table("probe_base", records=BASE)
    finally:
        await connection.close()


@pytest.fixture
async def connection(filled_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection inside a transaction that leaves nothing behind."""
    opened = await asyncpg.connect(filled_url)
    transaction = opened.transaction()
    await transaction.start()
    yield opened
    await transaction.rollback()
    await opened.close()


async def members(connection: asyncpg.Connection[asyncpg.Record], condition: dict[str, Any]) -> set[int]:
    """Return for whom a condition holds, which both plans and the negation agree on."""
    everybody = {row["id"] for row in await connection.fetch("SELECT id FROM customer WHERE merged_into IS NULL")}
    found = await _members(connection, condition, None)
    few = random.Random(len(found)).sample(sorted(everybody), min(len(everybody), 100))
    assert await _members(connection, condition, [*few, 9]) == found & {*few}
    others = {"type": "not", "of": condition}
    assert await _members(connection, others, None) == everybody - found
    assert await _members(connection, others, few) == {*few} - found
    return found


async def _members(
    connection: asyncpg.Connection[asyncpg.Record], condition: dict[str, Any], among: list[int] | None
) -> set[int]:
    checked = check(decode.decode(json.dumps(condition).encode()), fields=FIELDS_OF, settings=SETTINGS)
    moment = Moment(NOW, SETTINGS.timezone)
    sql, values = compile_members(checked, select="customer.id", moment=moment, visible="true", among=among)
    async with connection.transaction():
        if among is None:
            await connection.execute(PLANNING)
        found = [row["id"] for row in await connection.fetch(sql, *values)]
    assert len(found) == len({*found})
    return {*found}


def field(key: str, op: str, *value: Any, **more: Any) -> dict[str, Any]:
    asked = {"type": "field", "field": f"probe.{key}", "op": op, **more}
    return asked | ({"value": value[0]} if value else {})


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        # Of many values each counts as a whole; null is none.
        (field("mark", "contains", "a"), {1, 2}),
        (field("mark", "contains", ""), {5}),
        (field("mark", "not_contains", "a"), EVERYBODY - {1, 2}),
        (field("mark", "in", ["b", "ab"]), {1, 3}),
        (field("mark", "not_in", ["b", "ab"]), EVERYBODY - {1, 3}),
        (field("mark", "is_set"), {1, 2, 3, 5}),
        (field("mark", "is_not_set"), EVERYBODY - {1, 2, 3, 5}),
        # Of single values, no row and null are missing.
        (field("points", "eq", 5), {1}),
        (field("points", "ne", 5), EVERYBODY - {1}),
        (field("points", "in", [0, -7, 7]), {2, 3}),
        (field("points", "not_in", [0, -7, 7]), EVERYBODY - {2, 3}),
        (field("points", "gt", 0), {1, 5}),
        (field("points", "gte", 0), {1, 3, 5}),
        (field("points", "lt", 0.5), {2, 3}),
        (field("points", "lte", -7), {2}),
        (field("points", "between", [-7, 0]), {2, 3}),
        (field("points", "lt", 1e300), {1, 2, 3, 5}),
        (field("points", "is_set"), {1, 2, 3, 5}),
        (field("points", "is_not_set"), EVERYBODY - {1, 2, 3, 5}),
        (field("half", "eq", 2.5), {1}),
        (field("paid", "eq", True), {1, 4}),
        (field("paid", "ne", True), EVERYBODY - {1, 4}),
        (field("paid", "in", [False]), {2, 5}),
        (field("paid", "is_not_set"), {3, 6, 7, 8}),
        (field("until", "eq", "2026-03-14T08:00:00Z"), {2}),
        (field("until", "before", "2026-03-14T08:00:00Z"), {1, 5}),
        (field("until", "after", "2026-03-14T08:00:00Z"), {3}),
        (field("until", "between", ["2026-03-13", "2026-03-14T08:00:00Z"]), {1, 2}),
        (field("until", "within_last", "P1D"), {2}),
        (field("until", "within_last", "PT30H"), {2}),
        (field("until", "within_last", "PT31H"), {1, 2}),
        (field("until", "anniversary"), {2, 3}),
        (field("until", "anniversary", "P2D"), {2, 3, 5}),
        (field("until", "is_not_set"), {4, 6, 7, 8}),
        # Texts compare by code point whatever collation their column has.
        (field("class", "gt", "B"), {1, 3}),
        (field("class", "contains", ""), {1, 2, 3, 5}),
    ],
)
async def test_every_operator(
    connection: asyncpg.Connection[asyncpg.Record], condition: dict[str, Any], expected: set[int]
) -> None:
    assert await members(connection, condition) == expected


async def test_leaves_of_one_relation_are_told_apart(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    marks = [field("mark", "contains", each) for each in ("a", "b", "ab")]
    assert await members(connection, {"type": "all", "of": marks[:2]}) == {1}
    assert await members(connection, {"type": "any", "of": [*marks, field("points", "lt", 0)]}) == {1, 2, 3}
    mixed = [marks[0], {"type": "not", "of": marks[1]}, field("paid", "eq", False)]
    assert await members(connection, {"type": "all", "of": mixed}) == {2}


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        (field("class", "eq", "a"), "condition.op is 'eq'; expected one of gt, contains"),
        (field("mark", "eq", "a"), "condition.op is 'eq'; expected one of contains, not_contains, in, not_in, is_set"),
        (field("mark", "starts_with", "a"), "condition.op is 'starts_with'"),
        (field("group", "contains", "1"), "condition.value must be a number"),
        (field("points", "contains", 1), "condition.op is 'contains'"),
        (field("points", "eq", "5"), "condition.value must be a number"),
        (field("points", "eq", 5, **{"for": "P1D"}), r"condition.for .*probe.points"),
        (field("stage", "eq", "a", **{"for": "P0D"}), "condition.for is zero"),
        (field("stage", "eq", "a", **{"for": "P501Y"}), "condition.for is longer than 500 years"),
        (field("stage", "eq", "a", **{"for": "-P1D"}), "condition.for is '-P1D'"),
        (field("none", "eq", "a"), "condition.field is 'probe.none', an unknown field; .*probe.mark"),
    ],
)
def test_what_does_not_fit_a_field_is_refused(condition: dict[str, Any], told: str) -> None:
    with pytest.raises(BadCondition, match=told):
        check(decode.decode(json.dumps(condition).encode()), fields=FIELDS_OF, settings=SETTINGS)


FOREVER = None
# Rows as (value, valid from, valid to) in hours from now, and for which of A (eq "a"), B (ne "a"), S (is_set),
# N (is_not_set) it holds: without `for`, and for 10 hours.
HISTORIES: list[tuple[list[tuple[str | None, float, float | None]], str, str]] = [
    ([], "BN", ""),
    ([("a", -20, FOREVER)], "AS", "AS"),
    ([("a", -10, FOREVER)], "AS", "AS"),
    ([("a", -9.99, FOREVER)], "AS", ""),
    ([("a", -20, 1)], "AS", "AS"),
    ([("a", -20, 0)], "BN", ""),  # ended just now
    ([("a", 0, FOREVER)], "AS", ""),  # began just now
    ([("a", 1, FOREVER)], "BN", ""),  # not yet
    ([("a", -20, -5), ("a", -5, FOREVER)], "AS", "AS"),  # the rows touch
    ([("a", -20, -8), ("a", -5, FOREVER)], "AS", "AS"),  # nothing known between them is nothing false
    ([("a", -20, -11), ("a", -5, FOREVER)], "AS", ""),  # nothing known ten hours ago
    ([("a", -20, -10), ("a", -5, FOREVER)], "AS", ""),
    ([("b", -20, -10), ("a", -10, FOREVER)], "AS", "AS"),
    ([("b", -20, -9.99), ("a", -9.99, FOREVER)], "AS", "S"),
    ([("a", -20, -1), ("b", -1, FOREVER)], "BS", "S"),
    ([("a", -20, 0), ("b", 0, FOREVER)], "BS", "S"),
    ([("b", -20, FOREVER)], "BS", "BS"),
    ([("b", -20, -5), ("c", -5, FOREVER)], "BS", "BS"),
    ([(None, -20, FOREVER)], "BN", "BN"),
    ([(None, -20, -10), ("a", -10, FOREVER)], "AS", "AS"),
    ([(None, -20, -5), ("a", -5, FOREVER)], "AS", ""),
    ([("a", -20, -5), (None, -5, FOREVER)], "BN", ""),
    ([(None, -20, -5), ("b", -5, FOREVER)], "BS", "B"),
    ([("b", -20, -5)], "BN", "B"),  # what ended without another is missing now
    ([(None, -20, -5)], "BN", "BN"),
    ([("a", -20, FOREVER), ("b", -5, -5)], "AS", "AS"),  # that never was
    ([("a", -20, FOREVER), ("b", -5, -6)], "AS", "AS"),
    ([("b", -5, -5)], "BN", ""),
]
ASKED = {"A": ("eq", "a"), "B": ("ne", "a"), "S": ("is_set",), "N": ("is_not_set",)}


async def test_single_values_that_have_held(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    await _customers(connection, len(HISTORIES))
    rows = [
        (1000 + number, value, *_span(begin, end))
        for number, (history, _, _) in enumerate(HISTORIES)
        for value, begin, end in history
    ]
    await connection.copy_records_to_table("probe_stage", records=rows)
    for letter, (op, *value) in ASKED.items():
        for more, place in [({}, 1), ({"for": "PT10H"}, 2)]:
            found = await members(connection, field("stage", op, *value, **more))
            expected = {1000 + number for number, case in enumerate(HISTORIES) if letter in case[place]}
            assert {each for each in found if each >= 1000} == expected, (op, more)


# The same of many values: C (contains 1), X (not_contains 1), S (is_set), N (is_not_set).
SETS: list[tuple[list[tuple[int | None, float, float | None]], str, str]] = [
    ([], "XN", "XN"),
    ([(1, -20, FOREVER)], "CS", "CS"),
    ([(1, -10, FOREVER), (2, -1, FOREVER)], "CS", "CS"),
    ([(1, -9.99, FOREVER)], "CS", ""),
    ([(1, -20, -5), (1, -5, FOREVER)], "CS", "CS"),
    ([(1, -20, -5), (1, -8, FOREVER)], "CS", "CS"),  # they overlap
    ([(1, -20, -5), (1, -4.99, FOREVER)], "CS", ""),  # a gap
    ([(1, -20, -5), (2, -7, FOREVER)], "XS", "S"),
    ([(1, -20, 0)], "XN", ""),
    ([(1, -20, 0), (1, 0, FOREVER)], "CS", "CS"),
    ([(1, -20, 0), (2, 0, FOREVER)], "XS", "S"),
    ([(1, -20, -10)], "XN", "XN"),
    ([(1, -20, -9.99)], "XN", ""),
    ([(1, 0, FOREVER)], "CS", ""),
    ([(1, 1, FOREVER), (2, 1, 2)], "XN", "XN"),
    ([(2, -20, FOREVER)], "XS", "XS"),
    ([(2, -5, -1)], "XN", "X"),
    ([(None, -20, FOREVER)], "XN", "XN"),
    ([(1, -20, FOREVER), (None, -5, FOREVER)], "CS", "CS"),
    ([(1, -5, -5), (2, -5, -6)], "XN", "XN"),  # neither ever was
]
ASKED_OF_SETS: dict[str, tuple[Any, ...]] = {
    "C": ("contains", 1),
    "X": ("not_contains", 1),
    "S": ("is_set",),
    "N": ("is_not_set",),
}


async def test_many_values_that_have_held(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    await _customers(connection, len(SETS))
    rows = [
        (1000 + number, value, *_span(begin, end))
        for number, (history, _, _) in enumerate(SETS)
        for value, begin, end in history
    ]
    await connection.copy_records_to_table("probe_group", records=rows)
    for letter, (op, *value) in ASKED_OF_SETS.items():
        for more, place in [({}, 1), ({"for": "PT10H"}, 2)]:
            found = await members(connection, field("group", op, *value, **more))
            expected = {1000 + number for number, case in enumerate(SETS) if letter in case[place]}
            assert {each for each in found if each >= 1000} == expected, (op, more)


async def test_none_of_many_values_has_held_only_for_who_was_there(
    connection: asyncpg.Connection[asyncpg.Record],
) -> None:
    await connection.execute(
        "INSERT INTO customer (id, created_at) VALUES (1001, $1), (1002, $2)", NOW - 10 * HOUR, NOW - 9 * HOUR
    )
    for condition in (field("group", "is_not_set"), field("group", "not_in", [1])):
        assert {1001, 1002} < await members(connection, condition)
        held = await members(connection, condition | {"for": "PT10H"})
        assert 1001 in held
        assert 1002 not in held


async def test_calendar_steps_are_those_of_the_zone(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    await _customers(connection, 2)
    # A month before 16:00 on 14 March in Shanghai is 16:00 on 14 February there.
    begin = datetime(2026, 2, 14, 8, tzinfo=UTC)
    rows = [(1000, "a", begin, None), (1001, "a", begin + timedelta(seconds=1), None)]
    await connection.copy_records_to_table("probe_stage", records=rows)
    assert await members(connection, field("stage", "eq", "a", **{"for": "P1M"})) == {1000}


async def test_few_customers_are_looked_up_one_by_one(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """A view that groups is then asked for their rows alone, not made for everybody and joined."""
    await connection.execute("CREATE INDEX ON probe_base (customer_id); SET LOCAL enable_seqscan = off")
    await connection.execute("DROP VIEW probe_points")
    await connection.execute(
        "CREATE VIEW probe_points AS SELECT customer_id, sum(points) AS value FROM probe_base GROUP BY 1"
    )
    checked = check(decode.decode(json.dumps(field("points", "gt", 0)).encode()), fields=FIELDS_OF, settings=SETTINGS)
    moment = Moment(NOW, SETTINGS.timezone)
    sql, values = compile_members(checked, select="customer.id", moment=moment, visible="true", among=[1, 2])
    plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {sql}", *values))
    assert "SubPlan" in plan
    assert "(customer_id = customer.id)" in plan


def _valid(rows: list[tuple[Any, float, float | None]], instant: float) -> list[Any]:
    return [value for value, begin, end in rows if begin <= instant and (end is None or instant < end)]


def _holds(op: str, value: Any, asked: Any) -> bool:
    """Return whether the positive operator holds for one value."""
    match op:
        case "eq" | "contains":
            return bool(value == asked)
        case "in":
            return value in asked
        case "gt":
            return value is not None and value > asked
    return value is not None


def _oracle(
    rows: list[tuple[Any, float, float | None]], op: str, asked: Any, *, length: int, negative: bool, many: bool
) -> bool:
    """Return what `for` means, instant by instant: rows begin and end at whole hours, so half hours are enough."""
    now = any(_holds(op, value, asked) for value in _valid(rows, 0)) is not negative
    window = [-length + half / 2 for half in range(2 * length)]
    if many:
        return now and all(
            any(_holds(op, value, asked) for value in _valid(rows, instant)) is not negative for instant in window
        )
    then = _valid(rows, -length)
    known = bool(then) if negative else any(value is not None for value in then)
    fails = any(_holds(op, value, asked) is negative for instant in window for value in _valid(rows, instant))
    return now and known and not fails


async def test_random_histories_against_the_definition(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    drawn = random.Random(20260314)
    histories: list[list[tuple[Any, float, float | None]]] = []
    for _ in range(400):
        begins = [drawn.randint(-14, 3) for _ in range(drawn.randint(0, 5))]
        ends = [None if drawn.random() < 0.4 else begin + drawn.randint(0, 9) for begin in begins]
        histories.append([(drawn.choice([1, 1, 2, None]), *span) for span in zip(begins, ends, strict=True)])
    await _customers(connection, len(histories))
    rows = [(1000 + number, *row) for number, history in enumerate(histories) for row in history]
    spans = [(customer, value, *_span(begin, end)) for customer, value, begin, end in rows]
    await connection.copy_records_to_table("probe_group", records=spans)
    texts = [(customer, None if value is None else str(value), *span) for customer, value, *span in spans]
    await connection.copy_records_to_table("probe_stage", records=texts)
    many: list[tuple[Any, ...]] = [
        ("contains", 1),
        ("not_contains", 1),
        ("in", [1, 2]),
        ("not_in", [2]),
        ("is_set",),
        ("is_not_set",),
    ]
    single: list[tuple[Any, ...]] = [
        ("eq", "1"),
        ("ne", "1"),
        ("in", ["1", "2"]),
        ("not_in", ["2"]),
        ("gt", "1"),
        ("is_set",),
        ("is_not_set",),
    ]
    negatives = {"not_contains": "contains", "not_in": "in", "ne": "eq", "is_not_set": "is_set"}
    asked = [*(("group", *each) for each in many), *(("stage", *each) for each in single)]
    for (key, op, *value), length in itertools.product(asked, (1, 4, 10)):
        found = await members(connection, field(key, op, *value, **{"for": f"PT{length}H"}))
        expected = set()
        for number, history in enumerate(histories):
            stored = [(str(one) if key == "stage" and one else one, begin, end) for one, begin, end in history]
            positive, negative = negatives.get(op, op), op in negatives
            if _oracle(stored, positive, *value or [None], length=length, negative=negative, many=key == "group"):
                expected.add(1000 + number)
        assert {each for each in found if each >= 1000} == expected, (key, op, length)
        assert 0 < len(expected) < 400


async def _customers(connection: asyncpg.Connection[asyncpg.Record], number: int) -> None:
    """Add customers from id 1000, who were there long ago."""
    rows = [(1000 + each, NOW - 1000 * HOUR) for each in range(number)]
    await connection.executemany("INSERT INTO customer (id, created_at) VALUES ($1, $2)", rows)


def _span(begin: float, end: float | None) -> tuple[datetime, datetime | None]:
    return NOW + begin * HOUR, None if end is None else NOW + end * HOUR
