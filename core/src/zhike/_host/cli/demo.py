"""`zhike demo`: a server with a sample company, from nothing."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import click

from zhike import clock
from zhike import settings as configuration
from zhike._host import logs, supervisor
from zhike._host.cli import serve
from zhike._host.cli.context import database_url, open_platform
from zhike.commands import data_option
from zhike.settings import Settings

HOST = "127.0.0.1"
LEAST, MOST = 50, 1_000_000


def _number(ctx: click.Context, param: click.Parameter, value: str) -> int:
    """Return a number of customers, also in thousands, or say why it is none."""
    found = re.fullmatch(r"(\d{1,7})(k?)", value.lower())
    size = int(found[1]) * (1_000 if found[2] else 1) if found else 0
    if not LEAST <= size <= MOST:
        raise click.BadParameter(f"expected {LEAST} to {MOST}, such as 5000 or 100k", ctx, param)
    return size


@click.command()
@data_option
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes any free port.")
@click.option("--size", default="5000", show_default=True, callback=_number, help="How many customers, such as 100k.")
@click.option(
    "--password", metavar="TEXT", help="What everybody logs in with. Default: one of this installation's own."
)
def demo(data: Path | None, port: int, size: int, password: str | None) -> None:
    """Start on the sample company 青禾生活: makes the database, builds the company and runs the server.

    What is there already stays: a second start makes nothing, and a database with customers of its own gets none.
    """
    logs.configure()
    settings = configuration.load(data)
    _refuse_early(settings, port)
    from zhike._host.demo import password_of

    secret = password or password_of(settings)
    with database_url(settings) as url:
        asyncio.run(_prepare(settings, url, size, secret))
        # The token is made only now: it is shown once, and nobody could use it if the server did not start.
        serve.run(
            settings,
            host=HOST,
            port=port,
            web=1,
            runners=1,
            ready=lambda address: _welcome(address, *asyncio.run(_ways_in(url, secret)), secret),
        )


def _refuse_early(settings: Settings, port: int) -> None:
    """Refuse a folder that is served or a port in use before anything is made."""
    if settings.database_url is None:
        from zhike._host.database import serve_lock

        with serve_lock(settings.data):
            pass
    supervisor.listen(HOST, port).close()


async def _prepare(settings: Settings, url: str, size: int, secret: str) -> None:
    """Migrate, and build the company in an empty database."""
    from zhike._host.db.upgrade import upgrade
    from zhike._host.demo import build

    await upgrade(settings, url)
    async with open_platform(settings) as platform:
        if await build(platform, clock.now(), size=size, password=secret, say=click.echo):
            click.echo("示例公司「青禾生活」已就绪 · the sample company is ready")


async def _ways_in(url: str, secret: str) -> tuple[bool | None, str | None]:
    """Return whether `secret` opens the company, and at the first start a token."""
    from zhike._host import demo as company
    from zhike.orm import Database

    db = await Database.open(url, max_size=1)
    try:
        return await company.opens(db, secret), await company.first_token(db)
    finally:
        await db.close()


def _welcome(address: str, opens: bool | None, token: str | None, secret: str) -> None:
    click.echo(f"\n地址 · address   {address}")
    if opens is not None:
        shown = secret if opens else "您设置的密码 · the one you have set"
        click.echo(f"账号 · login     admin\n密码 · password  {shown}")
    if token:
        curl = f"curl -s -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' {address}/api/v1"
        bought = '{"type":"event","event":"order.paid","measure":"count","within":"P90D","op":"gte","value":3}'
        click.echo(f"令牌 · token     {token}")
        click.echo("\n90 天内下单三次以上的客户数 · customers with three orders or more in 90 days:")
        click.echo(f"  {curl}/conditions/count -d '{{\"condition\":{bought}}}'")
    click.echo(f"\nready {address}")
