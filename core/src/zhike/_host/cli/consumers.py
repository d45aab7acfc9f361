"""`zhike consumers`: shows how far plugins are in the log, and tells the runners to stop, go on or start over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import click

from zhike import settings
from zhike._host.cli.context import on_database
from zhike.access.actor import Actor
from zhike.commands import data_option
from zhike.consumers import service
from zhike.events.sql import SHARDS
from zhike.i18n import text
from zhike.orm import Database

ACTOR = Actor.command("consumers")
Change = Callable[[Database, Actor, str], Awaitable[bool]]
name_argument = click.argument("name")


@click.group()
def consumers() -> None:
    """Show, pause, resume, rebuild and split the plugins' reading of the log."""


@consumers.command("list")
@data_option
def list_(data: Path | None) -> None:
    """List all: name, state, mode, events and seconds behind, dead letters; then why it is paused or stuck."""
    config = settings.load(data)
    for each in on_database(config, lambda db: service.consumers(db, locale=config.locale)):
        lag = f"{each.lag_events} / {each.lag_seconds:.0f} s"
        click.echo(f"{each.name}\t{each.state}\t{each.mode}\t{lag}\t{each.dead_letters}")
        for line in filter(None, (each.reason, each.last_error)):
            click.echo(f"  {line}")


for _verb, _change, _help in (
    ("pause", service.pause, "Give the plugin NAME no more events."),
    ("resume", service.resume, "Let the plugin NAME go on where it stands."),
    ("rebuild", service.rebuild, "Have a runner delete what the plugin NAME derived and give it the whole log again."),
):

    @consumers.command(_verb, help=_help)
    @name_argument
    @data_option
    def _(name: str, data: Path | None, change: Change = _change) -> None:
        _do(data, lambda db: change(db, ACTOR, name))


@consumers.command()
@name_argument
@click.argument("ranges", type=click.IntRange(1, SHARDS))
@data_option
def shards(name: str, ranges: int, data: Path | None) -> None:
    """Have RANGES parts of the customers worked on side by side for the plugin NAME."""
    _do(data, lambda db: service.split(db, ACTOR, name, ranges))


def _do(data: Path | None, change: Callable[[Database], Awaitable[bool]]) -> None:
    config = settings.load(data)
    changed = on_database(config, change)
    done = text("done; the runners see it within a second") if changed else text("it was so already")
    click.echo(done.render(config.locale))
