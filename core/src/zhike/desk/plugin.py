"""What the desk registers: its routes, jobs and schedules, and the core's own bulk actions."""

from __future__ import annotations

from collections.abc import Sequence

from zhike.contracts import BulkAction, Job, Route, Schedule
from zhike.desk import api, bulk, notices, progress, work_api
from zhike.desk.actions import ACTIONS
from zhike.hooks import hookimpl


@hookimpl
def register_routes() -> Sequence[Route]:
    """Register the API of what is at hand for everybody."""
    return [*api.ROUTES, *work_api.ROUTES]


@hookimpl
def register_jobs() -> Sequence[Job]:
    """Register bulk actions, and the forgetting of what is old."""
    return [*bulk.JOBS, *notices.JOBS, *progress.JOBS]


@hookimpl
def register_schedules() -> Sequence[Schedule]:
    """Register when that is forgotten."""
    return [*notices.SCHEDULES, *progress.SCHEDULES]


@hookimpl
def register_bulk_actions() -> Sequence[BulkAction]:
    """Register what the core can do to many customers."""
    return ACTIONS
