"""What is no condition is refused with the place of the fault and what was expected."""

import json
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhike.conditions.catalog import Fields
from zhike.conditions.check import check, check_where
from zhike.conditions.checked import Moment
from zhike.conditions.comparison import ATTRIBUTE_OPS
from zhike.conditions.compiler.statement import compile_members
from zhike.conditions.decode import MAX_BYTES, decode
from zhike.conditions.measured import MEASURES
from zhike.conditions.problems import BadCondition
from zhike.registry import Registry
from zhike.settings import Settings

SETTINGS = Settings(data=Path("unused"))
FIELDS = Fields(Registry())
MOMENT = Moment(datetime(2026, 3, 14, 8, tzinfo=UTC), SETTINGS.timezone)
FIELD = {"type": "field", "field": "customer.name", "op": "eq", "value": "x"}
CITY = FIELD | {"field": "customer.attributes.city"}
COUNT = {"type": "event", "event": "order.paid", "measure": "count", "op": "gte", "value": 3}
SUM = COUNT | {"measure": "sum", "of": "amount"}
SKU = {"type": "field", "field": "event.properties.sku", "op": "eq", "value": "x"}
TREND = {"type": "trend", "event": "*", "measure": "count", "within": "P30D", "op": "lt", "value": -0.5}
SINCE = {"type": "event", "event": "*", "measure": "days_since_last", "op": "gte", "value": 30}


def checked(data, media_type="json"):
    """Decode and compile: everything that is checked before the database is asked."""
    condition = check(decode(data, media_type), fields=FIELDS, settings=SETTINGS)
    return compile_members(condition, select="count(*)", moment=MOMENT, visible="true")


def refusal(data, media_type="json"):
    with pytest.raises(BadCondition) as refused:
        checked(data, media_type)
    assert (refused.value.status, refused.value.code) == (400, "condition")
    return str(refused.value)


