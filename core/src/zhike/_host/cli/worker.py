"""`zhike worker`: further runners beside a server, on this machine or another one."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

import click
import msgspec

from zhike import settings as configuration
from zhike._host import logs, supervisor
from zhike._host.cli.context import database_url
from zhike._host.cli.main import strict_option
from zhike._host.cli.serve import refuse_unmigrated
from zhike._host.order import Order
from zhike.commands import data_option
from zhike.settings import Settings
from zhike.transport import check as check_transport


@click.command()
@data_option
@strict_option
@click.option("--processes", type=click.IntRange(1, 64), default=1, show_default=True, help="Number of runners.")
@click.option("--single", is_flag=True, help="Run in this process; status 75 at its end asks for another start.")
def worker(data: Path | None, strict: bool, processes: int, single: bool) -> None:
    """Give the log to the plugins and do their jobs, beside a running server."""
    if single and processes > 1:
        raise click.UsageError("--single is one process; leave out --processes")
    logs.configure()
    settings = msgspec.structs.replace(configuration.load(data), strict=strict)
    check_transport(settings)
    with contextlib.ExitStack() as stack:
        runners = None
        if not single:  # they import what they need while the database starts
            runners = stack.enter_context(contextlib.closing(supervisor.Processes(None, web=0, runners=processes)))
        url = stack.enter_context(database_url(settings))
        refuse_unmigrated(url)
        if runners is not None:
            runners.give(Order(settings, url).encode())
            runners.run(_print_ready)
            return
        status = _work_here(settings, url)
    sys.exit(status)


def _print_ready() -> None:
    click.echo("ready worker")


def _work_here(settings: Settings, url: str) -> int:
    import uvloop

    from zhike._host.runner.main import Stop, work

    async def working() -> int:
        stop = Stop()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        return await work(settings, url, stop, _print_ready)

    return uvloop.run(working())
