"""One strict decoder for every body: nothing is converted, and every fault is named with its place."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from zhike import wire
from zhike.errors import BadRequest
from zhike.i18n import Text
from zhike.wire import MediaType

MEDIA: list[MediaType] = ["json", "msgpack"]


class Line(msgspec.Struct, forbid_unknown_fields=True):
    sku: Annotated[str, Meta(min_length=1, max_length=5)]
    count: Annotated[int, Meta(ge=1)] = 1
    price: Decimal | None = None


class Order(msgspec.Struct, forbid_unknown_fields=True):
    number: int
    lines: list[Line] = []
    at: datetime | None = None
    status: Literal["open", "paid"] = "open"
    notes: dict[str, str] = {}


def refusal(body: bytes, media_type: MediaType = "json") -> str:
    with pytest.raises(BadRequest) as caught:
        wire.decode(body, media_type, Order)
    message = caught.value.message
    assert message.render("zh_CN")
    assert isinstance(message.params["detail"], Text)
    return str(message)


@pytest.mark.parametrize("media_type", MEDIA)
def test_there_and_back(media_type: MediaType) -> None:
    order = Order(7, [Line("A1", 2, Decimal("0.10"))], datetime(2025, 6, 1, tzinfo=UTC), "paid", {"键": "值"})
    assert wire.decode(wire.encode(order, media_type), media_type, Order) == order


def test_decimals_are_written_exactly() -> None:
    assert wire.encode({"amount": Decimal("92233720368547758.07")}, "json") == b'{"amount":92233720368547758.07}'
    packed = msgspec.msgpack.decode(wire.encode({"amount": Decimal("0.10")}, "msgpack"))
    assert packed == {"amount": "0.10"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"number":"5"}', "number: expected int, got str"),
        (b'{"number":5.0}', "number: expected int, got float"),
        (b'{"number":true}', "number: expected int, got bool"),
        (b"[]", "body: expected object, got array"),
        (b'{"number":1,"lines":[{"sku":"A"},{"sku":7}]}', "lines[1].sku: expected str, got int"),
        (b'{"number":1,"lines":[{"sku":""}]}', "lines[0].sku: expected str of length >= 1"),
        (b'{"number":1,"lines":[{"sku":"A","count":0}]}', "lines[0].count: expected int >= 1"),
        (b'{"number":1,"lines":[{}]}', "lines[0]: the field `sku` is missing"),
        (b'{"number":1,"nmber":1}', "body: there is no field `nmber`"),
        (b'{"number":1,"status":"lost"}', "status: 'lost' is not one of open, paid"),
        (b'{"number":1,"at":"yesterday"}', "at: expected a time of RFC 3339 such as 2025-06-01T12:00:00+08:00"),
        (b'{"number":1,"lines":[{"sku":"A","price":"x"}]}', "lines[0].price: expected a decimal number such as 12.30"),
        (b'{"number":1,"notes":{"a":1}}', "notes[...]: expected str, got int"),
        (b"", "body: it is empty"),
        (b'{"number":1', "body: it ends too early, at byte 11"),
        (b'{"number":1} x', "body: malformed at byte 1"),
        (b'{"number":01}', "body: malformed at byte 11 (invalid number)"),
        (b'\xef\xbb\xbf{"number":1}', "body: malformed at byte 0 (invalid character)"),
        (b'{"number":1,"notes":{"a":"\\ud800 and more"}}', "body: malformed at byte"),
    ],
)
def test_faults_are_named_with_their_place(body: bytes, message: str) -> None:
    assert refusal(body).startswith(message)


@pytest.mark.parametrize(
    ("body", "offset"),
    [
        (b'{"number":1,"notes":{"a":"\xe4\xbd"}}', 26),
        (b'{"number":1,"notes":{"\xe4\xbd\xa0\xff":""}}', 25),
        (b"\xff\xfe{\x00}\x00", 0),
    ],
)
def test_invalid_utf_8_names_the_byte_of_the_body(body: bytes, offset: int) -> None:
    assert refusal(body) == f"body: invalid UTF-8 at byte {offset}"


@pytest.mark.parametrize("raw", [b'{"any":"\xff"}', b'{"any":{"\xc2":1}}', b'{"any":["\xed\xa0\x80"]}'])
def test_invalid_utf_8_is_found_where_the_decoder_only_skips(raw: bytes) -> None:
    class Skipping(msgspec.Struct):
        any: msgspec.Raw

    with pytest.raises(BadRequest, match="invalid UTF-8 at byte"):
        wire.decode(raw, "json", Skipping)


@pytest.mark.parametrize("depth", [20_000, 1_000_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    assert refusal(b'{"number":' + b"[" * depth + b"]" * depth + b"}").startswith(("number: expected", "body: nested"))
    assert refusal(b'{"number":1,"x":' + b"[" * depth).startswith("body: ")
    with pytest.raises(BadRequest, match="nested too deeply"):
        wire.decode(b"[" * depth + b"]" * depth, "json", list)
    with pytest.raises(BadRequest, match="nested too deeply"):
        wire.decode(b"\x91" * depth + b"\xc0", "msgpack", list)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "body: it is empty"),
        (b"\xc1", "body: malformed at byte 0"),
        (b"\x81\xa6number\x05\x00", "body: malformed at byte 9 (trailing characters)"),
        (b"\x81\xa6number", "body: it ends too early, at byte 8"),
        (b"\x81\xa6number\xa15", "number: expected int, got str"),
        (b"\x82\xa6number\x05\xa5notes\x81\xa1a\xa1\xff", "body: invalid UTF-8"),
        (b"\xdf\xff\xff\xff\xff", "body: it ends too early"),
        (b"\xdd\xff\xff\xff\xff\xc0", "body: expected object, got array"),
    ],
)
def test_msgpack_faults(body: bytes, message: str) -> None:
    assert refusal(body, "msgpack").startswith(message)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"number":"5"}', "number：应为整数，实际为文本"),
        (b'{"number":1,"at":5.5}', "at：应为时间或空值，实际为小数"),
        (b'{"number":1,"lines":[{"sku":"","count":1}]}', "lines[0].sku：应为长度 >= 1 的文本"),
        (b'{"number":1,"lines":[{"sku":"A","count":0}]}', "lines[0].count：应为 >= 1 的整数"),
        (b'{"number":1,"status":"lost"}', "status：'lost' 不是可用的值，应为其中之一：open, paid"),
        (b'{"number":1,"status":"open",}', "body：字节偏移 28 处格式错误（对象末尾有多余的逗号）"),
        (b'{"number":1 "status":"open"}', "body：字节偏移 12 处格式错误（应为 ',' 或 '}'）"),
    ],
)
def test_faults_are_told_in_chinese_without_english_in_between(body: bytes, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        wire.decode(body, "json", Order)
    assert caught.value.message.render("zh_CN") == message


class Places(msgspec.Struct):
    many: list[Literal["a", 1] | None] = []
    named: dict[str, Order] = {}
    name: Annotated[str, Meta(pattern="^[a-z]+$")] | None = None
    size: Annotated[list[int], Meta(max_length=1)] = []
    tens: Annotated[int, Meta(multiple_of=10)] = 0
    at: Annotated[datetime, Meta(tz=True)] | None = None
    pair: tuple[int, int] = (0, 0)


@pytest.mark.parametrize(
    ("body", "english", "chinese"),
    [
        (b'{"many":[null,"b"]}', "many[1]: 'b' is not one of 1, a", "many[1]：'b' 不是可用的值，应为其中之一：1, a"),
        (
            b'{"named":{"x":{"number":1,"status":"lost"}}}',
            "named[...].status: 'lost' is not one of open, paid",
            "named[...].status：'lost' 不是可用的值，应为其中之一：open, paid",
        ),
        (b'{"name":"A"}', "name: expected str matching regex '^[a-z]+$'", "name：应为符合正则表达式 '^[a-z]+$' 的文本"),
        (b'{"size":[1,2]}', "size: expected array of length <= 1", "size：应为长度 <= 1 的数组"),
        (b'{"pair":[1]}', "pair: expected array of length 2", "pair：应为长度 2 的数组"),
        (b'{"tens":5}', "tens: expected int that's a multiple of 10", "tens：应为 10 的倍数（整数）"),
        (
            b'{"at":"2025-06-01T12:00:00"}',
            "at: expected a time with its offset, such as 2025-06-01T12:00:00+08:00",
            "at：应为带时区偏移的时间，例如 2025-06-01T12:00:00+08:00",
        ),
    ],
)
def test_what_is_allowed_is_told_wherever_it_stands(body: bytes, english: str, chinese: str) -> None:
    with pytest.raises(BadRequest) as caught:
        wire.decode(body, "json", Places)
    assert (str(caught.value.message), caught.value.message.render("zh_CN")) == (english, chinese)


@pytest.mark.parametrize("escape", [rb"\ud8", rb"\uzzzz", rb"\q"])
def test_a_broken_escape_is_told_in_the_readers_language(escape: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        wire.decode(b'"' + escape + b'" ', "json", str)
    detail = caught.value.message.render("zh_CN").partition("（")[2]
    assert [word for word in detail.split() if word.isascii() and len(word) > 6] == []
    assert detail


@pytest.mark.parametrize("half", [rb"\ud800", rb"\udbff", rb"a\ud83d"])
def test_half_a_surrogate_pair_is_not_taken_for_the_end(half: bytes) -> None:
    assert refusal(b'{"number":1,"notes":{"a":"' + half + b'"}}').startswith(("body: it has half", "body: malformed"))
    with pytest.raises(BadRequest, match=r"it has half a surrogate pair"):
        wire.decode(b'"' + half + b'"', "json", str)
    assert refusal(b'{"number":1,"notes":{"a":"' + half) == f"body: it ends too early, at byte {26 + len(half)}"


def test_a_huge_field_name_does_not_fill_the_message() -> None:
    assert len(refusal(b'{"' + b"x" * 10_000_000 + b'":1}')) < 400


@given(st.binary(max_size=60), st.sampled_from(MEDIA))
def test_any_bytes_are_a_value_or_a_bad_request(body: bytes, media_type: MediaType) -> None:
    for type_ in (Order, list, dict[str, Line]):
        with contextlib.suppress(BadRequest):  # nothing else
            wire.encode(wire.decode(body, media_type, type_), media_type)