def all_of(*parts):
    return {"type": "all", "of": list(parts)}


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ([], "condition: expected object, got array"),
        ("x", "condition: expected object, got str"),
        ({}, "condition.type: the field `type` is missing"),
        ({"type": "none"}, "condition.type is no type of node; expected one of all, any, event, field, not, trend"),
        ({"type": 1}, "condition.type is no type of node"),
        ({"type": "all"}, "condition.of: the field `of` is missing"),
        ({"type": "all", "of": FIELD}, "condition.of: expected array, got object"),
        (all_of(FIELD, {"type": "not", "of": {"type": "?"}}), "condition.of[1].of.type is no type of node"),
        (all_of(FIELD | {"vaule": 1}), "condition.of[0].vaule: there is no field `vaule`"),
        (all_of(FIELD | {"field": 1}), "condition.of[0].field: expected str, got int"),
        (FIELD | {"for_": "P1D"}, "condition.for_: there is no field `for_`"),
        (FIELD | {"for": "P1D"}, "condition.for must be left out: customer.name keeps no history"),
        (COUNT | {"where": FIELD}, "condition.where.field is 'customer.name', no field of an event; expected one of"),
        (COUNT | {"where": SKU | {"field": "event.properties."}}, "condition.where.field is 'event.properties.'"),
        (COUNT | {"where": all_of(SKU, COUNT)}, "condition.where.of[1].type must be all, any, not or field"),
        (COUNT | {"where": {"type": "not", "of": TREND}}, "condition.where.of.type must be all, any, not or field"),
        (COUNT | {"where": SKU | {"for": "P1D"}}, "condition.where.for must be left out"),
        (COUNT | {"where": SKU | {"op": "gt", "value": True}}, "condition.where.value must be a text or a number"),
        (
            COUNT | {"where": SKU | {"field": "event.amount"}},
            "condition.where.value is 'x'; expected an amount such as",
        ),
        (
            COUNT | {"where": SKU | {"field": "event.source", "op": "before"}},
            "condition.where.op is 'before'; expected",
        ),
        (COUNT | {"where": SKU, "currency": "RMB"}, "condition.currency is 'RMB'; expected an ISO 4217 code"),
        (COUNT | {"where": all_of(SKU, SKU | {"value": "x" * 1001})}, "condition.where.of[1].value is longer than"),
        (SKU, "condition.field is 'event.properties.sku', which stands only inside where"),
        (FIELD | {"field": "event.amount"}, "condition.field is 'event.amount', which stands only inside where"),
        (FIELD | {"field": "event.nonsense"}, "condition.field is 'event.nonsense', an unknown field"),
        (COUNT | {"event": None}, "condition.event: expected str | array, got"),
        (COUNT | {"event": ["a", 1]}, "condition.event[1]: expected str, got int"),
        (FIELD | {"field": "customer.nmae"}, "condition.field is 'customer.nmae', an unknown field; expected"),
        (FIELD | {"field": "customer.attributes."}, "an unknown field"),
        (FIELD | {"field": "customer.merged_into"}, "an unknown field"),
        (FIELD | {"field": "customer.id; DROP TABLE event"}, "an unknown field"),
        (all_of(FIELD, FIELD | {"op": "like"}), "condition.of[1].op is 'like'; expected one of eq, ne, in"),
        (FIELD | {"field": "customer.id", "op": "contains"}, "condition.op is 'contains'; expected one of eq"),
        (FIELD | {"field": "customer.created_at", "op": "contains"}, "condition.op is 'contains'"),
        (FIELD | {"value": 5}, "condition.value must be a text"),
        (FIELD | {"field": "customer.owner"}, "condition.value must be a number"),
        (FIELD | {"field": "customer.owner", "value": True}, "condition.value must be a number"),
        (FIELD | {"value": None}, "condition.value is missing: eq takes a value"),
        (FIELD | {"op": "is_set"}, "condition.value must be left out: is_set takes no value"),
        (FIELD | {"op": "in"}, "condition.value must be a list"),
        (FIELD | {"op": "in", "value": []}, "condition.value must have 1 to 1000 values"),
        (FIELD | {"op": "in", "value": ["a", 1]}, "condition.value[1] must be a text"),
        (FIELD | {"op": "between", "value": ["a", "b", "c"]}, "condition.value must be a list of two values"),
        (FIELD | {"field": "customer.created_at", "value": "2024-02-30"}, "condition.value must be a date or"),
        (FIELD | {"field": "customer.created_at", "value": "0001-01-01"}, "condition.value must be a date or"),
        (CITY | {"op": "before", "value": "gestern"}, "condition.value must be a date or an RFC 3339 time"),
        (CITY | {"op": "before", "value": 5}, "condition.value must be a date or an RFC 3339 time"),
        (CITY | {"op": "gt", "value": True}, "condition.value must be a text or a number for gt"),
        (CITY | {"op": "in", "value": ["a", 1]}, "condition.value mixes types"),
        (CITY | {"value": {"a": 1}}, "condition.value must be a text, a number, true or false"),
        (CITY | {"op": "in", "value": [["a"]]}, "condition.value[0] must be a text, a number, true or false"),
        (CITY | {"op": "starts_with", "value": 1}, "condition.value must be a text"),
        (CITY | {"op": "within_last", "value": 5}, "condition.value must be a text"),
        (CITY | {"op": "within_last", "value": "7"}, "condition.value is '7'; expected an ISO 8601 duration"),
        (CITY | {"op": "within_last", "value": "P0D"}, "condition.value is zero"),
        (CITY | {"op": "within_last", "value": None}, "condition.value is missing: within_last takes a value"),
        (CITY | {"op": "anniversary", "value": "P1M"}, "condition.value is 'P1M'; expected 1 to 366 whole days"),
        (CITY | {"op": "anniversary", "value": "PT12H"}, "condition.value is 'PT12H'; expected 1 to 366 whole days"),
        (CITY | {"op": "anniversary", "value": "P367D"}, "condition.value is 'P367D'; expected 1 to 366 whole days"),
        (FIELD | {"op": "anniversary", "value": None}, "condition.op is 'anniversary'; expected one of"),
        (COUNT | {"measure": "median"}, "condition.measure is 'median'; expected one of count, days_since_first"),
        (COUNT | {"op": "is_set", "value": None}, "condition.op is 'is_set'; expected one of eq"),
        (SINCE | {"op": "is_set"}, "condition.value must be left out: is_set takes no value"),
        (SINCE | {"of": "amount"}, "condition.of must be left out: days_since_last takes none"),
        (SINCE | {"value": "P30D"}, "condition.value must be a number"),
        (TREND | {"measure": "days_since_last"}, "condition.measure is 'days_since_last'; expected one of count"),
        (TREND | {"op": "eq"}, "condition.op is 'eq'; expected one of gt, gte, lt, lte, between"),
        (TREND | {"value": "half"}, "condition.value must be a number"),
        (TREND | {"within": "P0D"}, "condition.within is zero"),
        (TREND | {"within": None}, "condition.within: expected str, got"),
        ({key: value for key, value in TREND.items() if key != "within"}, "condition.within: the field `within` is"),
        (TREND | {"measure": "sum"}, "condition.of is missing; expected amount or event.properties"),
        (all_of(*[TREND] * 101), "the condition has more than 200 nodes of type event; a trend counts as two"),
        (COUNT | {"where": all_of(*[SKU] * 499)}, "the condition has more than 500 nodes"),
        (COUNT | {"op": "contains"}, "condition.op is 'contains'; expected one of eq, ne, in, not_in, gt"),
        (COUNT | {"value": "3"}, "condition.value must be a number"),
        (COUNT | {"op": "between", "value": [1, "2"]}, "condition.value[1] must be a number"),
        (COUNT | {"of": "amount"}, "condition.of must be left out: count takes none"),
        (COUNT | {"currency": "CNY"}, "condition.currency must be left out: count takes none"),
        (COUNT | {"event": []}, "condition.event must name at least one event"),
        (COUNT | {"event": ["*", "a"]}, "condition.event must hold * alone or names alone"),
        (COUNT | {"event": ""}, "condition.event must be a name of 1 to 200 bytes"),
        (COUNT | {"event": "单" * 67}, "condition.event must be a name of 1 to 200 bytes"),
        (SUM | {"of": None}, "condition.of is missing; expected amount"),
        (SUM | {"of": "event.properties."}, "condition.of is 'event.properties.'; expected amount"),
        (SUM | {"of": "event.source"}, "condition.of is 'event.source'; expected amount"),
        (SUM | {"of": "event.properties.x", "currency": "CNY"}, "condition.currency must be left out: sum takes none"),
        (SUM | {"currency": "RMB"}, "condition.currency is 'RMB'; expected an ISO 4217 code"),
        (SUM | {"currency": ""}, "condition.currency is ''"),
        (SUM | {"value": "12,30"}, "condition.value is '12,30'; expected an amount such as 12.30"),
        (COUNT | {"within": "90D"}, "condition.within is '90D'; expected an ISO 8601 duration such as P90D"),
        (COUNT | {"within": "P0D"}, "condition.within is zero"),
        (COUNT | {"within": "P501Y"}, "condition.within is longer than 500 years"),
        (all_of(COUNT | {"event": "x" * 1001}), "condition.of[0].event is longer than 1000 characters"),
        (CITY | {"op": "in", "value": ["x"] * 1001}, "condition.value has more than 1000 values"),
        (CITY | {"op": "in", "value": ["x", "a\x00b"]}, "condition.value[1] has a character that is not text"),
        (FIELD | {"field": "customer.attributes.\x00"}, "condition.field has a character that is not text"),
        (all_of(*[FIELD] * 500), "the condition has more than 500 nodes"),
        (all_of(*[COUNT] * 201), "the condition has more than 200 nodes of type event"),
    ],
)
def test_names_the_place_and_what_was_expected(condition, says):
    assert says in refusal(json.dumps(condition).encode())
    assert says in refusal(msgspec.msgpack.encode(condition), "msgpack")
    assert says in refusal(condition)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"{} {}",
        b'{"type":"field","field":"customer.name","op":"eq","value":"a\xff"}',
        b'{"type":"field","field":"customer.name","op":"eq","value":"a\\ud800b"}',
        b'{"type":"field","field":"customer.owner","op":"eq","value":NaN}',
        b'{"type":"field","field":"customer.owner","op":"eq","value":' + b"9" * 5000 + b"}",
        b'{"type":"field","field":"customer.name","op":"eq","value":"' + b"x" * MAX_BYTES + b'"}',
    ],
)
def test_unreadable_bodies(body):
    assert refusal(body).startswith(("condition", "the condition"))
    assert refusal(msgspec.Raw(body)).startswith(("condition", "the condition"))


