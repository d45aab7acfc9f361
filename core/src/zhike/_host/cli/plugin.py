"""`zhike plugin`: begins and shows plugins, switches them on and off, checks them and gives their data up."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, get_args

import click

from zhike import settings
from zhike._host import scaffold
from zhike._host.cli.context import on_database
from zhike.access.actor import Actor
from zhike.commands import data_option
from zhike.errors import Conflict
from zhike.i18n import text
from zhike.orm import Database
from zhike.plugins.service import Look
from zhike.plugins.switching import Resume
from zhike.settings import Settings

ACTOR = Actor.command("plugin")
PURGE_SECONDS = 20.0
"""How long running processes are given to end that have a plugin that is to be purged."""


@click.group()
def plugin() -> None:
    """Begin, list, enable, disable, check, retry and purge plugins."""


def _run(data: Path | None, work: Callable[[Settings, Database], Coroutine[Any, Any, Any]]) -> Any:
    config = settings.load(data)
    logging.getLogger("zhike").addHandler(logging.NullHandler())  # problems are told by the commands
    return on_database(config, lambda db: work(config, db))


async def _see(config: Settings, db: Database) -> Look:
    """Note what is installed now, which no process may have looked at yet."""
    from zhike._host.plugins.look import look
    from zhike.plugins import service

    found = look(config.hooks)
    async with db.connection() as connection:
        await service.see(connection, found.installed)
    return found


@plugin.command("list")
@data_option
def list_(data: Path | None) -> None:
    """List all plugins: name, version, state, and of those that do not run why and what mends it."""
    from zhike._host.plugins.look import look
    from zhike.plugins import overview

    async def work(config: Settings, db: Database) -> None:
        async with db.connection() as connection:
            entries = await overview.entries(connection, look(config.hooks), config.locale)
        for each in entries:
            click.echo(f"{each.name}\t{each.version or '-'}\t{each.state}")
            for line in filter(None, (each.problem, each.hint)):
                click.echo(f"  {line}")

    _run(data, work)


@plugin.command()
@click.argument("name")
@click.option("--resume", type=click.Choice(get_args(Resume)), help="Where it takes the log up, if it read it before.")
@data_option
def enable(name: str, resume: Resume | None, data: Path | None) -> None:
    """Enable the plugin NAME; a running server loads it, or its changed code, within seconds."""
    from zhike.plugins import switching

    async def work(config: Settings, db: Database) -> None:
        found = await _see(config, db)
        chosen = resume
        try:
            await switching.enable(db, ACTOR, name, chosen, found)
        except Conflict as conflict:
            if conflict.code != "resume" or not sys.stdin.isatty():
                raise
            chosen = click.prompt(conflict.message.render(config.locale), type=click.Choice(get_args(Resume)))
            await switching.enable(db, ACTOR, name, chosen, found)
        hint = text("{name} is enabled; run `zhike migrate`, which also tells what is wrong with it", name=name)
        click.echo(hint.render(config.locale))

    _run(data, work)


@plugin.command()
@click.argument("name")
@data_option
def disable(name: str, data: Path | None) -> None:
    """Disable the plugin NAME; its data and its place in the log stay."""
    from zhike.plugins import switching

    async def work(config: Settings, db: Database) -> None:
        await _see(config, db)
        await switching.disable(db, ACTOR, name)
        click.echo(text("{name} is disabled", name=name).render(config.locale))

    _run(data, work)


@plugin.command()
@click.argument("name")
@click.argument("hook", required=False)
@data_option
def retry(name: str, hook: str | None, data: Path | None) -> None:
    """Call hooks of the plugin NAME again, all or one HOOK, that were switched off after repeated failures."""
    from zhike.plugins import circuits

    async def work(config: Settings, db: Database) -> None:
        for each in await circuits.close_circuit(db, ACTOR, name, hook):
            click.echo(text("{hook} is called again within seconds", hook=each).render(config.locale))

    _run(data, work)


@plugin.command()
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(get_args(scaffold.Kind)),
    default="plugin",
    show_default=True,
    help="A plugin, a connector to another system, a single file for the hooks folder, or a theme.",
)
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=".", help="Where to, if not here.")
def new(name: str, kind: scaffold.Kind, folder: Path) -> None:
    """Begin a plugin called NAME, with code that runs and tests that pass."""
    for path in scaffold.write(name, kind, folder):
        click.echo(path)


@plugin.command()
@click.argument("which", metavar="NAME|PATH")
@data_option
def check(which: str, data: Path | None) -> None:
    """Tell what a server would find wrong with a plugin, without enabling it.

    PATH is a file for the hooks folder, or the folder of a distribution. Its migrations are run and taken back.
    Ends with status 1 if something is wrong.
    """
    from zhike._host.plugins import check as checking
    from zhike._host.plugins.look import fingerprint
    from zhike.plugins import service

    async def work(config: Settings, db: Database) -> int:
        candidate, problem = checking.find(config, which)
        problem = problem or await checking.check(config, db, candidate)
        if problem is None:
            click.echo(text("{source}: nothing is wrong", source=candidate.source).render(config.locale))
            async with db.connection() as connection:
                enabled = which in (known := await service.known(connection)) and known[which].enabled
                running = await service.running(connection)
            if enabled and any(process.lacks(which, fingerprint(candidate)) for process in running):
                other = text("A running process has other code of it; run `zhike plugin enable {name}`", name=which)
                click.echo(other.render(config.locale))
            return 0
        what, hint = problem.text.render(config.locale), problem.hint.render(config.locale)
        click.echo(f"{candidate.source}: {problem.stage}: {what}\n  {hint}")
        return 1

    sys.exit(_run(data, work))


@plugin.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_option
def purge(name: str, yes: bool, data: Path | None) -> None:
    """Give up all data of the disabled plugin NAME; it need not be installed any more."""
    from zhike._host.db import purge as purging
    from zhike.plugins import switching

    async def work(config: Settings, db: Database) -> None:
        await _see(config, db)
        async with db.connection() as connection:
            await purging.require_given_up(connection, name)
            tables = await purging.tables(connection, name)
        if not yes:
            question = text("Forget the jobs of {name} and its place in the log? It has no table", name=name)
            if tables:
                question = text(
                    "Drop {tables} and forget the jobs of {name} and its place in the log?",
                    tables=", ".join(tables),
                    name=name,
                )
            click.confirm(question.render(config.locale), abort=True)
        await switching.disable(db, ACTOR, name)
        deadline = time.monotonic() + PURGE_SECONDS
        while True:
            try:
                dropped = await purging.purge(db, ACTOR, name)
                break
            except Conflict as conflict:
                if conflict.code != "running" or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.5)
        for each in dropped:
            click.echo(f"dropped {each}")
        click.echo(text("{name} is purged", name=name).render(config.locale))

    _run(data, work)
