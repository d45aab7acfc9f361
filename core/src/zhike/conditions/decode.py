"""Turns what was sent into a condition within the limits, or says where it is wrong."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any, Literal

import msgspec

from zhike.conditions.problems import BadCondition
from zhike.conditions.schema import All, AnyOf, Condition, Event, Field, Node, Not
from zhike.i18n import Text, text
from zhike.wire import fault

ROOT = "condition"
MAX_BYTES = 1_000_000
MAX_DEPTH = 32
MAX_NODES = 500
MAX_EVENT_NODES = 200
MAX_TEXT = 1_000
MAX_LIST = 1_000
_ENCODED = bytes | bytearray | memoryview | msgspec.Raw


def decode(data: object, media_type: Literal["json", "msgpack"] = "json") -> Condition:
    """Return the condition that `data` holds.

    Args:
        data: Encoded bytes (also as `msgspec.Raw`), or builtin objects that were decoded before.
        media_type: What encoded bytes are in.

    Raises:
        BadCondition: If it is no condition or beyond the limits; the message names the place.
    """
    if isinstance(data, _ENCODED) and memoryview(data).nbytes > MAX_BYTES:
        raise BadCondition(text("the condition is larger than {limit} bytes", limit=MAX_BYTES))
    try:
        condition = _decoded(data, media_type)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:  # msgspec.DecodeError and UnicodeDecodeError are both
        raise BadCondition(_explained(error, data)) from None
    _Limits().check(condition, ROOT, depth=1)
    return condition


def _decoded(data: object, media_type: str) -> Condition:
    if not isinstance(data, _ENCODED):
        converted: Condition = msgspec.convert(data, type=Condition)
        return converted
    decoder = _JSON if media_type == "json" else _MSGPACK
    return decoder.decode(data)


def _decimal(digits: str) -> Decimal:
    try:
        return Decimal(digits)
    except InvalidOperation:  # the exponent itself has more digits than decimal takes
        return Decimal("Infinity")


_JSON: msgspec.json.Decoder[Condition] = msgspec.json.Decoder(Condition, float_hook=_decimal)
_MSGPACK: msgspec.msgpack.Decoder[Condition] = msgspec.msgpack.Decoder(Condition)
_TYPES = ", ".join(sorted(str(node.__struct_config__.tag) for node in Node.__subclasses__()))


def _explained(error: ValueError, data: object) -> Text:
    found = fault(error, bytes(data) if isinstance(data, _ENCODED) else b"-")
    keys = ".".join(key for key in (found.path, found.field) if key)
    path = f"{ROOT}.{keys}" if keys else ROOT
    if found.path.endswith("type") and found.field is None:
        return text("{path} is no type of node; expected one of {allowed}", path=path, allowed=_TYPES)
    return text("{path}: {detail}", path=path, detail=found.detail)


def _too_deep() -> BadCondition:
    return BadCondition(text("the condition is nested deeper than {limit} levels", limit=MAX_DEPTH))


class _Limits:
    """Counts nodes while walking, so that nothing after decoding meets an unbounded condition."""

    def __init__(self) -> None:
        self.nodes = 0
        self.events = 0

    def check(self, node: Condition, path: str, depth: int) -> None:
        self.nodes += 1
        if depth > MAX_DEPTH:
            raise _too_deep()
        if self.nodes > MAX_NODES:
            raise BadCondition(text("the condition has more than {limit} nodes", limit=MAX_NODES))
        # Each is a join: PostgreSQL plans 200 in a second, and 500 in ten.
        self.events += isinstance(node, Event)
        if self.events > MAX_EVENT_NODES:
            raise BadCondition(text("the condition has more than {limit} nodes of type event", limit=MAX_EVENT_NODES))
        match node:
            case All() | AnyOf():
                for index, part in enumerate(node.of):
                    self.check(part, f"{path}.of[{index}]", depth + 1)
            case Not():
                self.check(node.of, f"{path}.of", depth + 1)
            case Field() | Event():
                for key in node.__struct_fields__:
                    _check_value(getattr(node, key), f"{path}.{key}")


def _check_value(value: Any, path: str) -> None:
    if isinstance(value, list | tuple):
        if len(value) > MAX_LIST:
            raise BadCondition(text("{path} has more than {limit} values", path=path, limit=MAX_LIST))
        for index, part in enumerate(value):
            if isinstance(part, str):
                _check_text(part, f"{path}[{index}]")
    elif isinstance(value, str):
        _check_text(value, path)


def _check_text(value: str, path: str) -> None:
    if len(value) > MAX_TEXT:
        raise BadCondition(text("{path} is longer than {limit} characters", path=path, limit=MAX_TEXT))
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise BadCondition(text("{path} has a character that is not text (NUL or half a surrogate pair)", path=path))
