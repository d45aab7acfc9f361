"""The one strict codec of request and response bodies, JSON and msgpack, with errors a reader can act on."""

from __future__ import annotations

import re
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec

from zhike.errors import BadRequest
from zhike.i18n import Text, text

T = TypeVar("T")
MediaType = Literal["json", "msgpack"]
Decoder = msgspec.json.Decoder[Any] | msgspec.msgpack.Decoder[Any]

_JSON_ENCODER = msgspec.json.Encoder(decimal_format="number")
# A msgpack number is a binary float, which cannot hold 0.1; a decimal stays exact only as text there.
_MSGPACK_ENCODER = msgspec.msgpack.Encoder(decimal_format="string")
_decoders: dict[tuple[MediaType, Any], Decoder] = {}

# The texts of msgspec's errors (its _core.c); one that is not listed is shown as it is.
_PLACE = re.compile(r"(?:`key` in )?`\$\.?(?P<path>.*)`", re.DOTALL)
_MALFORMED = re.compile(r"(?:JSON|MessagePack data) is malformed: (?P<what>.*) \(byte (?P<offset>\d+)\)", re.DOTALL)
_TYPE = re.compile(r"Expected `(?P<expected>.*)`, got `(?P<got>.*)`", re.DOTALL)
_BOUND = re.compile(r"Expected `(?P<expected>\w+)` (?P<bound>.*)", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<field>.*)`", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>.*)`", re.DOTALL)
_VALUE = re.compile(r"Invalid (?:enum )?value (?P<value>.*)", re.DOTALL)
_DETAILS = {
    "RFC3339": text("expected a time of RFC 3339 such as 2025-06-01T12:00:00+08:00"),
    "decimal": text("expected a decimal number such as 12.30"),
    "out of range": text("the number is out of range"),
}


class Fault(NamedTuple):
    """What a decoder found wrong.

    Args:
        path: Where in the value, such as `items[3].name`; empty for the value as a whole.
        detail: What is wrong and what was expected, without the place.
        field: The missing or unknown field's name, when that is what is wrong.
    """

    path: str
    detail: Text
    field: str | None = None


def decode(body: bytes, media_type: MediaType, type_: type[T]) -> T:
    """Return `body` as a value of `type_`, converting nothing: `"5"` is no number, `1` is no boolean.

    Args:
        body: The whole request body.
        media_type: `json` or `msgpack`.
        type_: Any type that msgspec knows.

    Raises:
        BadRequest: If the body is empty, malformed, nested too deeply, not UTF-8, or not of that type; the
            message names the place and what was expected.
    """
    try:
        if media_type == "json" and not body.isascii():
            # Parts the type skips over are not looked at by the decoder.
            body.decode()
        decoded: T = decoder(media_type, type_).decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refuse(fault(error, body)) from None
    return decoded


def encode(value: object, media_type: MediaType) -> bytes:
    """Return a value as a response body; decimals become exact JSON numbers, and text in msgpack.

    Args:
        value: Structs and what msgspec can encode inside them.
        media_type: `json` or `msgpack`.
    """
    return (_JSON_ENCODER if media_type == "json" else _MSGPACK_ENCODER).encode(value)


def decoder(media_type: MediaType, type_: Any) -> Decoder:
    """Return the strict decoder of a type; one is made per process."""
    found = _decoders.get((media_type, type_))
    if found is None:
        found = msgspec.json.Decoder(type_) if media_type == "json" else msgspec.msgpack.Decoder(type_)
        _decoders[media_type, type_] = found
    return found


def refuse(found: Fault) -> BadRequest:
    """Return a fault as the error of a request."""
    return BadRequest(text("{where}: {detail}", where=found.path or "body", detail=found.detail))


def fault(error: Exception, body: bytes) -> Fault:
    """Return what a decoder's error means.

    Args:
        error: A msgspec error, a UnicodeDecodeError or a RecursionError.
        body: The bytes that were decoded.
    """
    if isinstance(error, RecursionError):
        return Fault("", text("nested too deeply"))
    if isinstance(error, UnicodeDecodeError):
        return Fault("", text("invalid UTF-8 at byte {offset}", offset=_utf8_offset(body, error)))
    what, path = _split(str(error))
    if not body:
        return Fault(path, text("it is empty"))
    if what == "Input data was truncated":
        return Fault(path, text("it ends too early, at byte {offset}", offset=len(body)))
    return _structure_fault(path, what) or Fault(path, _value_detail(what))


def _split(message: str) -> tuple[str, str]:
    """Return what msgspec says and the path it says it about, which its message ends with."""
    what, _, place = message.rpartition(" - at ")
    found = _PLACE.fullmatch(place)
    return (what.rstrip(), found["path"]) if found and what else (message, "")


def _structure_fault(path: str, what: str) -> Fault | None:
    if found := _MISSING.fullmatch(what):
        return Fault(path, text("the field `{field}` is missing", field=found["field"]), found["field"])
    if found := _UNKNOWN.fullmatch(what):
        return Fault(path, text("there is no field `{field}`", field=found["field"]), found["field"])
    if found := _MALFORMED.fullmatch(what):
        return Fault(
            path,
            text("malformed at byte {offset} ({detail})", offset=int(found["offset"]), detail=found["what"]),
        )
    return None


def _value_detail(what: str) -> Text:
    if found := _TYPE.fullmatch(what):
        return text("expected {expected}, got {got}", expected=found["expected"], got=found["got"])
    if found := _BOUND.fullmatch(what):
        return text("expected {expected} {bound}", expected=found["expected"], bound=found["bound"])
    if found := _VALUE.fullmatch(what):
        return text("{value} is not one of the values allowed here", value=found["value"])
    details = [detail for words, detail in _DETAILS.items() if words in what]
    return details[0] if details else text("{detail}", detail=what)


def _utf8_offset(body: bytes, error: UnicodeDecodeError) -> int:
    """Return where the first bad byte is; the error itself counts from the start of one text."""
    try:
        body.decode()
    except UnicodeDecodeError as whole:
        return whole.start
    return error.start
