"""What consumers register: their routes."""

from __future__ import annotations

from collections.abc import Sequence

from zhike.consumers.api import ROUTES
from zhike.contracts import Route
from zhike.hooks import hookimpl

CLAIMS = ("consumer", "deadletters")


@hookimpl
def register_routes() -> Sequence[Route]:
    """Register the API of consumers and dead letters."""
    return ROUTES
