"""What access registers: the core's permissions, and its routes."""

from __future__ import annotations

from collections.abc import Sequence

from zhike.access import pages, roles_api, session_api, teams_api, tokens_api, trail, users_api
from zhike.access.heads import JOBS, SCHEDULES
from zhike.access.roles import PERMISSION_LABELS, ROLES
from zhike.contracts import Job, PageRoute, Permission, Route, Schedule
from zhike.hooks import hookimpl


@hookimpl
def register_permissions() -> Sequence[Permission]:
    """Register what the core's own routes and commands need."""
    return [
        Permission(key=key, label=label, roles=tuple(role for role, granted in ROLES.items() if key in granted))
        for key, label in PERMISSION_LABELS.items()
    ]


@hookimpl
def register_routes() -> Sequence[Route]:
    """Register the routes that manage who may do what, and those of logins."""
    modules = (users_api, teams_api, roles_api, tokens_api, session_api, trail)
    return [route for module in modules for route in module.ROUTES]


@hookimpl
def register_pages() -> Sequence[PageRoute]:
    """Register the pages of logging in and out."""
    return pages.PAGES


@hookimpl
def register_jobs() -> Sequence[Job]:
    """Register the export of the audit trail's head."""
    return JOBS


@hookimpl
def register_schedules() -> Sequence[Schedule]:
    """Register that it is done daily."""
    return SCHEDULES