@pytest.mark.parametrize("value", ["1e400", "-1e400", "1e309", "1e-401", "1e" + "9" * 30])
@pytest.mark.parametrize("condition", [COUNT, SUM, CITY, FIELD | {"field": "customer.owner"}])
def test_numbers_beyond_all_bounds(condition, value):
    body = json.dumps(condition | {"value": None}).replace("null", value)
    assert "condition.value must be a number within" in refusal(body.encode())


@pytest.mark.parametrize("value", ["9999-12-31T23:59:59.999999Z", "0001-01-01T08:00:00+08:00", "0001-01-01"])
def test_instants_that_would_be_bound_as_infinite_or_are_beyond_the_years(value):
    assert "condition.value must be a date" in refusal(FIELD | {"field": "customer.created_at", "value": value})
    assert checked(FIELD | {"field": "customer.created_at", "value": "9999-12-31T23:59:59.999998Z"})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Decimal("sNaN"), b"x", object(), {1: 2}])
def test_values_that_json_does_not_have(value):
    assert refusal(COUNT | {"value": value})
    assert refusal(CITY | {"value": value})


@pytest.mark.parametrize("text", ["a\ud800", "\udfff"])
def test_half_characters_in_builtin_objects(text):
    assert "condition.value has a character that is not text" in refusal(FIELD | {"value": text})
    assert "condition.event has a character that is not text" in refusal(COUNT | {"event": text})


