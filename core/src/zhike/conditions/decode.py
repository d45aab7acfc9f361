"""Turns what was sent into a condition within the limits, or says where it is wrong."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Literal

import msgspec

from zhike.conditions.limits import Limits, too_deep
from zhike.conditions.problems import BadCondition
from zhike.conditions.schema import Condition, Node
from zhike.i18n import Text, text
from zhike.wire import fault

ROOT = "condition"
MAX_BYTES = 1_000_000
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
        raise too_deep() from None
    except ValueError as error:  # msgspec.DecodeError and UnicodeDecodeError are both
        raise BadCondition(_explained(error, data)) from None
    Limits().check(condition, ROOT)
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
