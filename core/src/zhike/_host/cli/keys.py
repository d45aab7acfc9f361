"""`zhike keys`: shows the keys that seal what is secret, and replaces them."""

from __future__ import annotations

from pathlib import Path

import click

from zhike import settings
from zhike._host import rotation
from zhike._host.cli.context import on_database
from zhike.commands import data_option
from zhike.i18n import text
from zhike.orm import Database
from zhike.vault import Vault


@click.group()
def keys() -> None:
    """Show and rotate the keys that seal what is secret."""


@keys.command()
@data_option
def status(data: Path | None) -> None:
    """List the ring's keys, the first one first, then the data keys: id, purpose, the ring's key it needs, state."""
    config = settings.load(data)

    async def tell(db: Database) -> None:
        vault = Vault(db, config)
        for each in vault.ring:
            click.echo(f"ring\t{each.id}")
        for key in await rotation.data_keys(db, vault):
            state = f"retired {key.retired_at:%Y-%m-%d}" if key.retired_at else "current"
            click.echo(f"{key.id}\t{key.purpose}\t{key.wrapped_by}\t{state}\t{key.created_at:%Y-%m-%d}")
            if key.problem is not None:
                click.echo(f"  {key.problem.render(config.locale)}")

    on_database(config, tell)


@keys.command()
@click.option("--reseal", is_flag=True, help="Also make a new data key and seal all anew.")
@data_option
def rotate(reseal: bool, data: Path | None) -> None:
    """Wrap all data keys with the ring's first key, so that the others can be taken out of ZHIKE_SECRET_KEY."""
    config = settings.load(data)

    async def wrap(db: Database) -> None:
        vault = Vault(db, config)
        done = await rotation.rewrap(db, vault)
        first, *others = (key.id for key in vault.ring)
        click.echo(
            text("{count} data {count:key|keys} wrapped anew, with {key}", count=done, key=first).render(config.locale)
        )
        if reseal:
            await rotation.reseal(db, vault, lambda place, row: click.echo(f"{place} {row}"))
            click.echo(text("Everything is sealed with the newest data key").render(config.locale))
        if others:
            told = text("No longer needed, take out of ZHIKE_SECRET_KEY: {keys}", keys=", ".join(others))
            click.echo(told.render(config.locale))

    on_database(config, wrap)
