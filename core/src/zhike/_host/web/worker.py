"""One web process: serves the application until it is told to stop or its supervisor is gone.

The supervisor starts it with the listening socket's file descriptor as argument and writes an order to its
standard input; the process imports the application meanwhile. When that pipe closes, the process drains and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import signal
import socket
import sys
from collections.abc import Iterator

import uvicorn
import uvloop

from zhike._host import logs
from zhike._host.order import RESTART, receive, when_orphaned
from zhike._host.web.app import Application, create_app
from zhike.errors import ZhikeError

DRAIN_SECONDS = 7
KEEP_ALIVE_SECONDS = 30
ARRIVAL_SECONDS = 0.1
"""How long the first request on a connection accepted last may be on its way."""
logger = logging.getLogger("zhike.web")


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals to whoever runs it, and knows why it ends.

    Args:
        app: What it serves.

    Attributes:
        services: Opened before and closed after it serves, by `serve`.
        stopping: Set when it is told to end.
        status: The exit status its process is to end with.
    """

    def __init__(self, app: Application) -> None:
        config = uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            interface="asgi3",
            lifespan="off",  # it would tell of a refusal with a traceback
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
        super().__init__(config)
        self.services = app.services
        self.services.on_outdated = functools.partial(restart, self)
        self.stopping = asyncio.Event()
        self.status = 0

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End in order: whoever has just connected still gets an answer instead of a reset."""
        for server in self.servers:
            server.close()
        await asyncio.sleep(ARRIVAL_SECONDS)
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


async def serve(server: Server, listener: socket.socket) -> None:
    """Serve until SIGTERM, SIGINT or `stop`; then finish what has begun.

    Args:
        server: Serves it.
        listener: The listening socket; it is closed.

    Raises:
        Refused: If a plugin cannot be loaded and settings are strict.
    """
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop, server)
    async with server.services.running():
        gc.freeze()  # what a process has loaded it keeps
        gc.enable()
        await server.serve([listener])


def stop(server: Server) -> None:
    """Let a server end; what it is answering is still answered."""
    server.should_exit = True
    server.stopping.set()


def restart(server: Server) -> None:
    """Let a server end as `stop` does, for its process to be started again with other plugins."""
    server.status = RESTART
    stop(server)


def main() -> None:
    """Run one web process for the supervisor."""
    gc.disable()  # there is nothing to collect while everything is being loaded, a tenth of the start
    logs.configure()
    listener = socket.socket(fileno=int(sys.argv[1]))
    order = receive()
    if order is None:
        return
    server = Server(create_app(order.settings, order.url))

    async def run() -> None:
        when_orphaned(functools.partial(stop, server))
        await serve(server, listener)

    try:
        uvloop.run(run())
    except ZhikeError as error:
        logger.critical("the web process cannot start: %s", error.message.render("en"))
        sys.exit(1)
    sys.exit(server.status)


if __name__ == "__main__":
    main()
