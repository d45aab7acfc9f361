"""What plugins register themselves: the routes that show and switch them."""

from __future__ import annotations

from collections.abc import Sequence

from zhike.contracts import Route
from zhike.hooks import hookimpl
from zhike.plugins.api import ROUTES


@hookimpl
def register_routes() -> Sequence[Route]:
    """Register the API of plugins."""
    return ROUTES