@pytest.mark.parametrize("depth", [32, 10_000, 40_000])
def test_deep_nesting(depth):
    where = b'{"type":"event","event":"a","measure":"count","op":"gt","value":1,"where":'
    for start, end in ((b'{"type":"not","of":', b"}"), (b'{"type":"all","of":[', b"]}"), (where, b"}")):
        body = start * depth + json.dumps(FIELD).encode() + end * depth
        if len(body) <= MAX_BYTES:
            assert "nested deeper than 32 levels" in refusal(body)
    value = b'{"type":"field","field":"customer.name","op":"eq","value":' + b"[" * depth + b"]" * depth + b"}"
    assert refusal(value)


def test_as_deep_and_wide_as_allowed():
    deep = FIELD
    for _ in range(31):
        deep = {"type": "not", "of": deep}
    checked(deep)
    checked(all_of(*[FIELD] * 299, *[COUNT] * 200))
    checked(all_of(*[TREND] * 99, COUNT | {"where": all_of(*[SKU] * 300)}))
    checked(CITY | {"op": "in", "value": ["x" * 1000] * 900})


def test_decoded_alike_from_all_forms():
    condition = all_of(
        {"type": "any", "of": [FIELD, {"type": "not", "of": COUNT}]},
        SUM | {"within": "P1Y2M"},
        TREND,
        COUNT | {"where": SKU},
    )
    sql, values = checked(json.dumps(condition).encode())
    assert checked(condition) == (sql, values)
    assert checked(msgspec.Raw(json.dumps(condition).encode())) == (sql, values)
    assert checked(msgspec.msgpack.encode(condition), "msgpack") == (sql, values)
    assert checked(msgspec.Raw(msgspec.msgpack.encode(condition)), "msgpack") == (sql, values)


def test_numbers_stay_exact():
    body = json.dumps(CITY | {"value": None}).replace("null", "-0.0e999999999").encode()
    assert [str(value) for value in checked(body)[1] if isinstance(value, Decimal)] == ["0"]
    body = json.dumps(CITY | {"value": 0}).replace(" 0}", " 0.10000000000000000555}").encode()
    assert Decimal("0.10000000000000000555") in checked(body)[1]
    assert Decimal("0.1") in checked(msgspec.msgpack.encode(CITY | {"value": 0.1}), "msgpack")[1]
    digits = "1234567890123456789012345678901234567890.05"
    assert Decimal("123456789012345678901234567890123456789005") in checked(SUM | {"value": digits})[1]


def test_told_in_chinese_by_the_same_error():
    with pytest.raises(BadCondition) as refused:
        checked(all_of(FIELD | {"op": "like"}))
    assert refused.value.message.params["path"] == "condition.of[0]"
    assert "condition.of[0].op" in refused.value.message.render("zh_CN")


