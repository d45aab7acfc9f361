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
        (b'{"number":1,"status":"lost"}', "status: 'lost' is not one of the values allowed here"),
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


def test_a_huge_field_name_does_not_fill_the_message() -> None:
    assert len(refusal(b'{"' + b"x" * 10_000_000 + b'":1}')) < 400


@given(st.binary(max_size=60), st.sampled_from(MEDIA))
def test_any_bytes_are_a_value_or_a_bad_request(body: bytes, media_type: MediaType) -> None:
    for type_ in (Order, list, dict[str, Line]):
        with contextlib.suppress(BadRequest):  # nothing else
            wire.encode(wire.decode(body, media_type, type_), media_type)
