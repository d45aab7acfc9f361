"""What calendars register: their routes."""

from __future__ import annotations

from collections.abc import Sequence

from zhike.calendar.api import ROUTES
from zhike.contracts import Route
from zhike.hooks import hookimpl

CLAIMS = ("calendar",)


@hookimpl
def register_routes() -> Sequence[Route]:
    """Register the API of calendars."""
    return ROUTES
