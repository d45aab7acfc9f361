"""What files register: their route and page, the permission to ask for any, their customer rows and their end."""

from __future__ import annotations

from collections.abc import Sequence

from zhike.access.roles import ROLES
from zhike.contracts import CustomerRows, Job, PageRoute, Permission, Route, Schedule
from zhike.files.api import FILES_READ, PAGES, ROUTES
from zhike.files.jobs import JOBS, SCHEDULES
from zhike.hooks import hookimpl
from zhike.i18n import text

CLAIMS = ("file",)


@hookimpl
def register_permissions() -> Sequence[Permission]:
    """Register what everybody holds who may read some file: each has a permission of its own besides."""
    return [Permission(key=FILES_READ, label=text("Open files"), roles=tuple(ROLES))]


@hookimpl
def register_routes() -> Sequence[Route]:
    """Register the route of files."""
    return ROUTES


@hookimpl
def register_pages() -> Sequence[PageRoute]:
    """Register the page of files."""
    return PAGES


@hookimpl
def register_customer_rows() -> Sequence[CustomerRows]:
    """Register that a file goes with its customer."""
    return [CustomerRows(table="file")]


@hookimpl
def register_jobs() -> Sequence[Job]:
    """Register the deletion of what has expired."""
    return JOBS


@hookimpl
def register_schedules() -> Sequence[Schedule]:
    """Register that it is done every hour."""
    return SCHEDULES
