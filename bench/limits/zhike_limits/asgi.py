"""Bare ASGI: what HTTP and decoding cost when there is neither a framework nor a product."""

from __future__ import annotations

import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import datetime
from typing import Any

import msgspec
import uvicorn

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Event(msgspec.Struct, gc=False):
    """An item of a batch; properties stay the bytes they came as."""

    name: str
    message_id: str
    occurred_at: datetime
    identities: dict[str, str]
    properties: msgspec.Raw
    source: str
    amount: str | None = None
    currency: str | None = None


class Batch(msgspec.Struct, gc=False):
    """The body of a request."""

    events: list[Event]


_decode = msgspec.json.Decoder(Batch).decode


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Decode the body of any request and answer the number of its events."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    chunks: list[bytes] = []
    more = True
    while more:
        message = await receive()
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    body = b"".join(chunks)
    answer = b'{"accepted":%d}' % (len(_decode(body).events) if body else 0)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(f"ready http://{self.config.host}:{self.config.port}", flush=True)


if __name__ == "__main__":  # python -m zhike_limits.asgi --port N
    _Server(uvicorn.Config(app, port=int(sys.argv[2]), http="httptools", ws="none", log_config=None)).run()
