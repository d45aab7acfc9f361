"""`zhike migrate`: makes an empty database ready and brings an older one up to date."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

import click

from zhike import settings
from zhike._host.cli.context import database_url
from zhike.commands import data_option
from zhike.i18n import text


@click.command()
@data_option
@click.option("--check", is_flag=True, help="Run nothing; end with status 1 if something is missing.")
def migrate(data: Path | None, check: bool) -> None:
    """Make the database ready, or bring it up to date.

    Ends with status 3 if the core is up to date, but something is wrong with a plugin.
    """
    from zhike._host.db.upgrade import upgrade

    logging.getLogger("zhike").addHandler(logging.NullHandler())  # problems are told below
    config = settings.load(data)
    with database_url(config) as url:
        done = asyncio.run(upgrade(config, url, check=check))
    for name in done.ran:
        click.echo(f"pending {name}" if check else f"migrated {name}")
    if not done.ran and not done.problems:
        click.echo(text("The database is up to date.").render(config.locale))
    for problem in done.problems:
        what, hint = problem.text.render(config.locale), problem.hint.render(config.locale)
        click.echo(f"{problem.plugin}: {what}\n  {hint}", err=True)
    if check and done.ran:
        sys.exit(1)
    if done.problems:
        sys.exit(3)