HOSTILE = "'\";--\\ $1 %s {0} {{x}} ${7*7} <b>"
_text = st.one_of(st.just(HOSTILE), st.text(max_size=20), st.sampled_from(["", "*", "%", "_", "P1D", "amount", "CNY"]))
_value = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.decimals(), _text, st.binary(max_size=3)),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
_ops = st.sampled_from(ATTRIBUTE_OPS)
_fields = st.one_of(
    _text,
    _text.map("customer.attributes.{}".format),
    _text.map("event.properties.{}".format),
    st.sampled_from(["customer.id", "customer.name", "customer.created_at"]),
)
_field_nodes = st.fixed_dictionaries(
    {"type": st.just("field"), "field": _fields, "op": st.one_of(_ops, _text), "value": _value},
    optional={"for": _text},
)
_leaves = st.one_of(
    _field_nodes,
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["event", "trend"]),
            "event": st.one_of(_text, st.lists(_text, max_size=3)),
            "measure": st.sampled_from([*MEASURES, HOSTILE]),
            "op": st.one_of(_ops, _text),
            "value": _value,
        },
        optional={
            "of": st.sampled_from(["amount", "event.properties.x", f"event.properties.{HOSTILE}", HOSTILE]),
            "within": _text,
            "currency": _text,
            "where": _field_nodes,
            HOSTILE: _text,
        },
    ),
    _value,
)
_conditions = st.recursive(
    _leaves,
    lambda part: st.one_of(
        st.fixed_dictionaries({"type": st.sampled_from(["all", "any"]), "of": st.lists(part, max_size=4)}),
        st.fixed_dictionaries({"type": st.just("not"), "of": part}),
    ),
    max_leaves=8,
)


@settings(max_examples=1_500, deadline=None, derandomize=True)
@given(_conditions)
def test_anything_is_compiled_or_refused_and_never_becomes_sql(condition):
    try:
        sql, values = checked(condition)
    except BadCondition as refused:
        refused.message.render("zh_CN").encode()
        return
    assert HOSTILE not in sql
    places = {int(place) for place in "".join(c if c.isdigit() else " " for c in _after_dollars(sql)).split()}
    assert places == set(range(1, len(values) + 1))


def _after_dollars(sql):
    return " ".join(part.split(":")[0] for part in sql.split("$")[1:] if part[:1].isdigit())


EVERYTHING = [
    FIELD | {"value": HOSTILE},
    CITY | {"field": f"customer.attributes.{HOSTILE}", "op": "in", "value": [HOSTILE, "x"]},
    CITY | {"op": "within_last", "value": "P7D"},
    COUNT | {"event": [HOSTILE, "x"], "where": SKU | {"field": f"event.properties.{HOSTILE}", "value": HOSTILE}},
    SUM | {"of": f"event.properties.{HOSTILE}", "within": "P7D"},
    SUM | {"measure": "distinct", "of": f"event.properties.{HOSTILE}", "event": HOSTILE},
    TREND | {"event": HOSTILE, "measure": "avg", "of": f"event.properties.{HOSTILE}"},
]


@pytest.mark.parametrize("among", [None, [1, 2]], ids=["everybody", "few"])
def test_texts_are_bound_values_whatever_they_say(among):
    condition = check(decode(all_of(*EVERYTHING)), fields=FIELDS, settings=SETTINGS)
    sql, values = compile_members(condition, select="customer.id", moment=MOMENT, visible="true", among=among)
    assert "DROP" not in sql
    assert HOSTILE not in sql
    assert HOSTILE in values
    places = {int(place) for place in "".join(c if c.isdigit() else " " for c in _after_dollars(sql)).split()}
    assert places == set(range(1, len(values) + 1))


def test_a_condition_over_one_event_has_a_currency_and_a_place_of_its_own():
    amount = decode(SKU | {"field": "event.amount", "op": "gte", "value": "12.5"})
    for currency, units in [(None, "1250"), ("JPY", "12.5"), ("KWD", "12500")]:
        test = check_where(amount, settings=SETTINGS, currency=currency)
        assert test.comparison.values == (Decimal(units),)
    for key in ("customer.name", "tags"):
        with pytest.raises(BadCondition, match=r"trigger\.where\.field is .*expected one of event\.name"):
            check_where(decode(FIELD | {"field": key}), settings=SETTINGS, path="trigger.where")
    with pytest.raises(BadCondition, match=r"trigger\.where\.of\[0\]\.type must be all, any, not or field"):
        check_where(decode(all_of(COUNT)), settings=SETTINGS, path="trigger.where")


@pytest.mark.parametrize("depth", [0, 28])
def test_compiles_200_nodes_in_milliseconds(depth):
    parts = [FIELD, COUNT | {"where": SKU}, SUM | {"within": "P7D"}, CITY, TREND]
    condition = all_of(*[part | {"op": op} for part in parts for op in ("gt", "gte", "lt", "lte") for _ in range(10)])
    for _ in range(depth):
        condition = {"type": "not", "of": condition}
    body = json.dumps(condition).encode()
    checked(body)
    times = []
    for _ in range(5):
        started = time.process_time()
        checked(body)
        times.append(time.process_time() - started)
    assert min(times) < 0.05
