"""Complete responses, ready to be sent, and the choice between JSON and MessagePack."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any
from urllib.parse import quote

import msgspec
from litestar.types import ASGIApp, Receive, Scope, Send

from zhike import wire
from zhike.api import Stream

JSON = b"application/json"
MSGPACK = b"application/msgpack"
_MSGPACK_NAMES = frozenset({"application/msgpack", "application/x-msgpack", "application/vnd.msgpack"})

Header = tuple[bytes, bytes]


class Reply:
    """A response that is complete; it is an ASGI application that sends itself.

    Args:
        body: The bytes to send.
        media_type: What they are.
        status: HTTP status.
        headers: Further headers, names in small letters.
    """

    __slots__ = ("body", "headers", "status")

    def __init__(
        self, body: bytes, media_type: bytes = JSON, *, status: int = 200, headers: tuple[Header, ...] = ()
    ) -> None:
        self.body = body
        self.status = status
        self.headers = [
            (b"content-type", media_type),
            (b"content-length", str(len(body)).encode()),
            *headers,
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


def stream(given: Stream) -> ASGIApp:
    """Return a response that is sent as its pieces come, to be saved as a file.

    An error on the way ends the connection before the response is whole, which clients notice.
    """
    headers = [
        (b"content-type", given.media_type.encode()),
        (b"content-disposition", disposition(given.name)),
    ]
    if given.size is not None:
        headers.append((b"content-length", b"%d" % given.size))

    async def send_pieces(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async with aclosing(given.pieces) as pieces:
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return send_pieces


def disposition(name: str) -> bytes:
    """Return the header that has a browser save what comes, under a name of any characters (RFC 6266, RFC 8187)."""
    plain = "".join(c if " " <= c <= "~" and c not in '"\\%' else "_" for c in name)
    wide = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'attachment; filename="{plain}"{wide}'.encode("ascii")


def answer(value: object, accept: bytes | None, status: int = 200) -> Reply:
    """Return `value` as JSON, or as MessagePack if that is what the Accept header asks for.

    In MessagePack instants are RFC 3339 text as in JSON; decimals are text too, since its numbers are binary, and
    so are whole numbers beyond its 64 bits.

    Args:
        value: Structs; a `msgspec.Raw` in them is JSON.
        accept: The request's Accept header.
        status: HTTP status.
    """
    if accept is not None and b"msgpack" in accept and _prefers_msgpack(accept.decode("latin-1")):
        builtins = msgspec.to_builtins(value, enc_hook=msgspec.json.decode)
        try:
            body = msgspec.msgpack.encode(builtins)
        except OverflowError:
            body = msgspec.msgpack.encode(_narrow(builtins))
        return Reply(body, MSGPACK, status=status, headers=((b"vary", b"accept"),))
    return Reply(wire.encode(value, "json"), status=status)


def _narrow(value: Any) -> Any:
    match value:
        case dict():
            return {key: _narrow(item) for key, item in value.items()}
        case list() | tuple():
            return [_narrow(item) for item in value]
        case int() if not -(2**63) <= value < 2**64:
            return str(value)
    return value


def _prefers_msgpack(accept: str) -> bool:
    best = {"msgpack": 0.0, "json": 0.0}
    for part in accept.split(",")[:50]:
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            weight = float(quality)
        except ValueError:
            continue
        kind = "msgpack" if name in _MSGPACK_NAMES else "json" if name == "application/json" else None
        if kind:
            best[kind] = max(best[kind], weight)
    return best["msgpack"] > best["json"]
