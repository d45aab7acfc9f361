"""What the import registers: its command, routes, job and permission."""

from __future__ import annotations

from collections.abc import Sequence

from zhike.contracts import Command, Job, Permission, Route
from zhike.hooks import hookimpl
from zhike.i18n import text
from zhike_imports.api import MANAGE, ROUTES
from zhike_imports.run.undoing import JOBS

CLAIMS = ("import",)


@hookimpl
def register_commands() -> Sequence[Command]:
    """Register `zhike import`."""
    return [Command(name="import", target="zhike_imports.command:import_", summary="Bring a file in, or take it back.")]


@hookimpl
def register_permissions() -> Sequence[Permission]:
    """Register what it takes to see imports and undo them."""
    return [Permission(key=MANAGE, label=text("See and undo imports"))]


@hookimpl
def register_routes() -> Sequence[Route]:
    """Register the API of imports."""
    return ROUTES


@hookimpl
def register_jobs() -> Sequence[Job]:
    """Register the undo."""
    return JOBS
