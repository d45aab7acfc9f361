"""The product's application with the routes that only the bench needs, served as the product serves it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from zhike import clock, settings
from zhike._host.supervisor import listen
from zhike._host.web.app import create_app
from zhike._host.web.worker import Server, serve
from zhike.access.roles import EVENTS_WRITE
from zhike.api import Call, Public, Route
from zhike.events.decode import decode_events
from zhike.events.ingest import store

SINGLE = "/api/v1/bench/single"
DECODE = "/api/v1/bench/decode"
NOTHING = "/api/v1/bench/nothing"


class Answer(msgspec.Struct, frozen=True):
    """How many events a bench route took."""

    accepted: int


async def _single(call: Call) -> Answer:
    """Store the request's events in a transaction of its own, unlike the product."""
    now = clock.now()
    events, _ = decode_events(call.body, call.body_type, now=now, settings=call.settings)
    async with call.db.transaction() as connection:
        stored = await store(connection, events, origin=call.actor.origin, live=True, now=now)
    return Answer(stored.accepted)


async def _decode(call: Call) -> Answer:
    """Decode and check the request's events and store none."""
    events, _ = decode_events(call.body, call.body_type, now=clock.now(), settings=call.settings)
    return Answer(len(events))


async def _nothing(_: Call) -> Answer:
    """Do nothing with the request."""
    return Answer(0)


def _route(path: str, handler: Any, permission: str | Public, *, reads: bool = True) -> Route:
    return Route(
        method="POST",
        path=path.removeprefix("/api/v1"),
        handler=handler,
        permission=permission,
        summary=handler.__doc__,
        body=dict[str, Any] if reads else None,
        answer=Answer,
    )


ROUTES = (
    _route(SINGLE, _single, EVENTS_WRITE),
    _route(DECODE, _decode, EVENTS_WRITE),
    _route(NOTHING, _nothing, Public("it does nothing"), reads=False),
)


@click.command()
@click.option("--port", type=int, required=True)
@click.option("--data", type=click.Path(path_type=Path), required=True)
@click.option("--url", required=True, help="The database's URL.")
def main(port: int, data: Path, url: str) -> None:
    """Serve until SIGTERM."""
    import uvloop

    server = Server(create_app(settings.load(data, {}), url, routes=ROUTES))
    listener = listen("127.0.0.1", port)
    print(f"ready http://127.0.0.1:{port}", flush=True)  # from now on clients wait instead of being refused
    uvloop.run(serve(server, listener))


if __name__ == "__main__":
    main()
