"""`zhike deadletters`: shows events that plugins could not take, and has them offered again or given up."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import click

from zhike import settings
from zhike._host.cli.context import on_database
from zhike.access.actor import Actor
from zhike.commands import data_option
from zhike.consumers import service
from zhike.errors import Refused
from zhike.i18n import text
from zhike.orm import Database

ACTOR = Actor.command("deadletters")
ids_argument = click.argument("ids", metavar="[ID]...", nargs=-1, type=click.IntRange(1, 2**63 - 1))
consumer_option = click.option("--consumer", metavar="NAME", help="All those of this plugin, instead of ids.")


@click.group()
def deadletters() -> None:
    """List, replay and discard events that plugins could not take."""


@deadletters.command("list")
@click.option("--consumer", metavar="NAME", help="Those of this plugin only.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="How many.")
@data_option
def list_(consumer: str | None, limit: int, data: Path | None) -> None:
    """List the latest first: id, plugin, attempts, event, customer; then what went wrong."""
    found = on_database(settings.load(data), lambda db: service.dead_letters(db, consumer=consumer, limit=limit))
    for each in found.items:
        what = f"{each.event_name} {each.message_id}"
        click.echo(f"{each.id}\t{each.consumer}\t{each.attempts}\t{what}\t{each.customer_id}\n  {each.error}")


@deadletters.command()
@ids_argument
@consumer_option
@data_option
def replay(ids: tuple[int, ...], consumer: str | None, data: Path | None) -> None:
    """Have a runner offer dead letters again; those that succeed are deleted."""
    _do(data, lambda db: service.replay(db, ACTOR, list(ids) or None, consumer))


@deadletters.command()
@ids_argument
@consumer_option
@click.option("--yes", is_flag=True, help="Do not ask before all those of a plugin are deleted.")
@data_option
def discard(ids: tuple[int, ...], consumer: str | None, yes: bool, data: Path | None) -> None:
    """Give dead letters up for good."""
    if consumer and not yes:
        question = text("Delete all dead letters of {consumer} for good?", consumer=consumer)
        if not sys.stdin.isatty():
            raise Refused(
                text("{question} Nobody can be asked here; say so with {option}", question=question, option="--yes")
            )
        click.confirm(question.render(settings.load(data).locale), abort=True)
    _do(data, lambda db: service.discard(db, ACTOR, list(ids) or None, consumer))


def _do(data: Path | None, change: Callable[[Database], Awaitable[int]]) -> None:
    config = settings.load(data)
    click.echo(text("dead letters: {count}", count=on_database(config, change)).render(config.locale))
