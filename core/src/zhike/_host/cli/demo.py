"""`zhike demo`: a server with a sample company, from nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from zhike import clock
from zhike import settings as configuration
from zhike._host import logs, supervisor
from zhike._host.cli import serve
from zhike._host.cli.context import database_url
from zhike.commands import data_option
from zhike.settings import Settings

HOST = "127.0.0.1"


@click.command()
@data_option
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes any free port.")
def demo(data: Path | None, port: int) -> None:
    """Start on the sample company 青禾生活: makes the database, imports it and runs the server.

    What is there already stays: a second start imports nothing, and a database with customers of its own gets
    none.
    """
    logs.configure()
    settings = configuration.load(data)
    _refuse_early(settings, port)
    with database_url(settings) as url:
        asyncio.run(_prepare(settings, url))
        # The token is made only now: it is shown once, and nobody could use it if the server did not start.
        serve.run(
            settings,
            host=HOST,
            port=port,
            web=1,
            runners=1,
            ready=lambda address: _welcome(address, asyncio.run(_first_token(url))),
        )


def _refuse_early(settings: Settings, port: int) -> None:
    """Refuse a folder that is served or a port in use before anything is made."""
    if settings.database_url is None:
        from zhike._host.database import serve_lock

        with serve_lock(settings.data):
            pass
    supervisor.listen(HOST, port).close()


async def _prepare(settings: Settings, url: str) -> None:
    """Migrate, and import the company into an empty database."""
    from zhike._host.db.upgrade import upgrade
    from zhike._host.demo import setup
    from zhike.orm import Database

    await upgrade(settings, url)
    db = await Database.open(url, max_size=settings.pool_size)
    try:
        stored = await setup.import_company(db, settings, clock.now())
    finally:
        await db.close()
    if stored:
        click.echo(f"已导入示例公司「青禾生活」 · sample company imported: {stored} events")


async def _first_token(url: str) -> str | None:
    from zhike._host.demo import setup
    from zhike.orm import Database

    db = await Database.open(url, max_size=1)
    try:
        return await setup.first_token(db)
    finally:
        await db.close()


def _welcome(address: str, token: str | None) -> None:
    bearer = token or "$TOKEN"
    api = f"{address}/api/v1"
    curl = f"curl -s -H 'Authorization: Bearer {bearer}' -H 'Content-Type: application/json'"
    if token is None:
        curl = curl.replace("'Authorization: Bearer $TOKEN'", '"Authorization: Bearer $TOKEN"')
    bought = '{"type":"event","event":"order.paid","measure":"count","within":"P90D","op":"gte","value":3}'
    login = '{"name":"app.login","identities":{"external_id":"QH000001"}}'
    hint = "首次启动时已显示 · shown at the first start; another: zhike token create NAME --role admin"
    click.echo(
        f"""
地址 · address  {address}
令牌 · token    {token or hint}

90 天内下单三次以上的客户数 · customers with three orders or more in 90 days:
  {curl} {api}/conditions/count -d '{{"condition":{bought}}}'
客户列表 · list customers:
  {curl} '{api}/customers?limit=3'
写入一个事件 · post an event:
  {curl} {api}/events -d '{{"events":[{login}]}}'
"""
    )
    click.echo(f"ready {address}")
