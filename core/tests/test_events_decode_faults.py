"""POST /events under fire: one poisoned item costs exactly itself, and no body costs more than linear time."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhike.errors import BadRequest, ZhikeError
from zhike.events.decode import decode_events
from zhike.events.schemas import CheckedEvent, Rejection
from zhike.events.split import split_json, split_msgpack
from zhike.settings import Settings

NOW = datetime(2025, 7, 1, tzinfo=UTC)
SETTINGS = Settings(data=Path("unused"))
Result = tuple[list[CheckedEvent], list[Rejection]]


def good(number: int) -> bytes:
    return b'{"name":"order.paid","message_id":"m%d","identities":{"external_id":"%d"},"properties":{"n":%d}}' % (
        *(number, number, number),
    )


def with_properties(properties: bytes) -> bytes:
    return b'{"name":"order.paid","identities":{"external_id":"x"},"properties":' + properties + b"}"


def decode(*items: bytes) -> Result:
    return decode_events(b'{"events":[' + b",".join(items) + b"]}", "json", now=NOW, settings=SETTINGS)


POISON = {
    "bad type": (b'{"name":5,"identities":{"external_id":"x"}}', "name"),
    "NUL byte": (with_properties(b'{"a":"\x00"}'), "malformed"),
    "escaped NUL": (with_properties(b'{"a":"x\\u0000"}'), "properties"),
    "escaped NUL after a backslash": (with_properties(b'{"a":"\\\\\\u0000"}'), "properties"),
    "escaped NUL as key": (with_properties(b'{"\\u0000":1}'), "properties"),
    "NUL in a trait": (b'{"name":"a","identities":{"external_id":"x"},"traits":{"a":"\\u0000"}}', "trait"),
    "1 MB text": (with_properties(b'{"a":"' + b"x" * 1_000_000 + b'"}'), "properties"),
    "10 MB text": (with_properties(b'{"a":"' + b"x" * 10_000_000 + b'"}'), "properties"),
    "10 MB of escapes": (with_properties(b'{"a":"' + b'\\"' * 5_000_000 + b'"}'), "properties"),
    "10 MB name": (b'{"name":"' + b"x" * 10_000_000 + b'","identities":{"external_id":"x"}}', "name"),
    "10 MB field": (b'{"' + b"x" * 10_000_000 + b'":1,"name":"a"}', "unknown_field"),
    "10 MB number": (with_properties(b'{"a":' + b"1" * 10_000_000 + b"}"), "properties"),
    "10 MB of amount": (b'{"name":"a","identities":{"external_id":"x"},"amount":' + b"1" * 10_000_000 + b"}", "amount"),
    "half a character": (with_properties('{"a":"你'.encode()[:-1] + b'"}'), "properties"),
    "half a character outside": (b'{"name":"\xe4\xbd","identities":{"external_id":"x"}}', "encoding"),
    "GB18030": (b'{"name":"a","identities":{"external_id":"' + "张三".encode("gb18030") + b'"}}', "encoding"),
    "encoded surrogate": (with_properties(b'{"a":"\xed\xa0\x80"}'), "properties"),
    "lone surrogate": (with_properties(b'{"a":"\\ud800 and more"}'), "malformed"),
    "lone surrogate at the end": (with_properties(b'{"a":"\\ud800"}'), "malformed"),
    "1e400": (with_properties(b'{"a":1e400}'), "properties"),
    "-1e400": (with_properties(b'{"a":[-1e400]}'), "properties"),
    "1e100000": (with_properties(b'{"a":1e100000}'), "properties"),
    "1e-20000": (with_properties(b'{"a":1e-20000}'), "properties"),
    "0e-20000": (with_properties(b'{"a":[0.0E-20000 ]}'), "properties"),
    "a huge exponent": (with_properties(b'{"a":1e-99999999999999999999}'), "properties"),
    "a 400-digit integer": (with_properties(b'{"a":' + b"9" * 400 + b"}"), "properties"),
    "a 20,000-digit fraction": (with_properties(b'{"a":0.' + b"1" * 20_000 + b"}"), "properties"),
    "NaN": (with_properties(b'{"a":NaN}'), "malformed"),
    "a 1e400 amount": (b'{"name":"a","identities":{"external_id":"x"},"amount":1e400}', "amount"),
    "a 1e400 trait": (b'{"name":"a","identities":{"external_id":"x"},"traits":{"a":1e400}}', "trait"),
    "nesting of 33": (with_properties(b'{"a":' + b"[" * 32 + b"]" * 32 + b"}"), "properties"),
    "nesting of 10,000": (with_properties(b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}"), "nesting"),
    "objects nested 10,000 deep": (with_properties(b'{"a":' * 10_000 + b"1" + b"}" * 10_000), "nesting"),
    "an item nested 10,000 deep": (b"[" * 10_000 + b"]" * 10_000, "malformed"),
    "no value": (b'{"name":}', "malformed"),
    "words": (b"undefined", "malformed"),
    "nothing": (b" ", "malformed"),
    "two items without comma": (good(1) + good(2), "malformed"),
    "single quotes": (b"{'name':'a'}", "malformed"),
    "a comment": (b"/* } */", None),
    "brackets in texts": (b'{"name":"}]\\"},{[","identities":{"external_id":"x"}}', "name"),
}


@pytest.mark.parametrize("place", [0, 50, 99])
@pytest.mark.parametrize("poison", POISON)
def test_ninety_nine_are_taken_and_one_is_reported(poison: str, place: int) -> None:
    item, code = POISON[poison]
    items = [good(number) for number in range(100)]
    items[place] = item
    started = time.process_time()
    if code is None:  # no way to say where items end
        with pytest.raises(BadRequest, match="cannot be said where events begin"):
            decode(*items)
        return
    accepted, rejected = decode(*items)
    assert time.process_time() - started < 3
    assert [event.index for event in accepted] == [number for number in range(100) if number != place]
    assert [event.properties for event in accepted] == [f'{{"n":{event.index}}}' for event in accepted]
    assert [(rejection.index, rejection.code) for rejection in rejected] == [(place, code)]
    message = str(rejected[0].message)
    assert message.startswith(f"events[{place}]")
    assert len(message) < 700
    assert rejected[0].message.render("zh_CN")


def test_all_poisons_at_once() -> None:
    poisons = [item for item, code in POISON.values() if code and len(item) < 1_000_000]
    items = [part for number, item in enumerate(poisons) for part in (good(number), item)]
    accepted, rejected = decode(*items)
    assert [event.index for event in accepted] == list(range(0, len(items), 2))
    assert [rejection.index for rejection in rejected] == list(range(1, len(items), 2))


@pytest.mark.parametrize(
    "properties",
    [
        *(b"{}", b"  {}  ", b'{"a":1e308}', b'{"a":-1.7976931348623157e308}', b'{"a":1e-400}', b'{"a":5e-324}'),
        *(b'{"a":"\\\\u0000"}', b'{"a":"\\ud83d\\ude00"}', '{"a":"😀"}'.encode(), b'{"a":"\\u4f60"}'),
        *(b'{"a":9999999999999999999}', b'{"a":1,"a":2}', b'{"":1}', b'{"a":"' + b"x" * 65_528 + b'"}'),
        *(b'{"a":0.1234567890123456789012345}', b'{"a":12345678901234567890123456789}'),
        *(b'{"a":"1e400","b":"1e-99999"}', b'{"a":[[1],[2],[[3]],{}]}', b'{"a":[' + b"{}," * 100 + b"{}]}"),
        *(b'{"a":"e-12345"}', b'{"id":"8e-1234-4e-5678"}'),
        b'{"a":' + b"[" * 31 + b"]" * 31 + b"}",
        *(b'{"a":true,"b":false,"c":null}', b'{"a":"\x7f\xc2\x85"}', b'{"a":0.' + b"1" * 16_000 + b"}"),
    ],
)  # fmt: skip
def test_properties_keep_every_character(properties: bytes) -> None:
    for others in ([], [with_properties(b'{"a":"\\u0000"}')], [b'{"name":5}']):
        accepted, rejected = decode(with_properties(properties), *others)
        assert [event.properties for event in accepted] == [properties.strip().decode()]
        assert len(rejected) == len(others)


def test_the_size_of_properties_is_counted_in_bytes() -> None:
    fits, too_large = (json.dumps({"a": "你" * 21_800 + "x" * extra}, ensure_ascii=False) for extra in (127, 128))
    assert len(fits.encode()) == 65_536
    accepted, rejected = decode(with_properties(fits.encode()), with_properties(too_large.encode()))
    assert ([event.index for event in accepted], [rejection.index for rejection in rejected]) == ([0], [1])


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "open brackets": lambda n: b'{"events":[' + b"[" * n,
    "pairs of brackets": lambda n: b'{"events":[5,' + b"[]" * (n // 2) + b"]}",
    "broken ladders": lambda n: b'{"events":[5,[' + b"[[[[[1]]]]]," * (n // 12) + b"5]]}",
    "growing ladders": lambda n: b'{"events":[' + (b"[[[[" + b"[]," * 1_000) * (n // 3_004),
    "unclosed text": lambda n: b'{"events":[{"name":"' + b"x" * n,
    "unclosed escapes": lambda n: b'{"events":[{"name":"' + b"\\" * n,
    "quotes": lambda n: b'{"events":[' + b'"' * n,
    "commas": lambda n: b'{"events":[' + b"," * n + b"]}",
    "spaces": lambda n: b'{"events":[x' + b" " * n + b"]}",
    "spaces before": lambda n: b" " * n + b"x",
    "digits": lambda n: b'{"events":[x' + b"1" * n + b"]}",
    "backslashes": lambda n: b'{"events":[x' + b"\\" * n + b"]}",
    "objects in objects": lambda n: b'{"events":[' + b'{"a":' * (n // 5),
    "texts": lambda n: b'{"events":[x' + b'""' * (n // 2) + b"]}",
}


@pytest.mark.parametrize("shape", HOSTILE)
def test_time_stays_linear(shape: str) -> None:
    def seconds(size: int) -> float:
        body = HOSTILE[shape](size)
        started = time.process_time()
        with contextlib.suppress(ZhikeError):
            decode_events(body, "json", now=NOW, settings=SETTINGS)
        return time.process_time() - started

    # Beside other work a processor is slower, but not each time.
    assert any(seconds(100_000) < 0.5 for _ in range(3))
    assert any(seconds(4_000_000) < 3 for _ in range(3))


def test_a_body_of_too_many_parts_is_refused_with_a_reason() -> None:
    with pytest.raises(BadRequest, match="with over 1000000 parts"):
        decode(b"[" + b"[[[[[1]]]]]," * 300_000 + b"1]", b"x")


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)


@given(st.lists(values, max_size=6), st.booleans(), st.sampled_from([None, 1]))
def test_splitting_json_gives_what_decoding_gives(items: list[Any], ascii_only: bool, indent: int | None) -> None:
    body = json.dumps({"events": items}, ensure_ascii=ascii_only, indent=indent).encode(errors="surrogatepass")
    parts = split_json(body)
    assert parts is not None
    assert [json.loads(part.decode(errors="surrogatepass")) for part in parts] == items


@given(st.lists(values | st.binary() | st.datetimes(timezones=st.just(UTC)), max_size=6), st.integers(0, 40))
def test_splitting_msgpack_gives_what_decoding_gives(items: list[Any], more: int) -> None:
    items = [item for item in [*items, *range(more)] if not _too_wide(item)]
    body = msgspec.msgpack.encode({"events": items})
    parts = split_msgpack(body)
    assert parts is not None
    assert [msgspec.msgpack.decode(part) for part in parts] == items


def _too_wide(item: object) -> bool:
    try:
        msgspec.msgpack.encode(item)
    except (OverflowError, UnicodeEncodeError):
        return True
    return False


@pytest.mark.parametrize("size", [0, 15, 16, 31, 32, 255, 256, 65_535, 65_536])
def test_every_width_of_msgpack(size: int) -> None:
    small = min(size, 300)
    items = [
        "x" * size,
        b"x" * size,
        [1] * size,
        {str(n): n for n in range(size)},
        msgspec.msgpack.Ext(5, b"x" * small),
        size,
        -size,
        1.5,
    ]
    body = msgspec.msgpack.encode({"events": items})
    parts = split_msgpack(body)
    assert parts is not None
    assert [msgspec.msgpack.decode(part) for part in parts] == items


@settings(max_examples=300)
@given(st.binary(max_size=40), st.sampled_from(["json", "msgpack"]), st.booleans())
def test_any_bytes_are_answered(noise: bytes, media_type: Any, inside: bool) -> None:
    head = (b'{"events":[' + good(1) + b",") if media_type == "json" else b"\x81\xa6events\x92\x80"
    body = head + noise + (b"]}" if media_type == "json" else b"") if inside else noise
    with contextlib.suppress(BadRequest):  # nothing else
        accepted, rejected = decode_events(body, media_type, now=NOW, settings=SETTINGS)
        assert {event.index for event in accepted} & {rejection.index for rejection in rejected} == set()


MSGPACK_POISON: dict[str, tuple[Any, str]] = {
    "bytes": ({"a": b"x"}, "properties"),
    "a timestamp": ({"a": NOW}, "properties"),
    "an extension": ({"a": [msgspec.msgpack.Ext(5, b"x")]}, "properties"),
    "numbers as keys": ({"a": {1: 2}}, "properties"),
    "NaN": ({"a": float("nan")}, "properties"),
    "infinity": ({"a": [float("-inf")]}, "properties"),
    "NUL": ({"a": {"b": ["\0"]}}, "properties"),
    "size": ({"a": "x" * 65_529}, "properties"),
    "5 MB": ({"a": "x" * 5_000_000}, "properties"),
}


@pytest.mark.parametrize("poison", MSGPACK_POISON)
def test_msgpack_brings_only_what_json_has(poison: str) -> None:
    properties, code = MSGPACK_POISON[poison]
    base = {"name": "a", "identities": {"external_id": "1"}}
    items = [base, {**base, "properties": properties}, {**base, "properties": {"a": 1.5}}]
    body = msgspec.msgpack.encode({"events": items})
    accepted, rejected = decode_events(body, "msgpack", now=NOW, settings=SETTINGS)
    assert [(event.index, event.properties) for event in accepted] == [(0, "{}"), (2, '{"a":1.5}')]
    assert [(rejection.index, rejection.code) for rejection in rejected] == [(1, code)]


@pytest.mark.parametrize(("depth", "code"), [(33, "properties"), (10_000, "nesting")])
def test_nesting_in_msgpack(depth: int, code: str) -> None:
    item = b"\x83\xa4name\xa1a\xaaidentities\x81\xa1x\xa11\xaaproperties\x81\xa1a" + b"\x91" * (depth - 1) + b"\xc0"
    fine = b"\x82\xa4name\xa1a\xaaidentities\x81\xa1x\xa11"
    accepted, rejected = decode_events(
        b"\x81\xa6events\x93" + fine + item + fine, "msgpack", now=NOW, settings=SETTINGS
    )
    assert [event.index for event in accepted] == [0, 2]
    assert [(rejection.index, rejection.code) for rejection in rejected] == [(1, code)]


def test_a_msgpack_item_in_bad_utf_8() -> None:
    fine = b"\x82\xa4name\xa1a\xaaidentities\x81\xa1x\xa11"
    bad = fine.replace(b"\xa1a\xaa", b"\xa1\xff\xaa")
    accepted, rejected = decode_events(b"\x81\xa6events\x93" + fine + bad + fine, "msgpack", now=NOW, settings=SETTINGS)
    assert [event.index for event in accepted] == [0, 2]
    assert [(rejection.index, rejection.code) for rejection in rejected] == [(1, "encoding")]
