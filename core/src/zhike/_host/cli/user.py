"""`zhike user`: makes, lists and disables users."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from zhike import settings
from zhike._host.cli.context import open_database
from zhike.access import users
from zhike.access.actor import Actor
from zhike.access.roles import ROLES
from zhike.commands import data_option


@click.group()
def user() -> None:
    """Create, list and disable users."""


@user.command()
@click.argument("login")
@click.option("--name", help="Name for people to read. Default: the login.")
@click.option("--role", type=click.Choice(list(ROLES)), required=True, help="What the user may do.")
@click.option("--password-stdin", is_flag=True, help="Read the password's line from standard input.")
@data_option
def create(login: str, name: str | None, role: str, password_stdin: bool, data: Path | None) -> None:
    """Create a user who logs in as LOGIN; the password is asked for."""
    if password_stdin:
        password = sys.stdin.readline().removesuffix("\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)

    async def run() -> users.User:
        async with open_database(settings.load(data)) as db:
            return await users.create(
                db, Actor.command("user"), login=login, name=name or login, role=role, password=password
            )

    made = asyncio.run(run())
    click.echo(f"created user {made.id} {made.login} {made.role}")


@user.command("list")
@data_option
def list_(data: Path | None) -> None:
    """List all users."""

    async def run() -> list[users.User]:
        async with open_database(settings.load(data)) as db:
            return await users.list_(db)

    for each in asyncio.run(run()):
        state = f"disabled {each.disabled_at:%Y-%m-%d}" if each.disabled_at else "active"
        click.echo(f"{each.id}\t{each.role}\t{state}\t{each.login}\t{each.name}")


@user.command()
@click.argument("login")
@data_option
def disable(login: str, data: Path | None) -> None:
    """Keep the user LOGIN from logging in."""

    async def run() -> None:
        async with open_database(settings.load(data)) as db:
            await users.disable(db, Actor.command("user"), login)

    asyncio.run(run())
    click.echo(f"disabled user {login}")
