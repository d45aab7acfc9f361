"""`zhike token`: makes, lists and revokes API tokens."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import get_args

import click

from zhike import clock, settings
from zhike._host.cli.context import on_database, open_platform
from zhike.access import tokens, users
from zhike.access.actor import Actor, TokenKind
from zhike.access.roles import ROLES
from zhike.commands import data_option

role_option = click.option("--role", required=True, help=f"{', '.join(ROLES)}, or a role of your own.")


@click.group()
def token() -> None:
    """Create, list and revoke API tokens."""


@token.command()
@click.argument("name")
@role_option
@click.option("--user", help="Login of the user it acts for. Default: nobody.")
@click.option(
    "--kind", type=click.Choice(get_args(TokenKind)), help="Default: admin with the role admin, else service."
)
@click.option("--origin", multiple=True, help="A web site that a token of kind collect is for; may be repeated.")
@click.option("--expires", help="ISO 8601 duration after which it is refused, such as P30D. Default: never.")
@data_option
def create(
    name: str,
    role: str,
    user: str | None,
    kind: TokenKind | None,
    origin: tuple[str, ...],
    expires: str | None,
    data: Path | None,
) -> None:
    """Create a token named NAME; it is shown once, as the last word."""
    expires_at = clock.now() + tokens.parse_duration(expires) if expires else None

    async def run() -> str:
        async with open_platform(settings.load(data)) as platform:
            actor = Actor.command("token")
            made, secret = await tokens.create(
                platform.db,
                actor,
                name,
                role,
                kind=kind,
                user_id=(await users.find(platform.db, actor, user)).id if user else None,
                origins=origin,
                expires_at=expires_at,
                hooks=platform.hooks,
                directory=platform.directory,
            )
        return f"token {made.id} {made.name} {made.role}: {secret}"

    click.echo(asyncio.run(run()))


@token.command("list")
@data_option
def list_(data: Path | None) -> None:
    """List all tokens, without their secrets."""
    for each in on_database(settings.load(data), tokens.list_):
        click.echo(f"{each.id}\t{each.role}\t{_state(each)}\t{each.name}")


@token.command()
@click.argument("token_id", metavar="ID", type=click.IntRange(1, 2**63 - 1))
@data_option
def revoke(token_id: int, data: Path | None) -> None:
    """Revoke the token ID; a running server refuses it within five seconds."""
    on_database(settings.load(data), lambda db: tokens.revoke(db, Actor.command("token"), token_id))
    click.echo(f"revoked token {token_id}")


def _state(each: tokens.Token) -> str:
    if each.revoked_at is not None:
        return f"revoked {each.revoked_at:%Y-%m-%d}"
    if each.expires_at is None:
        return "valid"
    return f"{'expired' if each.expires_at <= clock.now() else 'expires'} {each.expires_at:%Y-%m-%dT%H:%MZ}"
