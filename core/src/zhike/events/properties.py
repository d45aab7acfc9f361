"""Checks of an event's properties: what passes is a JSON object that PostgreSQL takes as jsonb."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

from zhike import wire
from zhike.errors import BadRequest
from zhike.events.schemas import MAX_PROPERTIES_BYTES, MAX_PROPERTIES_DEPTH
from zhike.i18n import Text, text

# jsonb keeps numbers as numeric, which has at most 16,383 digits after the point (PostgreSQL manual, table
# 8.2).
_MAX_SCALE = 16_383
# A number in so few bytes, with an exponent of three digits, stays below that.
_SHORT = 15_000

_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NUMBER = re.compile(r"-?[0-9]++(?:\.([0-9]++))?+(?:[eE]([+-]?[0-9]++))?+")
_NUL = re.compile(r"(?<!\\)(?:\\\\)*+\\u0000")
# An exponent below -999 outside of a text; what has to follow keeps parts of UUIDs out. Each pattern begins
# with the letters that re can search for fast.
_TINY = [(mark, re.compile(mark + rb"[0-9]{4,}\s*[,}\]]")) for mark in (b"e-", b"E-")]
_LONG_DIGITS = re.compile(r"[0-9]{19}")


def _ordinary(depth: int) -> Any:
    """Return the type of a list of objects with up to `depth` levels inside and no number out of range."""
    scalar = bool | Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | float | str | None
    kind: Any = scalar
    for _ in range(depth):
        kind = scalar | list[kind] | dict[str, kind]
    return list[dict[str, kind]]


# Decoding into this type tests UTF-8, nesting and numbers at the speed of C; what it refuses may still be
# right and is looked at more closely. A deeper type would take exponentially longer to build.
_ALL_ORDINARY: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_ordinary(4))
_ANY_JSON = msgspec.json.Decoder(dict[str, Any])
_ANY_MSGPACK = msgspec.msgpack.Decoder(dict[str, Any])


class BadProperties(BadRequest):
    """Properties that cannot be stored."""

    default_code = "properties"


def are_ordinary(raws: Sequence[Raw]) -> bool:
    """Say whether many JSON texts are certainly good, NUL characters aside; if not, each has to be looked at.

    Args:
        raws: Syntactically valid JSON values, as the decoder of the whole body leaves them.
    """
    joined = b"[" + b",".join(raws) + b"]"
    try:
        _ALL_ORDINARY.decode(joined)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    if len(joined) > _SHORT and max(len(bytes(raw)) for raw in raws) > _SHORT:
        return False
    return not _has_tiny(joined)


def from_json(raw: Raw, limit: int = MAX_PROPERTIES_BYTES) -> str:
    """Return the JSON text of properties after looking closely at it.

    Args:
        raw: A valid JSON value; null means no properties.
        limit: Most bytes.

    Raises:
        BadProperties: If it is not an object, is too large or too deep, or holds what PostgreSQL or other
            programs do not take: invalid UTF-8, NUL characters, lone surrogates, numbers out of the range of
            a double.
    """
    body = bytes(raw)
    if body == b"null":
        return "{}"
    if len(body) > limit:
        raise _too_large(len(body), limit)
    try:
        value = _ANY_JSON.decode(body)
        json = body.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadProperties(wire.fault(error, body).detail) from None
    if json.count("[") + json.count("{") > MAX_PROPERTIES_DEPTH:
        _check_depth(value)
    if "\\u0000" in json and _NUL.search(json):
        raise BadProperties(_nul())
    if len(json) > _SHORT or _LONG_DIGITS.search(json) or _has_tiny(body):
        _check_numbers(json)
    return json


def from_msgpack(raw: Raw) -> str:
    """Return the JSON text of properties that came as msgpack; raises as `from_json` does."""
    body = bytes(raw)
    if body in {b"\xc0", b"{}"}:  # nil, or absent: no msgpack object begins with a brace
        return "{}"
    # What counts is the size as JSON; what is this large in msgpack does not get that small.
    if len(body) > 4 * MAX_PROPERTIES_BYTES:
        raise _too_large(len(body))
    try:
        value = _ANY_MSGPACK.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadProperties(wire.fault(error, body).detail) from None
    _check_depth(value)
    _check_types(value)
    json = msgspec.json.encode(value)
    if len(json) > MAX_PROPERTIES_BYTES:
        raise _too_large(len(json))
    return json.decode()


def _has_tiny(json: bytes) -> bool:
    # One byte is found many times faster than two, which are found faster than a pattern.
    return b"-" in json and any(mark[:1] in json and mark in json and pattern.search(json) for mark, pattern in _TINY)


def _check_depth(value: dict[str, Any]) -> None:
    level: list[Any] = [value]
    for _ in range(MAX_PROPERTIES_DEPTH):
        level = [child for node in level for child in _children(node) if isinstance(child, dict | list)]
        if not level:
            return
    raise BadProperties(text("nested more than {limit} levels deep", limit=MAX_PROPERTIES_DEPTH))


def _children(node: dict[str, Any] | list[Any]) -> Any:
    return node.values() if isinstance(node, dict) else node


def _check_numbers(json: str) -> None:
    """Test the numbers of a valid JSON text as it is written, since decoding has already rounded them."""
    for number in _NUMBER.finditer(_STRING.sub("", json)):
        exponent = number[2] or "0"
        # The length comes first: Python reads no integers of more than 4,300 digits.
        scale = len(number[1] or "") - (int(exponent) if len(exponent) < 9 else -(10**9))
        if scale > _MAX_SCALE or not math.isfinite(float(number[0])):
            raise BadProperties(
                text("the number {number} is out of range; expected one up to ±1e308", number=number[0][:40])
            )


def _check_types(value: object) -> None:
    """Test that a value that came as msgpack has only what JSON has; its depth must be known to be small."""
    match value:
        case None | bool() | int():
            pass
        case str():
            if "\0" in value:
                raise BadProperties(_nul())
        case float():
            if not math.isfinite(value):
                raise BadProperties(text("expected a finite number, got {number}", number=value))
        case list():
            for child in value:
                _check_types(child)
        case dict():
            for key, child in value.items():
                if not isinstance(key, str):
                    raise BadProperties(text("expected text as a key, got {kind}", kind=type(key).__name__))
                _check_types(key)
                _check_types(child)
        case _:
            raise BadProperties(text("{kind} is no type of JSON", kind=type(value).__name__))


def _nul() -> Text:
    return text("the character NUL (\\u0000) cannot be stored")


def _too_large(size: int, limit: int = MAX_PROPERTIES_BYTES) -> BadProperties:
    return BadProperties(text("{size} bytes are too many; at most {limit} are taken", size=size, limit=limit))
