"""What conditions register: their routes and job."""

from __future__ import annotations

from collections.abc import Sequence

from zhike.conditions.api import ROUTES
from zhike.conditions.bulk import JOBS
from zhike.contracts import Job, Route
from zhike.hooks import hookimpl

CLAIMS = ("condition",)


@hookimpl
def register_routes() -> Sequence[Route]:
    """Register the API of conditions."""
    return ROUTES


@hookimpl
def register_jobs() -> Sequence[Job]:
    """Register the changing of more customers than can be changed at once."""
    return JOBS
