"""POST /events: what is decoded, how each item is checked, and what each rejection says."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from zhike.errors import BadRequest, TooLarge
from zhike.events.checks import check_event
from zhike.events.decode import decode_events
from zhike.events.schemas import CheckedEvent, IncomingEvent, Rejection
from zhike.settings import Settings
from zhike.wire import MediaType

NOW = datetime(2025, 7, 1, 12, 0, tzinfo=UTC)
SETTINGS = Settings(data=Path("unused"))
GOOD = {"name": "order.paid", "identities": {"phone": "13800138000"}}


def decode(*items: object, media_type: MediaType = "json") -> tuple[list[CheckedEvent], list[Rejection]]:
    pack: Callable[[object], bytes] = msgspec.json.encode if media_type == "json" else msgspec.msgpack.encode
    return decode_events(pack({"events": list(items)}), media_type, now=NOW, settings=SETTINGS)


def accept(**fields: Any) -> CheckedEvent:
    results = [decode({**GOOD, **fields}, media_type=media_type) for media_type in ("json", "msgpack")]
    for accepted, rejected in results:
        assert rejected == []
        assert len(accepted) == 1
    if fields.get("message_id"):
        assert results[0] == results[1]
    return results[0][0][0]


def reject(**fields: Any) -> Rejection:
    for media_type in ("msgpack", "json"):
        accepted, rejected = decode(GOOD, {**GOOD, **fields}, GOOD, media_type=media_type)
        assert [event.index for event in accepted] == [0, 2]
        assert [rejection.index for rejection in rejected] == [1]
    assert str(rejected[0].message).startswith("events[1]")
    return rejected[0]


def test_a_full_event() -> None:
    event = accept(
        message_id="o-1",
        occurred_at="2025-06-01T20:00:00.123456+08:00",
        identities={"device_id": "D", "member": "M", "email": "A@B.cn", "phone": "138 0013 8000", "external_id": "007"},
        traits={"name": "张三", "level": 3, "tags": ["a", None, 1.5, True], "kind": "company"},
        amount="12.30",
        currency="USD",
        properties={"sku": "A", "lines": [{"n": 1}]},
        source="shop",
    )
    assert event.occurred_at == datetime(2025, 6, 1, 12, 0, 0, 123456, tzinfo=UTC)
    assert event.occurred_at.tzinfo is UTC
    assert event.identities == [
        *(("external_id", "007"), ("phone", "+8613800138000"), ("email", "a@b.cn")),
        *(("member", "M"), ("device_id", "D")),
    ]
    assert (event.amount, event.currency, event.source, event.message_id) == (1230, "USD", "shop", "o-1")
    assert json.loads(event.properties) == {"sku": "A", "lines": [{"n": 1}]}
    assert event.traits == {"name": "张三", "level": 3, "tags": ["a", None, 1.5, True], "kind": "company"}


def test_a_bare_event() -> None:
    event = accept()
    assert UUID(event.message_id).version == 7
    assert (event.occurred_at, event.traits, event.amount, event.currency) == (NOW, None, None, None)
    assert (event.properties, event.source) == ("{}", "")


def test_null_is_absent() -> None:
    optional = ("message_id", "occurred_at", "traits", "amount", "currency", "properties", "source")
    event = accept(**dict.fromkeys(optional))
    assert (event.occurred_at, event.properties, event.source) == (NOW, "{}", "")


@pytest.mark.parametrize(
    ("time", "instant"),
    [
        ("2025-06-01T12:00:00", datetime(2025, 6, 1, 4, tzinfo=UTC)),
        ("2025-06-01 12:00:00Z", datetime(2025, 6, 1, 12, tzinfo=UTC)),
        ("1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
        ("2025-07-02T12:00:00Z", NOW + timedelta(hours=24)),
        ("1991-04-14T12:00:00", datetime(1991, 4, 14, 3, tzinfo=UTC)),  # Shanghai had summer time then
    ],
)
def test_times(time: str, instant: datetime) -> None:
    assert accept(occurred_at=time).occurred_at == instant


@pytest.mark.parametrize(
    "time",
    [
        *("1969-12-31T23:59:59Z", "1970-01-01T00:00:00", "2025-07-02T12:00:01Z", "0001-01-01T00:00:00+14:00"),
        *("9999-12-31T23:59:59-14:00", "2025-02-30T00:00:00Z", "2025-06-01", "yesterday", "", 1_748_779_200, True, {}),
    ],
)
def test_times_that_are_refused(time: object) -> None:
    rejection = reject(occurred_at=time)
    assert rejection.code == "occurred_at"
    assert "events[1].occurred_at: " in str(rejection.message)
    assert "expected" in str(rejection.message)


@pytest.mark.parametrize(
    ("amount", "minor"), [(0.1, 10), (0.30, 30), ("0.30", 30), (12, 1200), (-5, -500), ("1e3", 100_000), (0, 0)]
)
def test_amounts(amount: object, minor: int) -> None:
    event = accept(amount=amount)
    assert (event.amount, event.currency) == (minor, "CNY")


def test_amounts_never_pass_through_a_float() -> None:
    body = b'{"events":[{"name":"a","identities":{"phone":"13800138000"},"amount":90071992547409.93}]}'
    accepted, _ = decode_events(body, "json", now=NOW, settings=SETTINGS)
    assert accepted[0].amount == 9_007_199_254_740_993


def test_the_currency_is_the_deployments_only_where_there_is_an_amount() -> None:
    settings = Settings(data=Path("unused"), currency="JPY")
    body = json.dumps({"events": [{**GOOD, "amount": 5}, GOOD, {**GOOD, "amount": 0.5}]}).encode()
    accepted, rejected = decode_events(body, "json", now=NOW, settings=settings)
    assert [(event.amount, event.currency) for event in accepted] == [(5, "JPY"), (None, None)]
    assert [(rejection.index, rejection.code) for rejection in rejected] == [(2, "amount")]
    assert accept(currency="USD").currency is None


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"name": ""}, "name", "name: expected str of length >= 1"),
        ({"name": 5}, "name", "name: expected str, got int"),
        ({"name": "a b"}, "name", "name: expected letters, digits"),
        ({"name": "订" * 67}, "name", "expected 1 to 200 bytes, got 201"),
        ({"name": "'; DROP TABLE event; --"}, "name", "expected letters"),
        ({"name": "{{7*7}}"}, "name", "expected letters"),
        ({"name": "a\x00"}, "name", "name: "),
        ({"name": "*"}, "name", "expected letters"),
        ({"name": "customer.created"}, "reserved_name", "customer.created is recorded by Zhike itself"),
        ({"name": "customer.merged"}, "reserved_name", "name: "),
        ({"message_id": ""}, "message_id", "length >= 1"),
        ({"message_id": "订" * 67}, "message_id", "expected 1 to 200 bytes, got 201"),
        ({"message_id": "a\x00"}, "message_id", "NUL"),
        ({"message_id": 5}, "message_id", "expected str | null, got int"),
        ({"source": "x" * 201}, "source", "length <= 200"),
        ({"source": "店" * 67}, "source", "expected 0 to 200 bytes, got 201"),
        ({"source": "\x00"}, "source", "NUL"),
        ({"identities": {}}, "no_identity", "identities: expected at least one"),
        ({"identities": {"phone": " ", "email": ""}}, "no_identity", "at least one"),
        ({"identities": {"phone": "12345"}}, "identity", "events[1].identities.phone: **** is no phone number"),
        ({"identities": {"external_id": "1", "email": "x"}}, "identity", "identities.email: expected an e-mail"),
        ({"identities": {"Phone": "x"}}, "identity", "identities.Phone: 'Phone' is no namespace"),
        ({"identities": {"phone": 13800138000}}, "identity", "identities[...]: expected str, got int"),
        ({"identities": {"x": "a\x00"}}, "identity", "identities.x: expected a text without control"),
        ({"identities": ["phone"]}, "identity", "identities: expected object, got array"),
        ({"identities": None}, "identity", "identities: expected object, got null"),
        ({"traits": {"id": 1}}, "trait", "traits.id: no event can set it"),
        ({"traits": {"merged_into": 1}}, "trait", "traits.merged_into: "),
        ({"traits": {"kind": "robot"}}, "trait", "traits.kind: expected person or company, got 'robot'"),
        ({"traits": {"kind": []}}, "trait", "traits.kind: expected person or company"),
        ({"traits": {"name": 5}}, "trait", "traits.name: expected text, got 5"),
        ({"traits": {"a": {"b": 1}}}, "trait", "traits[...]: expected"),
        ({"traits": {"a": [[1]]}}, "trait", "traits[...][0]: expected"),
        ({"traits": {"a": "x" * 10_001}}, "trait", "length <= 10000"),
        ({"traits": {"a": "\x00"}}, "trait", "traits.a: the character NUL"),
        ({"traits": {"a": ["\x00"]}}, "trait", "traits.a: the character NUL"),
        ({"traits": {"": 1}}, "trait", "length >= 1"),
        ({"traits": {"k" * 101: 1}}, "trait", "length <= 100"),
        ({"traits": {f"k{n}": 1 for n in range(101)}}, "trait", "length <= 100"),
        ({"traits": {"a": 2**63}}, "trait", "9223372036854775807"),
        ({"amount": "12.345"}, "amount", "amount: expected at most 2 decimal places for CNY"),
        ({"amount": "1e400"}, "amount", "amount: expected an amount from -92233720368547758.07"),
        ({"amount": "NaN"}, "amount", "amount: expected an amount from"),
        ({"amount": "Infinity"}, "amount", "amount: expected an amount from"),
        ({"amount": "a lot"}, "amount", "amount: expected a decimal number"),
        ({"amount": True}, "amount", "amount: expected decimal | null, got bool"),
        ({"amount": 1, "currency": "cny"}, "currency", "currency: expected an ISO 4217 code such as CNY, got 'cny'"),
        ({"currency": "BTC"}, "currency", "currency: expected an ISO 4217 code"),
        ({"properties": []}, "properties", "properties: expected object, got array"),
        ({"properties": "x"}, "properties", "properties: expected object, got str"),
        ({"properties": {"a": "x" * 70_000}}, "properties", "bytes are too many; at most 65536 are taken"),
        ({"properties": {"a": "\x00"}}, "properties", "properties: the character NUL"),
        ({"properties": {"\x00": 1}}, "properties", "properties: the character NUL"),
        ({"ammount": 5}, "unknown_field", "events[1].ammount: no event has this field; expected one of name,"),
    ],
)
def test_rejections(fields: dict[str, Any], code: str, words: str) -> None:
    rejection = reject(**fields)
    assert rejection.code == code
    assert words in str(rejection.message)
    assert rejection.message.render("zh_CN")


def test_a_missing_name() -> None:
    accepted, rejected = decode({"identities": {"phone": "13800138000"}}, GOOD)
    assert [event.index for event in accepted] == [1]
    assert [(rejection.code, str(rejection.message)) for rejection in rejected] == [
        ("name", "events[0]: the field `name` is missing")
    ]


def test_phone_numbers_are_masked() -> None:
    assert "139****3210" in str(reject(identities={"phone": "139876543210"}).message)
    assert "87654" not in str(reject(identities={"phone": "139876543210"}).message)


@pytest.mark.parametrize("name", ["order.paid", "订单.已付", "app:login-v2_x", "заказ", "คำสั่ง", "a" * 200, "1"])
def test_names_of_any_script(name: str) -> None:
    assert accept(name=name).name == name


@pytest.mark.parametrize("item", [None, 5, "x", [], True, [GOOD]])
def test_items_that_are_no_objects(item: object) -> None:
    for media_type in ("json", "msgpack"):
        accepted, rejected = decode(GOOD, item, GOOD, media_type=media_type)
        assert len(accepted) == 2
        assert [(rejection.index, rejection.code) for rejection in rejected] == [(1, "malformed")]


def test_blank_identities_are_left_out() -> None:
    assert accept(identities={"phone": "", "external_id": "1", "email": " "}).identities == [("external_id", "1")]


def test_the_same_message_id_twice_is_not_the_decoders_business() -> None:
    accepted, rejected = decode({**GOOD, "message_id": "x"}, {**GOOD, "message_id": "x"})
    assert [event.message_id for event in accepted] == ["x", "x"]
    assert rejected == []


@pytest.mark.parametrize("media_type", ["json", "msgpack"])
def test_the_limit_of_events(media_type: MediaType) -> None:
    accepted, rejected = decode(*[GOOD] * 5_000, media_type=media_type)
    assert (len(accepted), rejected) == (5_000, [])
    for more in ([GOOD] * 5_001, [5] * 5_001):
        with pytest.raises(TooLarge, match="more than 5000"):
            decode(*more, media_type=media_type)
    assert decode(media_type=media_type) == ([], [])


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b" ",
            b"null",
            b"5",
            b"[]",
            b"{}",
            b'{"events":null}',
            b'{"events":{}}',
            b'{"events":[]} x',
            b'{"events":[]',
        ),
        *(b'{"events":[],"events":[]}x', b'{"evnets":[]}', b'{"events":[],"more":1}', b'{"events":"x"}', b"\xff\xfe"),
        *(b'{"events":[{"name":"x}]}', b'{"events":[{]}', b'{"events":[{}]]}', b'{"events":[}]}', b'\x00{"events":[]}'),
        *(b"[" * 100_000, b'{"events":' + b"[" * 100_000, b'{"events":' + b'{"a":' * 100_000, b'"' + b"x" * 10_000_000),
    ],
)
def test_a_body_that_is_no_list_of_events_is_refused_as_a_whole(body: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        decode_events(body, "json", now=NOW, settings=SETTINGS)
    assert caught.value.status == 400
    assert caught.value.message.render("zh_CN")


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"\xc0", b"\x80", b"\x81", b"\x81\xa6events", b"\x81\xa6events\xc0", b"\x81\xa6events\x91", b"\xc1"),
        *(b"\x81\xa6events\x91\xc1", b"\x81\xa6events\xdd\xff\xff\xff\xff", b"\x81\xa6events\x91\xdf\xff\xff\xff\xff"),
        *(b"\x81\xa6events\x90\x00", b"\x81\x90\x90", b"\x81\xa6evnets\x90", b"\x81\xa6events\x91\xdb\xff\xff\xff\xff"),
        *(b"\x81\xa6events\x91\xc9\x00\x00\x00", b"\x81\xa6events" + b"\x91" * 100_000, b"\x82\xa6events\x90\xa1x\xc0"),
    ],
)
def test_a_msgpack_body_that_is_no_list_of_events_is_refused_as_a_whole(body: bytes) -> None:
    with pytest.raises(BadRequest):
        decode_events(body, "msgpack", now=NOW, settings=SETTINGS)


def test_an_event_made_by_a_program_is_checked_in_full() -> None:
    def check(**fields: Any) -> CheckedEvent | Rejection:
        item = IncomingEvent(name="a", identities={"external_id": "1"}, **fields)
        return check_event(item, 7, now=NOW, settings=SETTINGS)

    in_our_zone = datetime.fromisoformat("2025-06-01T00:00:00")
    good = check(properties=msgspec.Raw(b'{"a": 1}'), traits={"a": "b"}, occurred_at=in_our_zone)
    assert isinstance(good, CheckedEvent)
    assert (good.index, good.properties) == (7, '{"a": 1}')
    assert good.occurred_at == datetime(2025, 5, 31, 16, tzinfo=UTC)
    for fields, code in [
        ({"message_id": "x" * 201}, "message_id"),
        ({"message_id": "\ud800"}, "message_id"),
        ({"traits": {"a": object()}}, "trait"),
        ({"traits": {"a": float("nan")}}, "trait"),
        ({"traits": {"a": "\ud800"}}, "trait"),
        ({"traits": {"a": 10**30}}, "trait"),
        ({"traits": {"a": ["x"] * 1_001}}, "trait"),
        ({"traits": {"a": "x" * 10_001}}, "trait"),
        ({"traits": {"": 1}}, "trait"),
        ({"traits": {str(n): 1 for n in range(101)}}, "trait"),
        ({"properties": msgspec.Raw(b"{")}, "properties"),
        ({"properties": msgspec.Raw(b'{"a":"\xff"}')}, "properties"),
    ]:
        rejection = check(**fields)
        assert isinstance(rejection, Rejection)
        assert (rejection.index, rejection.code) == (7, code)
