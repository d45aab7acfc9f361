"""How a request's body and query are read: within limits, and refused before they cost anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec
from litestar.types import Receive

from zhike import wire
from zhike.errors import BadRequest, TooLarge, UnsupportedType
from zhike.i18n import text
from zhike.wire import MediaType

Q = TypeVar("Q", bound=msgspec.Struct)

_BODY_TYPES: dict[str, MediaType] = {
    "application/json": "json",
    "application/msgpack": "msgpack",
    "application/x-msgpack": "msgpack",
    "application/vnd.msgpack": "msgpack",
}


def body_type(headers: Mapping[bytes, bytes]) -> MediaType:
    """Return what the body is written in, by its Content-Type.

    Raises:
        UnsupportedType: If that is missing, names another type or charset, or the body is compressed.
    """
    content_type = headers.get(b"content-type", b"")
    encoding = headers.get(b"content-encoding", b"identity")
    if encoding.strip().lower() != b"identity":
        raise UnsupportedType(
            text("Content-Encoding is {encoding!r}; send the body uncompressed", encoding=encoding.decode("latin-1"))
        )
    if content_type == b"application/json":
        return "json"
    name, *parameters = (part.strip().lower() for part in content_type.decode("latin-1").split(";"))
    found = _BODY_TYPES.get(name)
    charsets = (part[8:].strip('"') for part in parameters if part.startswith("charset="))
    if found is None or any(charset != "utf-8" for charset in charsets):
        raise UnsupportedType(
            text(
                "Content-Type is {type!r}; expected application/json or application/msgpack",
                type=content_type.decode("latin-1"),
            )
        )
    return found


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], limit: int) -> bytes:
    """Return the request's body.

    Args:
        receive: The ASGI function that gives the next piece.
        headers: The request's headers.
        limit: The most bytes that are read.

    Raises:
        TooLarge: As soon as more than `limit` bytes are announced or have come.
        BadRequest: If the client goes away before the end.
    """
    announced = headers.get(b"content-length", b"")
    if announced.isdigit() and (len(announced) > 18 or int(announced) > limit):
        raise _too_large(limit)
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise BadRequest(text("The connection ended before the body did"))
        piece: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) + len(piece) > limit:
            raise _too_large(limit)
        if not more and not body:
            return piece
        body += piece
        if not more:
            return bytes(body)


def parse_query(query_string: bytes, type_: type[Q]) -> Q:
    """Return the query parameters as `type_`, whose fields are whole numbers or texts.

    Args:
        query_string: The part of the address after the question mark.
        type_: What the route takes.

    Raises:
        BadRequest: If it is not readable, a parameter is unknown or given twice, or a value does not fit.
    """
    try:
        pairs = parse_qsl(query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=20)
    except ValueError:
        raise BadRequest(text("The query is not readable; expected percent-encoded UTF-8")) from None
    given = dict(pairs)
    if len(given) < len(pairs):
        raise BadRequest(text("A query parameter is given twice"))
    for name, value in pairs:
        if name not in type_.__struct_encode_fields__:
            known = ", ".join(type_.__struct_encode_fields__)
            raise BadRequest(
                text("There is no query parameter {name!r} here; expected {known}", name=name, known=known)
            )
        _check(name, value, type_)
    try:
        return msgspec.convert(given, type_, strict=False)
    except msgspec.ValidationError as error:  # each is right by itself: one is missing
        raise _misfit(error, b"-", type_) from None


def _check(name: str, value: str, type_: type[msgspec.Struct]) -> None:
    """Judge one value by itself, so that the message can name it."""
    try:
        msgspec.convert({name: value}, type_, strict=False)
    except msgspec.ValidationError as error:
        if "`int" in str(error):
            problem = text("{name} is {value!r}; expected a whole number above 0", name=name, value=value)
            raise BadRequest(problem) from None
        raise _misfit(error, value.encode() or b"-", type_) from None


def _misfit(error: msgspec.ValidationError, value: bytes, type_: type[msgspec.Struct]) -> BadRequest:
    found = wire.fault(error, value, type_)
    return wire.refuse(found._replace(path=found.path or "query"))


def _too_large(limit: int) -> TooLarge:
    return TooLarge(text("The body is larger than {limit} bytes", limit=limit))
