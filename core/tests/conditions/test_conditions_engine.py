"""The second engine gives the answers that were worked out by hand, before anything is compared with it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from dice import Relation, World
from engine import Engine
from walls import DAY, Clock, micros

NOW = datetime(2024, 2, 29, 16, 0, tzinfo=UTC)  # midnight between 29 February and 1 March in Shanghai
EVERYBODY = {1, 2, 3, 4}  # 5 is merged into 1


def customer(number, **values):
    names = ("name", "phone", "email", "company", "stage", "owner", "team", "merged_into")
    empty = dict.fromkeys(names) | {"kind": "person", "created_at": NOW - 60 * timedelta(1), "updated_at": NOW}
    return empty | {"id": number, "attributes": {}} | values


def event(whose, days, name="buy", **values):
    empty = {"amount": None, "currency": None, "source": "", "properties": {}, "behaviour": name != "sent"}
    return empty | {"customer_id": whose, "name": name, "occurred_at": NOW - timedelta(days=days)} | values


def ago(days):
    return NOW - timedelta(days=days)


def world():
    customers = [
        customer(1, name="Zoë", owner=7, attributes={"x": "Z", "born": "2000-02-29", "n": Decimal("1.10")}),
        customer(2, name="zoe", stage="", attributes={"x": 1, "born": "1990-03-01", "n": "1.1"}),
        customer(3, name="\uffee", owner=2, attributes={"x": None, "born": "1990-02-30", "n": 10**20}),
        customer(4, name="😀%", attributes={"x": [1], "born": "1990-03-02T00:30:00+10:00"}, created_at=ago(5)),
        customer(5, name="Zoë", merged_into=1),
    ]
    second = timedelta(microseconds=1)
    events = [
        event(1, 0, amount=1000, currency="CNY", properties={"q": 1, "k": "1"}, source="web"),
        event(1, 1, amount=2001, currency="CNY", properties={"q": Decimal("0.1"), "k": 1}),
        event(1, 3, amount=-3001, currency="CNY", properties={"q": Decimal("0.2"), "k": Decimal("1.0")}),
        event(2, 1, amount=500, currency="JPY", properties={"q": "7", "k": True}),
        event(2, 2, amount=1500, currency="BHD", properties={"q": None, "k": None}),
        event(2, -1, amount=9, currency="CNY"),  # not yet
        event(3, 2, "sent"),
        event(3, 30, "look") | {"occurred_at": ago(30) + second},
        event(5, 1, amount=77, currency="CNY"),
    ]
    for number, each in enumerate(events):
        each["id"] = number
    level = [
        (1, "gold", ago(20), ago(8)),
        (1, "gold", ago(4), None),
        (2, "gold", ago(10), ago(3)),
        (2, "red", ago(3), None),
        (3, None, ago(20), None),
    ]
    tags = [
        (1, "a", ago(20), ago(5)),
        (1, "a", ago(5), ago(1)),
        (1, "a", ago(2), None),
        (2, "a", ago(20), ago(5)),
        (2, "a", ago(4), None),
        (2, "b", ago(30), ago(7)),
        (3, "b", ago(3), ago(3)),
    ]
    return World(
        customers,
        events,
        {
            "level": Relation("text", False, True, [], level),
            "tags": Relation("text", True, True, [], tags),
            "lots": Relation("number", True, False, [], [(1, 1), (1, Decimal("2.5")), (2, Decimal("2.50"))]),
        },
    )


@pytest.fixture(scope="module")
def engine():
    return Engine(world(), "Asia/Shanghai")


def field(key, op, *value, **more):
    return {"type": "field", "field": key, "op": op, **({"value": value[0]} if value else {}), **more}


def attribute(key, op, *value):
    return field(f"customer.attributes.{key}", op, *value)


def measured(measure, op, *value, **more):
    return {
        "type": "event",
        "event": "*",
        "measure": measure,
        "op": op,
        **({"value": value[0]} if value else {}),
        **more,
    }


def trend(measure, op, value, **more):
    return {"type": "trend", "event": "*", "measure": measure, "op": op, "value": value, "within": "P2D", **more}


AMOUNT = {"of": "amount"}
Q = {"of": "event.properties.q"}
K = {"of": "event.properties.k"}
GOLDEN = [
    ({"type": "all", "of": []}, EVERYBODY),
    ({"type": "any", "of": []}, set()),
    ({"type": "not", "of": field("customer.owner", "eq", 7)}, {2, 3, 4}),
    # Columns and attributes
    (field("customer.name", "eq", "Zoë"), {1}),
    (field("customer.name", "gt", "\uffee"), {4}),  # by code point; by UTF-16 unit it would be none
    (field("customer.name", "contains", "%"), {4}),
    (field("customer.stage", "is_set"), {2}),
    (field("customer.owner", "lt", 7), {3}),
    (field("customer.owner", "ne", 7), {2, 3, 4}),
    (field("customer.owner", "not_in", [2]), {1, 2, 4}),
    (field("customer.owner", "between", [2, 7]), {1, 3}),
    (field("customer.owner", "between", [7, 2]), set()),
    (field("customer.created_at", "within_last", "P5D"), set()),
    (field("customer.created_at", "within_last", "P1W"), {4}),
    (field("customer.updated_at", "within_last", "P1D"), EVERYBODY),
    (field("customer.updated_at", "anniversary"), EVERYBODY),
    (attribute("x", "eq", "Z"), {1}),
    (attribute("x", "eq", 1), {2}),
    (attribute("x", "is_set"), {1, 2, 4}),
    (attribute("x", "not_contains", "Z"), {2, 3, 4}),
    (attribute("n", "eq", Decimal("1.1")), {1}),
    (attribute("n", "gt", 10**20 - 1), {3}),
    (attribute("n", "in", ["1.1", "2"]), {2}),
    (attribute("born", "before", "1990-03-01 00:00:00.000001"), {2}),
    (attribute("born", "anniversary"), {2, 4}),  # today is 1 March; 4 was born on 1 March at 22:30 here
    (attribute("unknown", "ne", 1), EVERYBODY),
    # Measures
    (measured("count", "gte", 2), {1, 2}),
    (measured("count", "eq", 0), {4}),
    (measured("count", "eq", 1, within="P30D"), {3}),
    (measured("count", "eq", 2, within="P3D"), {1, 2}),  # the window begins after its start and contains now
    (measured("count", "eq", 2, within="P1D", event="buy"), set()),
    (measured("count", "eq", 1, event=["sent"]), {3}),
    (measured("sum", "eq", 0, **AMOUNT), EVERYBODY),
    (measured("sum", "eq", 500, **AMOUNT, currency="JPY"), {2}),
    (measured("sum", "eq", "1.5", **AMOUNT, currency="BHD"), {2}),
    (measured("sum", "eq", Decimal("30.01"), **AMOUNT, within="P2D"), {1}),
    (measured("sum", "eq", Decimal("1.3"), **Q), {1}),
    (measured("avg", "eq", 0, **AMOUNT), {1}),
    (measured("avg", "gt", Decimal("0.433333333333"), **Q), {1}),
    (measured("avg", "gt", Decimal("0.433333333334"), **Q), set()),
    (measured("avg", "ne", 0, **AMOUNT), {2, 3, 4}),
    (measured("min", "eq", Decimal("0.1"), **Q), {1}),
    (measured("max", "eq", Decimal("20.01"), **AMOUNT), {1}),
    (measured("max", "is_not_set", **AMOUNT), {2, 3, 4}),
    (measured("distinct", "eq", 2, **K), {1}),
    (measured("distinct", "eq", 1, **K), {2}),
    (measured("distinct", "eq", 1, **AMOUNT, currency="JPY"), {2}),
    (measured("days_since_last", "eq", 0), {1}),
    (measured("days_since_last", "eq", 1), {2}),
    (measured("days_since_first", "eq", 29), {3}),
    (measured("days_since_first", "is_not_set"), {4}),
    (measured("days_since_first", "gte", 0), {1, 2, 3}),
    (measured("active_days", "eq", 3), {1}),
    # Conditions over events
    (measured("count", "eq", 2, where=field("event.source", "is_not_set")), {1, 2}),
    (measured("count", "eq", 1, where=field("event.source", "eq", "web")), {1}),
    (measured("count", "eq", 3, where=field("event.amount", "is_set")), {1}),
    (measured("count", "eq", 1, currency="JPY", where=field("event.amount", "gte", 500)), {2}),
    (measured("count", "gte", 1, where=field("event.properties.q", "eq", "7")), {2}),
    (measured("count", "gte", 1, where=field("event.occurred_at", "within_last", "P1D")), {1}),
    (measured("count", "eq", 2, where={"type": "not", "of": field("event.currency", "eq", "JPY")}), set()),
    (measured("count", "eq", 3, where={"type": "not", "of": field("event.currency", "eq", "JPY")}), {1}),
    # Trends; 1: 30.01 after -30.01 in CNY, two events after one; 2: one event after one
    (trend("count", "gte", 1), {1}),
    (trend("count", "between", [0, 0]), {2}),
    (trend("count", "lt", 1), {2}),
    (trend("sum", "between", [2, 2], **AMOUNT), {1}),
    (trend("sum", "lte", 10**9, **AMOUNT), {1}),
    ({"type": "not", "of": trend("sum", "lte", 10**9, **AMOUNT)}, {2, 3, 4}),
    (trend("avg", "between", [Decimal("1.75"), Decimal("1.75")], **Q), {1}),  # 0.55 after 0.2
    # Relations
    (field("lots", "contains", Decimal("2.5")), {1, 2}),
    (field("lots", "not_in", [1]), {2, 3, 4}),
    (field("lots", "is_not_set"), {3, 4}),
    (field("level", "eq", "gold"), {1}),
    (field("level", "ne", "gold"), {2, 3, 4}),
    (field("level", "is_set"), {1, 2}),
    (field("level", "eq", "gold", **{"for": "P10D"}), {1}),  # a time without a row is not a row that fails
    (field("level", "eq", "gold", **{"for": "P6D"}), set()),
    (field("level", "is_set", **{"for": "P10D"}), {1, 2}),
    (field("level", "ne", "gold", **{"for": "P3D"}), {2, 3}),
    (field("level", "ne", "gold", **{"for": "P4D"}), {3}),
    (field("level", "is_not_set", **{"for": "P20D"}), {3}),
    (field("level", "is_not_set", **{"for": "P21D"}), set()),
    (field("tags", "contains", "a"), {1, 2}),
    (field("tags", "contains", "a", **{"for": "P4D"}), {1, 2}),
    (field("tags", "contains", "a", **{"for": "P5D"}), {1}),
    (field("tags", "contains", "a", **{"for": "P20D"}), {1}),
    (field("tags", "contains", "a", **{"for": "P21D"}), set()),
    (field("tags", "not_contains", "b", **{"for": "P7D"}), {1, 2, 3}),  # 4 was not there yet; a row of 3 never began
    (field("tags", "not_contains", "b", **{"for": "P8D"}), {1, 3}),
    (field("tags", "is_not_set", **{"for": "P1D"}), {3, 4}),
]


@pytest.mark.parametrize(("condition", "expected"), GOLDEN)
def test_members(engine, condition, expected):
    assert engine.members(condition, micros(NOW)) == expected


def test_half_a_day_earlier_everything_is_read_at_that_time(engine):
    now = micros(NOW - timedelta(hours=12))
    assert engine.members(measured("count", "eq", 2, event="buy"), now) == {1, 2}
    assert engine.members(measured("days_since_last", "eq", 0), now) == {1, 2}
    assert engine.members(attribute("born", "anniversary"), now) == {1}  # 29 February in a year that has one
    assert engine.members(attribute("born", "anniversary", "P1W"), now) == {1, 2, 4}
    a_year_before = micros(datetime(2023, 2, 28, 12, tzinfo=UTC))
    assert engine.members(attribute("born", "anniversary"), a_year_before) == {1}


def test_which_events(engine):
    assert engine.events(field("event.amount", "gt", 10), micros(NOW)) == {1}
    assert engine.events(field("event.amount", "lt", 2), micros(NOW), "BHD") == {4}
    assert engine.events(field("event.name", "in", ["sent", "look"]), micros(NOW)) == {6, 7}


AT = datetime(2024, 3, 31, 16, 30, tzinfo=UTC)
STEPS = [
    ("Asia/Shanghai", datetime(2024, 3, 31, 12, tzinfo=UTC), "P1M", datetime(2024, 2, 29, 12, tzinfo=UTC)),
    ("Asia/Shanghai", datetime(2024, 2, 29, 12, tzinfo=UTC), "P1Y", datetime(2023, 2, 28, 12, tzinfo=UTC)),
    ("Asia/Shanghai", datetime(2024, 3, 31, 16, tzinfo=UTC), "P1M", datetime(2024, 2, 29, 16, tzinfo=UTC)),
    ("UTC", datetime(2024, 3, 31, 12, tzinfo=UTC), "P1M1DT1H", datetime(2024, 2, 28, 11, tzinfo=UTC)),
    # 02:30 on 10 March 2024 was skipped in New York, 01:30 on 3 November was there twice.
    ("America/New_York", datetime(2024, 4, 10, 6, 30, tzinfo=UTC), "P1M", datetime(2024, 3, 10, 7, 30, tzinfo=UTC)),
    ("America/New_York", datetime(2024, 12, 3, 6, 30, tzinfo=UTC), "P1M", datetime(2024, 11, 3, 6, 30, tzinfo=UTC)),
    ("America/New_York", datetime(2024, 3, 11, 6, 30, tzinfo=UTC), "P1D", datetime(2024, 3, 10, 6, 30, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2024, 5, 6, 15, 15, tzinfo=UTC), "P1M", datetime(2024, 4, 6, 15, 15, tzinfo=UTC)),
    ("Europe/London", datetime(2024, 5, 31, 0, 30, tzinfo=UTC), "P2M", datetime(2024, 3, 31, 1, 30, tzinfo=UTC)),
]


@pytest.mark.parametrize(("zone", "instant", "duration", "expected"), STEPS)
def test_steps_back(zone, instant, duration, expected):
    assert Clock(zone).before(micros(instant), duration) == micros(expected)


def test_times_that_are_read():
    clock = Clock("Asia/Shanghai")
    assert (
        clock.read("2024-03-01") == clock.read("2024-03-01T00:00") == clock.read("2024-02-29T16:00:00Z") == micros(NOW)
    )
    assert clock.read("2024-02-29 15:59:59.5Z") == micros(NOW) - 500_000
    assert clock.read("1970-01-01T01:00:00+01:00") == 0
    assert clock.read("0001-01-01T00:00:00+14:00") == -719_162 * DAY - 14 * 3600 * 10**6
    assert [
        clock.read(each) for each in ("2023-02-29", "2024-3-1", "2024-03-01T24:00", "2024-03-01T00:00:00+15:00")
    ] == [None] * 4
