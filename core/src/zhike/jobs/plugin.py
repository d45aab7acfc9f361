"""What jobs register: their routes."""

from __future__ import annotations

from collections.abc import Sequence

from zhike.contracts import Route
from zhike.hooks import hookimpl
from zhike.jobs.api import ROUTES

CLAIMS = ("job", "schedule")


@hookimpl
def register_routes() -> Sequence[Route]:
    """Register the API of jobs and schedules."""
    return ROUTES
