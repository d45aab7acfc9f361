"""What events register: their routes."""

from __future__ import annotations

from collections.abc import Sequence

from zhike.contracts import Route
from zhike.events.api import ROUTES
from zhike.hooks import hookimpl

CLAIMS = ("event",)


@hookimpl
def register_routes() -> Sequence[Route]:
    """Register the API of events."""
    return ROUTES
