"""`zhike serve`: runs the server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from zhike import settings
from zhike._host import logs, supervisor
from zhike._host.cli.context import database_url, refuse_pending
from zhike._host.cli.main import strict_option
from zhike._host.order import Order
from zhike._ring import ring
from zhike.commands import data_option
from zhike.settings import Settings
from zhike.transport import check as check_transport

if TYPE_CHECKING:
    from zhike._host.opening import Opened


@click.command()
@data_option
@strict_option
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes any free port.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--web", type=click.IntRange(1, 64), default=1, show_default=True, help="Number of web processes.")
@click.option("--runner", type=click.IntRange(0, 64), default=1, show_default=True, help="Number of runners.")
@click.option(
    "--dev", is_flag=True, help="Read templates and static files again each time; the gallery of the page kit."
)
@click.option("--single", is_flag=True, help="Do all in this process; status 75 at its end asks for another start.")
def serve(  # one argument for each option
    data: Path | None, strict: bool, port: int, host: str, web: int, runner: int, dev: bool, single: bool
) -> None:
    """Run the server."""
    if single and (web > 1 or runner > 1):
        raise click.UsageError("--single is one process; leave out --web and --runner")
    logs.configure()
    config = settings.load(data)
    config = msgspec.structs.replace(config, strict=strict, dev=dev or config.dev)
    sys.exit(run(config, host=host, port=port, web=0 if single else web, runners=runner, ready=_print_ready))


def run(config: Settings, *, host: str, port: int, web: int, runners: int, ready: Callable[[str], None]) -> int:
    """Run the server until SIGTERM or SIGINT.

    Args:
        config: The deployment's settings.
        host: Address to listen on.
        port: Port, or 0 for any that is free.
        web: Number of web processes; 0 serves in this one.
        runners: Number of runners; without web processes one of them runs in this one.
        ready: Called with the server's URL once it answers requests.

    Returns:
        The exit status: 0, or 75 when this one process wants to be started again with other plugins.

    Raises:
        Refused: If the folder or the port is in use, the database not up to date, or Redis cannot be used.
        Unavailable: If the database cannot be reached.
    """
    with contextlib.ExitStack() as stack:
        if config.database_url is None:
            from zhike._host.database import serve_lock

            stack.enter_context(serve_lock(config.data))
        ring(config)  # made, or refused, before any process needs it
        check_transport(config)
        listener = supervisor.listen(host, port)
        stack.callback(listener.close)
        processes = None
        if web:  # they import the application while the database starts
            processes = stack.enter_context(
                contextlib.closing(supervisor.Processes(listener, web=web, runners=runners))
            )
        url = stack.enter_context(database_url(config))
        refuse_unmigrated(url)
        if processes is None:
            return _serve_here(config, url, listener, runners > 0, ready)
        processes.give(Order(config, url).encode())
        processes.run(lambda: ready(supervisor.base_url(listener)))
    return 0


def _print_ready(url: str) -> None:
    click.echo(f"ready {url}")


def refuse_unmigrated(url: str) -> None:
    """Refuse a database that lacks migrations.

    Raises:
        Refused: The message names them.
    """
    from zhike._host.db import migrate

    refuse_pending(asyncio.run(migrate.pending(url)))


def _serve_here(config: Settings, url: str, listener: socket.socket, runner: bool, ready: Callable[[str], None]) -> int:
    import uvloop

    from zhike._host.runner.main import run as run_runner
    from zhike._host.web.app import create_app
    from zhike._host.web.worker import Server, stop
    from zhike._host.web.worker import serve as serve_on

    app = create_app(config, url)
    server = Server(app)
    probe = listener.dup()  # uvicorn closes the socket it serves

    async def announce() -> None:
        while not await asyncio.to_thread(supervisor.is_ready, probe):  # noqa: ASYNC110  # nobody announces it
            await asyncio.sleep(0.05)
        ready(supervisor.base_url(probe))

    async def work(opened: Opened) -> None:
        try:
            await run_runner(opened, server.stopping)
        finally:
            stop(server)  # half a server is none

    async def main() -> None:
        announcing = asyncio.create_task(announce())
        await serve_on(server, listener)
        announcing.cancel()

    if runner:
        app.services.beside = work

    with probe:
        uvloop.run(main())
    return server.status
