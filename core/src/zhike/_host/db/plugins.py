"""Plugins' migrations and customer rows: each plugin in a transaction of its own, so that none stops the others."""

from __future__ import annotations

from collections.abc import Sequence

from zhike._host.db import migrate
from zhike._host.db.apps import App
from zhike.contracts import CustomerRows
from zhike.errors import Refused
from zhike.i18n import Text, text
from zhike.orm import Connection, Database
from zhike.platform import Problem
from zhike.plugins import rows as customer_rows
from zhike.plugins import service


async def forwards(database: Database, app: App, rows: Sequence[CustomerRows]) -> list[str]:
    """Run the migrations a plugin lacks and record its customer rows; all of it takes effect, or nothing.

    Args:
        database: Where the core's migrations have run.
        app: The plugin's name and the folder of its migrations.
        rows: The customer rows it registers.

    Returns:
        The ids of the migrations that ran.

    Raises:
        Refused: If something is wrong with the files, a migration fails or the declarations do not fit the tables.
        Unavailable: If the database cannot be used.
    """
    async with migrate.alone(database) as connection:
        return await _bring(database, connection, app, rows)


async def rehearse(database: Database, app: App, rows: Sequence[CustomerRows]) -> Problem | None:
    """Say what would go wrong if `forwards` was called, by doing it and taking it back."""
    try:
        async with migrate.alone(database) as connection:
            await _bring(database, connection, app, rows)
            raise _TakeBack
    except _TakeBack:
        return None
    except Refused as refusal:
        return failed(app.name, refusal.message)


class _TakeBack(Exception):
    """Ends a transaction whose effects are not wanted."""


async def _bring(database: Database, connection: Connection, app: App, rows: Sequence[CustomerRows]) -> list[str]:
    _check_names(app)
    ran = await migrate.run_missing(database, connection, [app])
    if wrong := await customer_rows.undeclared(connection, app.name, rows):
        raise Refused(wrong)
    if await customer_rows.declare(connection, app.name, rows) or ran:
        await service.bump(connection)
    return ran


async def unready(connection: Connection, app: App, rows: Sequence[CustomerRows]) -> Problem | None:
    """Say why a plugin cannot run on the database as it is, or return None; changes nothing.

    Args:
        connection: Where the core's migrations have run.
        app: The plugin's name and the folder of its migrations.
        rows: The customer rows it registers.
    """
    try:
        _check_names(app)
        pending = await migrate.pending_on(connection, [app])
    except Refused as refusal:
        return failed(app.name, refusal.message)
    if pending:
        before = (await service.known(connection)).get(app.name)
        problem = before.problem if before else None
        # Why they failed says more; of this stage only `failed` has a hint that names the plugin.
        if problem is not None and problem.stage == "migration" and problem.hint.params:
            return problem
        return _not_migrated(app.name, text("its migrations have not run: {names}", names=", ".join(pending)))
    if wrong := await customer_rows.undeclared(connection, app.name, rows):
        return failed(app.name, wrong)
    declared = sorted((each.table, each.column, each.on_merge, each.on_erase) for each in rows)
    if declared != await customer_rows.recorded(connection, app.name):
        return _not_migrated(app.name, text("its customer rows have changed"))
    return None


def failed(plugin: str, what: Text) -> Problem:
    """Return the problem of a plugin whose migrations or customer rows are refused."""
    hint = text(
        "Install a version without this mistake and run `zhike migrate`, or switch it off with "
        "`zhike plugin disable {plugin}`",
        plugin=plugin,
    )
    return Problem(plugin=plugin, stage="migration", text=what, hint=hint)


def _not_migrated(plugin: str, what: Text) -> Problem:
    return Problem(plugin=plugin, stage="migration", text=what, hint=text("Run `zhike migrate`"))


def _check_names(app: App) -> None:
    if app.misnamed:
        raise Refused(
            text(
                "the migrations of {plugin} hold {files}; expected names such as {plugin}_0001_first.py",
                plugin=app.name,
                files=", ".join(app.misnamed),
            )
        )
