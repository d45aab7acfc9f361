"""The one strict codec of request and response bodies, JSON and msgpack, with errors a reader can act on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import inspect

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
_MISSING = re.compile(r"Object missing required field `(?P<field>.*)`", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>.*)`", re.DOTALL)
_VALUE = re.compile(r"Invalid (?:enum )?value (?P<value>.*)", re.DOTALL)
_STEPS = re.compile(r"\[[^]]*\]|[^.\[]+")
_BOUNDS = {
    "of length ": text("expected {expected} of length {bound}"),
    "matching regex ": text("expected {expected} matching regex {bound}"),
    "that's a multiple of ": text("expected {expected} that's a multiple of {bound}"),
    "with a timezone component": text("expected a time with its offset, such as 2025-06-01T12:00:00+08:00"),
    "": text("expected {expected} {bound}"),
}
_BOUND = re.compile(rf"Expected `(?P<expected>\w+)` (?P<how>{'|'.join(_BOUNDS)})(?P<bound>.*)", re.DOTALL)
_WORDS = {
    each.msgid.format(): each
    for each in (
        *(text("int"), text("str"), text("float"), text("bool"), text("array"), text("object"), text("null")),
        *(text("datetime"), text("decimal"), text("bytes"), text("invalid number"), text("invalid character")),
        *(text("expected ','"), text("expected ':'"), text("expected ',' or ']'"), text("expected ',' or '}}'")),
        *(text("trailing characters"), text("trailing comma in array"), text("trailing comma in object")),
        *(text("object keys must be strings"), text("invalid escape character in string"), text("expected '\"'")),
        *(text("invalid utf-16 surrogate pair"), text("unexpected end of escaped utf-16 surrogate pair")),
        *(text("invalid character in unicode escape"), text("unexpected end of hex escape")),
    )
}
_DETAILS = {
    "encoded datetime": text("expected a time of RFC 3339 such as 2025-06-01T12:00:00+08:00"),
    "encoded date": text("expected a date such as 2025-06-01"),
    "ISO8601": text("expected a duration in days, hours, minutes and seconds, such as P1DT2H"),
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
        raise refuse(fault(error, body, type_)) from None
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


def fault(error: Exception, body: bytes, type_: Any = Any) -> Fault:
    """Return what a decoder's error means.

    Args:
        error: A msgspec error, a UnicodeDecodeError or a RecursionError.
        body: The bytes that were decoded.
        type_: What they should have been; tells which values are allowed.
    """
    if isinstance(error, RecursionError):
        return Fault("", text("nested too deeply"))
    if isinstance(error, UnicodeDecodeError):
        return Fault("", text("invalid UTF-8 at byte {offset}", offset=_utf8_offset(body, error)))
    what, path = _split(str(error))
    if not body:
        return Fault(path, text("it is empty"))
    if what == "Input data was truncated":
        half = text("it has half a surrogate pair, such as \\ud800 alone, which is no text")
        return Fault(path, half if _is_whole(body) else text("it ends too early, at byte {offset}", offset=len(body)))
    return _structure_fault(path, what) or Fault(path, _value_detail(what, type_, path))


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
            text("malformed at byte {offset} ({detail})", offset=int(found["offset"]), detail=_words(found["what"])),
        )
    return None


def _value_detail(what: str, type_: Any, path: str) -> Text:
    if found := _TYPE.fullmatch(what):
        return text("expected {expected}, got {got}", expected=_words(found["expected"]), got=_words(found["got"]))
    if found := _BOUND.fullmatch(what):
        return Text(_BOUNDS[found["how"]].msgid, {"expected": _words(found["expected"]), "bound": found["bound"]})
    if found := _VALUE.fullmatch(what):
        allowed = ", ".join(map(str, _allowed(inspect.type_info(type_), _STEPS.findall(path))))
        known = allowed or text("the values allowed here")
        return text("{value} is not one of {allowed}", value=found["value"], allowed=known)
    details = [detail for words, detail in _DETAILS.items() if words in what]
    return details[0] if details else text("{detail}", detail=what)


def _words(of_msgspec: str) -> Text | str:
    """Return its words for a type or for what is malformed, such as `int | null`, in a form that can be translated."""
    first, _, rest = of_msgspec.partition(" | ")
    known = _WORDS.get(first, first)
    return text("{one} | {other}", one=known, other=_words(rest)) if rest else known


def _allowed(info: inspect.Type, steps: Sequence[str]) -> Iterator[Any]:
    """Yield the values that may stand at some place inside a type, if they are listed there."""
    match info:
        case inspect.UnionType():
            for each in info.types:
                yield from _allowed(each, steps)
        case inspect.LiteralType() if not steps:
            yield from info.values
        case inspect.StructType() if steps:
            for field in info.fields:
                if field.encode_name == steps[0]:
                    yield from _allowed(field.type, steps[1:])
        case inspect.ListType() if steps:
            yield from _allowed(info.item_type, steps[1:])
        case inspect.DictType() if steps:
            yield from _allowed(info.value_type, steps[1:])


def _is_whole(body: bytes) -> bool:
    """Tell whether a body is JSON to a reader that takes half a surrogate pair for a character."""
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def _utf8_offset(body: bytes, error: UnicodeDecodeError) -> int:
    """Return where the first bad byte is; the error itself counts from the start of one text."""
    try:
        body.decode()
    except UnicodeDecodeError as whole:
        return whole.start
    return error.start
