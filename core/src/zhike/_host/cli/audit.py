"""`zhike audit`: tells whether the audit trail is as it was written."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from zhike import settings
from zhike._host.cli.context import on_database
from zhike.access import heads
from zhike.access.verify import verify as walk
from zhike.access.walk import Verified
from zhike.commands import data_option
from zhike.i18n import text
from zhike.orm import Database
from zhike.vault import Vault

MOST_TOLD = 100
"""Problems that are printed; the rest is counted."""


@click.group()
def audit() -> None:
    """Check the audit trail."""


@audit.command()
@click.option(
    "--head",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File of exported heads. Default: the file that they are appended to, if it is there.",
)
@data_option
def verify(file: Path | None, data: Path | None) -> None:
    """Tell what was changed, removed or put in; ends with status 1 unless the trail is whole."""
    config = settings.load(data)
    usual = heads.file_of(config)
    exported = heads.read(file or usual) if file or usual.exists() else []
    found = Verified()

    async def tell(db: Database) -> None:
        keys = await Vault(db, config).keys()
        async for problem in walk(db, keys, exported, found):
            if found.problems <= MOST_TOLD:
                click.echo(problem.render(config.locale))

    on_database(config, tell)
    if found.problems > MOST_TOLD:
        click.echo(text("and {count} more", count=found.problems - MOST_TOLD).render(config.locale))
    summary = text(
        "{sealed} rows sealed, {cleared} of them with cleared details; {waiting} not sealed yet; {skipped} ids skipped;"
        " {heads} exported heads; {problems} problems",
        heads=len(exported),
        **{name: getattr(found, name) for name in found.__struct_fields__},
    )
    click.echo(summary.render(config.locale))
    sys.exit(1 if found.problems else 0)
