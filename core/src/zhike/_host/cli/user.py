"""`zhike user`: makes, lists and disables users, and sets their passwords."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from zhike import settings
from zhike._host.cli.context import on_database
from zhike._host.cli.token import role_option
from zhike.access import new_users, user_changes, users
from zhike.access.actor import Actor
from zhike.access.schemas import UserChange
from zhike.api import MAX_ID
from zhike.commands import data_option

ACTOR = Actor.command("user")
_stdin_option = click.option("--password-stdin", is_flag=True, help="Read the password's line from standard input.")


@click.group()
def user() -> None:
    """Create, list and disable users, and set passwords."""


@user.command()
@click.argument("login")
@click.option("--name", help="Name for people to read. Default: the login.")
@role_option
@click.option("--team", type=click.IntRange(1, MAX_ID), help="Id of the user's team. Default: none.")
@_stdin_option
@data_option
def create(login: str, name: str | None, role: str, team: int | None, password_stdin: bool, data: Path | None) -> None:
    """Create a user who logs in as LOGIN; the password is asked for."""
    password = _password(password_stdin)
    made = on_database(
        settings.load(data),
        lambda db: new_users.create(
            db, ACTOR, login=login, name=name or login, role=role, password=password, team_id=team
        ),
    )
    click.echo(f"created user {made.id} {made.login} {made.role}")


@user.command("list")
@data_option
def list_(data: Path | None) -> None:
    """List all users."""
    for each in on_database(settings.load(data), users.list_):
        state = f"disabled {each.disabled_at:%Y-%m-%d}" if each.disabled_at else "active"
        click.echo(f"{each.id}\t{each.role}\t{state}\t{each.login}\t{each.name}")


@user.command()
@click.argument("login")
@data_option
def disable(login: str, data: Path | None) -> None:
    """Keep the user LOGIN from logging in."""
    on_database(settings.load(data), lambda db: user_changes.disable(db, ACTOR, login))
    click.echo(f"disabled user {login}")


@user.command()
@click.argument("login")
@_stdin_option
@data_option
def password(login: str, password_stdin: bool, data: Path | None) -> None:
    """Set a new password for the user LOGIN, which ends all their sessions; it is asked for."""
    change = UserChange(password=_password(password_stdin))
    on_database(settings.load(data), lambda db: user_changes.change(db, ACTOR, login, change))
    click.echo(f"set the password of user {login}")


def _password(stdin: bool) -> str:
    """Return the password that is typed, or the line of standard input."""
    if stdin:
        return sys.stdin.readline().removesuffix("\n")
    typed: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return typed
