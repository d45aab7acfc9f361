"""What conditions register: their routes."""

from __future__ import annotations

from collections.abc import Sequence

from zhike.conditions.api import ROUTES
from zhike.contracts import Route
from zhike.hooks import hookimpl

CLAIMS = ("condition",)


@hookimpl
def register_routes() -> Sequence[Route]:
    """Register the API of conditions."""
    return ROUTES
