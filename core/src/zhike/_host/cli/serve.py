"""`zhike serve`: runs the server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from pathlib import Path

import click

from zhike import settings
from zhike._host import keys, logs, supervisor
from zhike._host.cli.context import database_url
from zhike._host.cli.main import data_option
from zhike._host.web.order import Order
from zhike.errors import Refused
from zhike.i18n import text
from zhike.settings import Settings


@click.command()
@data_option
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes any free port.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--web", type=click.IntRange(1, 64), default=1, show_default=True, help="Number of web processes.")
@click.option("--single", is_flag=True, help="Serve in this process, without a supervisor.")
def serve(data: Path | None, port: int, host: str, web: int, single: bool) -> None:
    """Run the server."""
    if single and web > 1:
        raise click.UsageError("--single is one process; leave out --web")
    logs.configure()
    run(settings.load(data), host=host, port=port, web=0 if single else web, ready=_print_ready)


def run(config: Settings, *, host: str, port: int, web: int, ready: Callable[[str], None]) -> None:
    """Run the server until SIGTERM or SIGINT.

    Args:
        config: The deployment's settings.
        host: Address to listen on.
        port: Port, or 0 for any that is free.
        web: Number of web processes; 0 serves in this one.
        ready: Called with the server's URL once it answers requests.

    Raises:
        Refused: If the folder or the port is in use, or the database not up to date.
        Unavailable: If the database cannot be reached.
    """
    with contextlib.ExitStack() as stack:
        if config.database_url is None:
            from zhike._host.postgres import serve_lock

            stack.enter_context(serve_lock(config.data))
        keys.cursor_key(config)  # made, or refused, before any process needs it
        listener = supervisor.listen(host, port)
        stack.callback(listener.close)
        # Started first: the processes import the application while the database starts.
        processes = stack.enter_context(contextlib.closing(supervisor.WebProcesses(web, listener)))
        url = stack.enter_context(database_url(config))
        _refuse_unmigrated(url)
        if not web:
            _serve_here(config, url, listener, ready)
            return
        processes.give(Order(config, url).encode())
        processes.run(lambda: ready(supervisor.base_url(listener)))


def _print_ready(url: str) -> None:
    click.echo(f"ready {url}")


def _refuse_unmigrated(url: str) -> None:
    from zhike._host.db import migrate

    pending = asyncio.run(migrate.pending(url))
    if pending:
        raise Refused(text("The database is not up to date ({names}); run `zhike migrate`", names=", ".join(pending)))


def _serve_here(config: Settings, url: str, listener: socket.socket, ready: Callable[[str], None]) -> None:
    import uvloop

    from zhike._host.web.app import create_app
    from zhike._host.web.worker import make_server
    from zhike._host.web.worker import serve as serve_on

    server = make_server(create_app(config, url))
    probe = listener.dup()  # uvicorn closes the socket it serves

    async def announce() -> None:
        while not await asyncio.to_thread(supervisor.is_ready, probe):  # noqa: ASYNC110  # nobody announces it
            await asyncio.sleep(0.05)
        ready(supervisor.base_url(probe))

    async def main() -> None:
        announcing = asyncio.create_task(announce())
        await serve_on(server, listener)
        announcing.cancel()

    with probe:
        uvloop.run(main())
