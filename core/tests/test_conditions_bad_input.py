"""Conditions that nobody should send, over HTTP: refused with the path of what is wrong, never a 500."""

from __future__ import annotations

import json

import msgspec
import pytest

COUNT, EXPLAIN, SEARCH = "/api/v1/conditions/count", "/api/v1/conditions/explain", "/api/v1/customers/search"
JSON, MSGPACK = {"content-type": "application/json"}, {"content-type": "application/msgpack"}
HOSTILE = [
    *("", " ", "'", '"', "\\", "%", "_", "%s", "%(a)s", "$1", "${x}", "{{7*7}}", "{x}", "{0}", "<script>", "null"),
    *("(a+)+$", ".*", "[", "(?P<x>", "\\1", "^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 900),
    *("'; DROP TABLE customer; --", "' OR '1'='1", "1) UNION SELECT 1 --", "*/ SELECT pg_sleep(9) /*", "E'\\x00'"),
    *(
        "\u202e",
        "\ufeff",
        "\uffff",
        "𝄞",
        "e\u0308",
        "\r\n",
        "\t",
        "\x01",
        "\x7f",
        "NaN",
        "Infinity",
        "1e400",
        "../../x",
    ),
]


def field(key="customer.name", op="eq", **more):
    return {"type": "field", "field": key, "op": op} | more


def event(**changes):
    node = {"type": "event", "event": "order.paid", "measure": "count", "op": "gte", "value": 1} | changes
    return {key: value for key, value in node.items() if value is not ...}


def trend(**changes):
    return event(type="trend", within="P30D") | changes


def where(node):
    return event(where=node)


REFUSED = [
    # what it is, and a part of the path that the answer names
    (None, "condition"),
    (5, "condition"),
    ('"all"', "condition"),
    ([], "condition"),
    ({}, "condition"),
    ({"type": "none"}, "condition.type"),
    ({"type": None}, "condition.type"),
    ({"type": "all"}, "condition.of"),
    ({"type": "all", "of": {}}, "condition.of"),
    ({"type": "all", "of": [field(value="x"), 7]}, "condition.of[1]"),
    ({"type": "not", "of": []}, "condition.of"),
    ({"type": "all", "of": [], "more": 1}, "condition.more"),
    # wrong types
    (field(field=5, value=1), "condition.field"),
    (field(op=None, value=1), "condition.op"),
    (field(value=5), "condition.value"),
    (field(value=["x"]), "condition.value"),
    (field(value={"x": 1}), "condition.value"),
    (field(op="in", value="x"), "condition.value"),
    (field(op="in", value=["x", 1]), "condition.value[1]"),
    (field(op="in", value=[]), "condition.value"),
    (field(op="between", value=["a"]), "condition.value"),
    (field(op="is_set", value=1), "condition.value"),
    (field(), "condition.value"),
    (field("customer.owner", value="7"), "condition.value"),
    (field("customer.owner", value=True), "condition.value"),
    (field("customer.created_at", "before", value="yesterday"), "condition.value"),
    (field("customer.created_at", "before", value="2026-02-29"), "condition.value"),
    (field("customer.created_at", "before", value=1767225600), "condition.value"),
    (field("customer.attributes.x", value=None), "condition.value"),
    (field("customer.attributes.x", "in", value=[1, "1"]), "condition.value"),
    (field("customer.attributes.x", "gt", value=True), "condition.value"),
    (event(event=5), "condition.event"),
    (event(event=[]), "condition.event"),
    (event(event=""), "condition.event"),
    (event(event=["*", "order.paid"]), "condition.event"),
    (event(event=["order.paid", 5]), "condition.event"),
    (event(value="3"), "condition.value"),
    (event(value=None), "condition.value"),
    (event(where=[]), "condition.where"),
    # unknown fields
    (field("customer.provenance", value="x"), "condition.field"),
    (field("customer.attributes.", value="x"), "condition.field"),
    (field("name", value="x"), "condition.field"),
    (field("event.amount", value=1), "condition.field"),
    ({"type": "not", "of": field("tags.nothing", value="x")}, "condition.of.field"),
    (where(field("customer.name", value="x")), "condition.where.field"),
    (where(field("event.nothing", value="x")), "condition.where.field"),
    (where(field("event.properties.", value="x")), "condition.where.field"),
    (where({"type": "any", "of": [event()]}), "condition.where.of[0]"),
    # operators and measures that do not fit
    (field(op="matches", value=".*"), "condition.op"),
    (field(op="within_last", value="P1D"), "condition.op"),
    (field("customer.owner", "contains", value=7), "condition.op"),
    (field("customer.created_at", "contains", value="2026"), "condition.op"),
    (field(value="x", **{"for": "P14D"}), "condition.for"),
    (event(measure="median"), "condition.measure"),
    (event(measure="sum"), "condition.of"),
    (event(measure="sum", of="event.source"), "condition.of"),
    (event(measure="sum", of="event.properties."), "condition.of"),
    (event(of="amount"), "condition.of"),
    (event(currency="CNY"), "condition.currency"),
    (event(measure="sum", of="amount", currency="cny"), "condition.currency"),
    (event(measure="sum", of="amount", value="12,30"), "condition.value"),
    (event(op="contains", value=1), "condition.op"),
    (event(op="is_set", value=...), "condition.op"),
    (trend(measure="days_since_last"), "condition.measure"),
    (trend(op="eq"), "condition.op"),
    (trend(within=None), "condition.within"),
    # windows
    *((event(within=length), "condition.within") for length in ("P0D", "PT0S", "P501Y", "P6001M", "P200000D")),
    *((event(within=length), "condition.within") for length in ("", "90", "P", "PT", "P1.5D", "-P1D", "P1D1D", "P1W ")),
    (event(within=90), "condition.within"),
    (trend(within="P0D"), "condition.within"),
    (field("customer.created_at", "within_last", value="P0D"), "condition.value"),
    (field("customer.created_at", "within_last", value="P99999999999Y"), "condition.value"),
    (field("customer.created_at", "within_last", value=30), "condition.value"),
    (field("customer.created_at", "anniversary", value="P367D"), "condition.value"),
    (field("customer.created_at", "anniversary", value="P1M"), "condition.value"),
    # characters that are no text
    (field(value="a\x00b"), "condition.value"),
    (field("customer.attributes.\x00", value="x"), "condition.field"),
    (event(event="a\x00b"), "condition.event"),
    (event(event=["a", "a\x00b"]), "condition.event[1]"),
    (where(field("event.properties.x", value="\x00")), "condition.where.value"),
    # huge lists and texts
    (field(op="in", value=["x"] * 1001), "condition.value"),
    (event(event=["x"] * 1001), "condition.event"),
    (field(value="x" * 1001), "condition.value"),
]  # fmt: skip


@pytest.fixture
def send(client):
    async def post(path, body, headers=JSON):
        answer = await client.post(path, content=body, headers=headers)
        assert answer.status_code < 500, (answer.text, body[:300])
        return answer

    return post


def requests(condition):
    """Yield the request of each route, in JSON."""
    text = condition if isinstance(condition, str) else json.dumps(condition)
    yield COUNT, f'{{"condition":{text}}}'.encode()
    yield EXPLAIN, f'{{"condition":{text},"customer_id":1}}'.encode()
    yield SEARCH, f'{{"condition":{text},"sort":["name"]}}'.encode()


def raw(node, **values):
    """Return a node's JSON with values that `json` does not write."""
    text = json.dumps(node)
    for name, value in values.items():
        text = text.replace(f'"{name}"', value)
    return text


RAW = [
    (raw(field("customer.owner", value="N"), N="1e400"), "condition.value"),
    (raw(field("customer.owner", value="N"), N="-1e999999999999999999999"), "condition.value"),
    (raw(field("customer.attributes.x", value="N"), N="1e-401"), "condition.value"),
    (raw(field("customer.owner", value="N"), N="9" * 310), "condition.value"),
    (raw(field("customer.owner", value="N"), N="9" * 10_000), "condition"),
    (raw(event(value="N"), N="1e400"), "condition.value"),
    (raw(event(measure="sum", of="amount", value="N"), N="1e400"), "condition.value"),
    (raw(trend(value="N"), N="1e400"), "condition.value"),
    (raw(field(value="N"), N="NaN"), "malformed"),
    (raw(field(value="N"), N='"\\ud800"'), "body"),
    (raw(field(value="N"), N='"\\udc00x"'), "body"),
    (raw(field("N", value="x"), N='"customer.attributes.\\ud800"'), "body"),
]
DEEP = [
    '{"type":"not","of":' * 10_000 + json.dumps(field(value="x")) + "}" * 10_000,
    '{"type":"all","of":[' * 10_000,
    raw(field(value="N"), N="[" * 10_000 + "]" * 10_000),
    raw(field(value="N"), N='{"a":' * 10_000 + "1" + "}" * 10_000),
    '{"type":"not","of":' * 40 + json.dumps(field(value="x")) + "}" * 40,
    json.dumps(where({"type": "not", "of": field("event.source", value="x")})).replace(
        '{"type": "not", "of": ', '{"type": "not", "of": ' * 32
    )
    + "}" * 31,
]
LARGE = [
    json.dumps({"type": "any", "of": [field(value="x")] * 501}),
    json.dumps({"type": "any", "of": [event(within=f"P{days}D") for days in range(1, 202)]}),
    json.dumps({"type": "any", "of": [trend(within=f"P{days}D") for days in range(1, 102)]}),
    json.dumps(where({"type": "any", "of": [field("event.source", value="x")] * 500})),
    json.dumps(field(value="x" * 10_000_000)),
    json.dumps(field(op="in", value=["x" * 900] * 11_000)),
    json.dumps(event(event=["order.paid"] * 700_000)),
    json.dumps({"type": "all", "of": [], "x": "y" * 10_000_000}),
]


async def test_what_is_no_condition_is_refused_with_its_path(send):
    for condition, path in [*REFUSED, *RAW]:
        for route, body in requests(condition):
            answer = await send(route, body)
            assert answer.status_code == 400, (route, condition)
            assert path in answer.json()["detail"], (condition, answer.text)


async def test_depth_and_size_are_refused(send):
    for text in [*DEEP, *LARGE]:
        for route, body in requests(text):
            answer = await send(route, body)
            assert answer.status_code == 400, text[:100]


async def test_the_same_in_msgpack(send):
    for condition, path in REFUSED:
        body = msgspec.msgpack.encode({"condition": condition})
        answer = await send(COUNT, body, MSGPACK)
        assert answer.status_code == 400, condition
        assert path in answer.json()["detail"], (condition, answer.text)


async def test_what_only_msgpack_has(send):
    for value in (float("nan"), float("inf"), -float("inf"), b"bytes", msgspec.msgpack.Ext(5, b"x")):
        for condition in (
            field("customer.owner", value=value),
            event(value=value),
            field("customer.attributes.x", "in", value=[value]),
        ):
            answer = await send(COUNT, msgspec.msgpack.encode({"condition": condition}), MSGPACK)
            assert answer.status_code == 400, condition
            assert "condition.value" in answer.json()["detail"]
    half = msgspec.msgpack.encode({"condition": field(value="xyz")})
    surrogate = half.replace(b"xyz", b"\xed\xa0\x80")
    deep = b"\x81\xa9condition" + b"\x82\xa4type\xa3not\xa2of" * 10_000 + b"\xc0"
    for body in (half[:-2], surrogate, deep, b"", b"\xc1", b"\xdf\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff"):
        for route in (COUNT, EXPLAIN, SEARCH):
            assert (await send(route, body, MSGPACK)).status_code == 400


async def test_hostile_texts_are_only_texts(send, record):
    await record({"name": "order.paid", "identities": {"external_id": "c"}, "traits": {"name": "x", "note": "y"}})
    for text in HOSTILE:
        nodes = [
            *(field(op=op, value=text) for op in ("eq", "contains", "starts_with", "ends_with", "gt")),
            field(op="in", value=[text, "x"]),
            field(f"customer.attributes.{text}x", value=text),
            field("customer.attributes.note", "contains", value=text),
            where(field(f"event.properties.{text}x", "contains", value=text)),
        ]
        if text:
            nodes += [event(event=[text[:200]]), event(measure="distinct", of=f"event.properties.{text}")]
        condition = {"type": "any", "of": nodes}
        for route, body in requests(condition):
            assert (await send(route, body)).status_code == 200, text
        for broken in (field(op=text, value="x"), field(f"customer.{text}", value="x"), event(within=text)):
            [(route, body), *_] = requests(broken)
            answer = await send(route, body)
            assert answer.status_code == 400
            assert "condition." in answer.json()["detail"], answer.text
    assert (await send(COUNT, b'{"condition":{"type":"all","of":[]}}')).json() == {"count": 1}


async def test_what_is_no_request_is_refused(send):
    everybody = '{"type":"all","of":[]}'
    bodies = [
        *(b"", b"{", b"null", b"[]", b"5", b"{}", b"\xff\xfe{}", b"[" * 10_000, b'{"a":' * 10_000, b"\x00"),
        b'{"condition":' + everybody.encode() + b'} trailing',
        f'{{"condition":{everybody},"more":1,"customer_id":1}}'.encode(),
        *(
            f'{{"condition":{everybody},"customer_id":1,"at":{at}}}'.encode()
            for at in ('"yesterday"', "5", '"2026-02-30T00:00:00Z"', '"0001-01-01T00:00:00Z"', '"9999-12-31T00:00:00Z"')
        ),
    ]  # fmt: skip
    for body in bodies:
        for route in (COUNT, EXPLAIN, SEARCH):
            assert (await send(route, body)).status_code == 400, (route, body[:100])
    for customer_id in ("0", "-1", "1.5", '"1"', "null", "1e400", str(2**63), "9" * 400, "true"):
        body = f'{{"condition":{everybody},"customer_id":{customer_id}}}'.encode()
        answer = await send(EXPLAIN, body)
        assert answer.status_code == 400, customer_id
    assert (await send(EXPLAIN, f'{{"condition":{everybody},"customer_id":{2**63 - 1}}}'.encode())).status_code == 404


async def test_errors_are_in_the_readers_language(client):
    for condition, path in REFUSED[::5]:
        details = {}
        for language in ("zh-CN", "en"):
            answer = await client.post(COUNT, json={"condition": condition}, headers={"accept-language": language})
            details[language] = answer.json()["detail"]
            assert path in details[language]
        assert details["en"].isascii() or "…" in details["en"]
