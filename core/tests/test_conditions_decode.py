"""What is no condition is refused with the place of the fault and what was expected."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhike.conditions.comparison import OPS
from zhike.conditions.compiler.statement import compile_count
from zhike.conditions.decode import MAX_BYTES, decode
from zhike.conditions.problems import BadCondition
from zhike.settings import Settings

SETTINGS = Settings(data=Path("unused"))
NOW = datetime(2026, 3, 14, 8, tzinfo=UTC)
FIELD = {"type": "field", "field": "customer.name", "op": "eq", "value": "x"}
CITY = FIELD | {"field": "customer.attributes.city"}
COUNT = {"type": "event", "event": "order.paid", "measure": "count", "op": "gte", "value": 3}
SUM = COUNT | {"measure": "sum", "of": "amount"}


def checked(data, media_type="json"):
    """Decode and compile: everything that is checked before the database is asked."""
    condition = decode(data, media_type)
    return compile_count(condition, now=NOW, settings=SETTINGS, visible="true")


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
        ({"type": "none"}, "condition.type is no type of node; expected one of all, any, event, field, not"),
        ({"type": 1}, "condition.type is no type of node"),
        ({"type": "all"}, "condition.of: the field `of` is missing"),
        ({"type": "all", "of": FIELD}, "condition.of: expected array, got object"),
        (all_of(FIELD, {"type": "not", "of": {"type": "?"}}), "condition.of[1].of.type is no type of node"),
        (all_of(FIELD | {"vaule": 1}), "condition.of[0].vaule: there is no field `vaule`"),
        (all_of(FIELD | {"field": 1}), "condition.of[0].field: expected str, got int"),
        (COUNT | {"where": FIELD}, "condition.where: there is no field `where`"),
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
        (COUNT | {"measure": "avg"}, "condition.measure is 'avg'; expected one of count, sum"),
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
        (SUM | {"of": "event.properties.x"}, "condition.of is 'event.properties.x'; expected amount"),
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


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Decimal("sNaN"), b"x", object(), {1: 2}])
def test_values_that_json_does_not_have(value):
    assert refusal(COUNT | {"value": value})
    assert refusal(CITY | {"value": value})


@pytest.mark.parametrize("text", ["a\ud800", "\udfff"])
def test_half_characters_in_builtin_objects(text):
    assert "condition.value has a character that is not text" in refusal(FIELD | {"value": text})
    assert "condition.event has a character that is not text" in refusal(COUNT | {"event": text})


@pytest.mark.parametrize("depth", [32, 5_000, 40_000])
def test_deep_nesting(depth):
    for start, end in ((b'{"type":"not","of":', b"}"), (b'{"type":"all","of":[', b"]}")):
        body = start * depth + json.dumps(FIELD).encode() + end * depth
        assert "nested deeper than 32 levels" in refusal(body)
    value = b'{"type":"field","field":"customer.name","op":"eq","value":' + b"[" * depth + b"]" * depth + b"}"
    assert refusal(value)


def test_as_deep_and_wide_as_allowed():
    deep = FIELD
    for _ in range(31):
        deep = {"type": "not", "of": deep}
    checked(deep)
    checked(all_of(*[FIELD] * 299, *[COUNT] * 200))
    checked(CITY | {"op": "in", "value": ["x" * 1000] * 900})


def test_decoded_alike_from_all_forms():
    condition = all_of({"type": "any", "of": [FIELD, {"type": "not", "of": COUNT}]}, SUM | {"within": "P1Y2M"})
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
_ops = st.sampled_from([*OPS["text"], "before", "after"])
_fields = st.one_of(
    _text,
    _text.map("customer.attributes.{}".format),
    st.sampled_from(["customer.id", "customer.name", "customer.created_at"]),
)
_leaves = st.one_of(
    st.fixed_dictionaries({"type": st.just("field"), "field": _fields, "op": st.one_of(_ops, _text), "value": _value}),
    st.fixed_dictionaries(
        {
            "type": st.just("event"),
            "event": st.one_of(_text, st.lists(_text, max_size=3)),
            "measure": st.sampled_from(["count", "sum", HOSTILE]),
            "op": st.one_of(_ops, _text),
            "value": _value,
        },
        optional={"of": st.sampled_from(["amount", HOSTILE]), "within": _text, "currency": _text, HOSTILE: _text},
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


def test_compiles_200_nodes_in_milliseconds():
    body = json.dumps(all_of(*[part for _ in range(50) for part in (FIELD, COUNT, SUM, CITY)])).encode()
    checked(body)
    started = datetime.now(UTC)
    checked(body)
    assert (datetime.now(UTC) - started).total_seconds() < 0.1
