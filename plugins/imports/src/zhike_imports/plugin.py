"""What the import registers: its command, routes, pages, jobs and permission."""

from __future__ import annotations

from collections.abc import Sequence

from zhike.contracts import Command, DemoData, Job, NavItem, PageRoute, Permission, Route, Schedule
from zhike.hooks import hookimpl
from zhike.i18n import text
from zhike_imports.api import ROUTES
from zhike_imports.jobs import JOBS, SCHEDULES
from zhike_imports.pages import NAV, PAGES
from zhike_imports.run import demo
from zhike_imports.schemas import MANAGE

CLAIMS = ("import",)
LABEL = text("Imports")


@hookimpl
def register_commands() -> Sequence[Command]:
    """Register `zhike import`."""
    return [Command(name="import", target="zhike_imports.command:import_", summary="Bring a file in, or take it back.")]


@hookimpl
def register_permissions() -> Sequence[Permission]:
    """Register what it takes to see imports and undo them."""
    return [Permission(key=MANAGE, label=text("Import files, see and undo imports"))]


@hookimpl
def register_routes() -> Sequence[Route]:
    """Register the API of imports."""
    return ROUTES


@hookimpl
def register_pages() -> Sequence[PageRoute]:
    """Register the way from a file to what came of it."""
    return PAGES


@hookimpl
def register_nav_items() -> Sequence[NavItem]:
    """Register imports in the navigation."""
    return NAV


@hookimpl
def register_jobs() -> Sequence[Job]:
    """Register imports in the background, their undo, and clearing away."""
    return JOBS


@hookimpl
def register_schedules() -> Sequence[Schedule]:
    """Register that it is cleared away daily."""
    return SCHEDULES


@hookimpl
def register_demo_data() -> Sequence[DemoData]:
    """Register two imports of the sample company."""
    return [DemoData(key="imports.files", make=demo.make, order=40)]
