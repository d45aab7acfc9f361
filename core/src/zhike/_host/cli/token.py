"""`zhike token`: makes, lists and revokes API tokens."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from zhike import clock, settings
from zhike._host.cli.context import open_database, open_platform
from zhike.access import tokens
from zhike.access.actor import Actor
from zhike.access.roles import ROLES
from zhike.commands import data_option

role_option = click.option("--role", type=click.Choice(list(ROLES)), required=True, help="What it may do.")


@click.group()
def token() -> None:
    """Create, list and revoke API tokens."""


@token.command()
@click.argument("name")
@role_option
@click.option("--expires", help="ISO 8601 duration after which it is refused, such as P30D. Default: never.")
@data_option
def create(name: str, role: str, expires: str | None, data: Path | None) -> None:
    """Create a token named NAME; it is shown once, as the last word."""
    expires_at = clock.now() + tokens.parse_duration(expires) if expires else None

    async def run() -> str:
        async with open_platform(settings.load(data)) as platform:
            made, secret = await tokens.create(
                platform.db, Actor.command("token"), name, role, expires_at=expires_at, hooks=platform.hooks
            )
        return f"token {made.id} {made.name} {made.role}: {secret}"

    click.echo(asyncio.run(run()))


@token.command("list")
@data_option
def list_(data: Path | None) -> None:
    """List all tokens, without their secrets."""

    async def run() -> list[tokens.Token]:
        async with open_database(settings.load(data)) as db:
            return await tokens.list_(db)

    for each in asyncio.run(run()):
        click.echo(f"{each.id}\t{each.role}\t{_state(each)}\t{each.name}")


@token.command()
@click.argument("token_id", metavar="ID", type=click.IntRange(1, 2**63 - 1))
@data_option
def revoke(token_id: int, data: Path | None) -> None:
    """Revoke the token ID; a running server refuses it within five seconds."""

    async def run() -> None:
        async with open_database(settings.load(data)) as db:
            await tokens.revoke(db, Actor.command("token"), token_id)

    asyncio.run(run())
    click.echo(f"revoked token {token_id}")


def _state(each: tokens.Token) -> str:
    if each.revoked_at is not None:
        return f"revoked {each.revoked_at:%Y-%m-%d}"
    if each.expires_at is None:
        return "valid"
    return f"{'expired' if each.expires_at <= clock.now() else 'expires'} {each.expires_at:%Y-%m-%dT%H:%MZ}"
