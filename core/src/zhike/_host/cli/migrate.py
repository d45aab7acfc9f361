"""`zhike migrate`: makes an empty database ready and brings an older one up to date."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from zhike import settings
from zhike._host.cli.context import database_url
from zhike._host.cli.main import data_option
from zhike.i18n import text


@click.command()
@data_option
@click.option("--check", is_flag=True, help="Change nothing; end with status 1 if something is missing.")
def migrate(data: Path | None, check: bool) -> None:
    """Make the database ready, or bring it up to date."""
    from zhike._host.db import migrate as migrations

    config = settings.load(data)
    with database_url(config) as url:
        names = asyncio.run(migrations.pending(url) if check else migrations.forwards(url))
    for name in names:
        click.echo(f"pending {name}" if check else f"migrated {name}")
    if not names:
        click.echo(text("The database is up to date.").render(config.locale))
    if check and names:
        sys.exit(1)
