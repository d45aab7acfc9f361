"""One web process: serves the application until it is told to stop or its supervisor is gone.

The supervisor starts it with the listening socket's file descriptor as argument and writes an order to its
standard input; the process imports the application meanwhile. Nothing else comes through that pipe: when it closes, the
supervisor has died, even by kill -9, and the process drains and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import signal
import socket
import sys
from collections.abc import Iterator

import uvicorn
import uvloop

from zhike._host import logs
from zhike._host.order import RESTART, Order
from zhike._host.web.app import Application, create_app

DRAIN_SECONDS = 7
KEEP_ALIVE_SECONDS = 30


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals to whoever runs it, and knows why it ends.

    Attributes:
        stopping: Set when it is told to end.
        status: The exit status its process is to end with.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.stopping = asyncio.Event()
        self.status = 0

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def make_server(app: Application) -> Server:
    """Return a server for the application, to be run on sockets that are bound already."""
    server = Server(
        uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            interface="asgi3",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
    )
    app.services.on_outdated = functools.partial(restart, server)
    return server


async def serve(server: Server, listener: socket.socket) -> None:
    """Serve until SIGTERM, SIGINT or `server.should_exit`; then finish what has begun.

    Args:
        server: From `make_server`.
        listener: The listening socket; it is closed.
    """
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop, server)
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
    logs.configure()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the supervisor as well, which stops us in order
    listener = socket.socket(fileno=int(sys.argv[1]))
    pipe = sys.stdin.buffer
    line = pipe.readline()
    if not line:
        return
    order = Order.decode(line)
    server = make_server(create_app(order.settings, order.url))

    async def run() -> None:
        asyncio.get_running_loop().add_reader(pipe.fileno(), stop, server)
        await serve(server, listener)

    uvloop.run(run())
    sys.exit(server.status)


if __name__ == "__main__":
    main()
