"""`zhike export`: customers and events go into files."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import aclosing, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import click
import msgspec

from zhike import settings as configuration
from zhike.access.actor import Actor
from zhike.commands import Host, data_option
from zhike.errors import NotFound, Refused
from zhike.i18n import text
from zhike.platform import Platform
from zhike.settings import Settings
from zhike_exports import service
from zhike_exports.schemas import Exported, Format, Kind, Wanted

_USER = "SELECT id FROM app_user WHERE login = $1 AND disabled_at IS NULL"


@click.group("export")
def export() -> None:
    """Hand customers or events out as a file."""


def _options(command: Callable[..., None]) -> Callable[..., None]:
    day = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])
    for option in (
        click.option("--user", metavar="LOGIN", help="Only what this user sees, masked as for them."),
        click.option("--role", metavar="ROLE", help="Masked as for this role."),
        click.option("--no-bom", is_flag=True, help="Leave the mark out by which Excel knows UTF-8."),
        click.option("--until", type=day, help="Only events before; customers changed before."),
        click.option("--since", type=day, help="Only events from then on; customers changed since."),
        click.option("--fields", metavar="COLUMNS", help="The columns, commas between; all without it."),
        click.option("--condition", metavar="JSON|@FILE", help="Only of the customers for whom it holds."),
        click.option("--out", default="-", metavar="FILE", help="Where to; - is the standard output."),
        click.option("--format", "format_", type=click.Choice(["csv", "jsonl", "xlsx"]), default="csv"),
    ):
        command = option(command)
    return data_option(command)


@export.command("customers", short_help="Export customers.")
@_options
@click.pass_obj
def customers(host: Host, /, **given: Any) -> None:
    """Export customers. The last line counts them; without it the file is not whole."""
    _run(host, "customers", **given)


@export.command("events", short_help="Export what customers did.")
@_options
@click.pass_obj
def events(host: Host, /, **given: Any) -> None:
    """Export what customers did. The last line counts the events; without it the file is not whole."""
    _run(host, "events", **given)


def _run(
    host: Host,
    kind: Kind,
    *,
    format_: Format,
    out: str,
    condition: str | None,
    fields: str | None,
    since: datetime | None,
    until: datetime | None,
    no_bom: bool,
    role: str | None,
    user: str | None,
    data: Path | None,
) -> None:
    settings = configuration.load(data)
    wanted = Wanted(
        format=format_,
        condition=_condition(condition),
        fields=tuple(field.strip() for field in fields.split(",")) if fields else (),
        since=since and since.replace(tzinfo=settings.zone),
        until=until and until.replace(tzinfo=settings.zone),
        bom=not no_bom,
    )
    rows = asyncio.run(_export(host, settings, kind, wanted, out, role, user))
    click.echo(f"exported {rows}", err=out == "-")


async def _export(
    host: Host, settings: Settings, kind: Kind, wanted: Wanted, out: str, role: str | None, user: str | None
) -> int:
    async with host.open_platform(settings) as platform:
        actor = await _actor(platform, role, user)
        if out == "-":
            rows = await _write(platform, actor, kind, wanted, sys.stdout.buffer)
            sys.stdout.buffer.flush()  # before it is said that all is there
            return rows
        path, part = _places(Path(out))
        try:
            if part is None:
                with path.open("wb") as open_end:
                    return await _write(platform, actor, kind, wanted, open_end)
            # Opened as nobody else's to read: it holds personal data.
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                rows = await _write(platform, actor, kind, wanted, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError as error:
            raise Refused(
                text("{path} cannot be written: {reason}", path=path, reason=error.strerror or type(error).__name__)
            ) from None
        finally:
            if part is not None:
                with suppress(OSError):
                    part.unlink(missing_ok=True)
        return rows


def _places(out: Path) -> tuple[Path, Path | None]:
    """Return what to write, and under which name until it is complete; none for what is no file, such as a pipe."""
    if out.exists() and not out.is_file():
        return out, None
    path = out.resolve()  # a link stays, what it points to is replaced
    return path, path.with_name(path.name + ".part")


async def _write(platform: Platform, actor: Actor, kind: Kind, wanted: Wanted, file: IO[bytes]) -> int:
    progress = Exported()
    async with aclosing(service.export(platform, actor, kind, wanted, progress)) as pieces:
        async for piece in pieces:
            file.write(piece)
    return progress.rows


async def _actor(platform: Platform, role: str | None, user: str | None) -> Actor:
    """Return who the export is for; the operator without any option."""
    operator = Actor.command("export")
    if role is not None and user is not None:
        raise Refused(text("--role and --user exclude each other: a user has a role"))
    if role is None and user is None:
        return operator
    async with platform.db.connection() as connection:
        if role is not None:
            grants = await platform.directory.role(connection, role)
            return msgspec.structs.replace(
                operator, kind="user", name=f"export as {role}", role=role, rules=grants.rules
            )
        found = await connection.fetchval(_USER, user)
    actor = None if found is None else await platform.directory.user(found)
    if actor is None:
        raise NotFound(text("there is no user with the login {login!r}", login=user))
    return actor


def _condition(given: str | None) -> Any:
    if given is None:
        return None
    try:
        content = Path(given[1:]).read_bytes() if given.startswith("@") else given.encode()
        return msgspec.json.decode(content)
    except OSError as error:
        raise Refused(text("{path} cannot be read: {reason}", path=given[1:], reason=error.strerror or error)) from None
    except (msgspec.DecodeError, UnicodeError):
        raise Refused(text("--condition is no JSON")) from None
