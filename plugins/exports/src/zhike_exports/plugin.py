"""What the export registers: its command and routes."""

from __future__ import annotations

from collections.abc import Sequence

from zhike.contracts import Command, Route
from zhike.hooks import hookimpl
from zhike_exports.api import ROUTES

CLAIMS = ("export",)


@hookimpl
def register_commands() -> Sequence[Command]:
    """Register `zhike export`."""
    return [Command(name="export", target="zhike_exports.command:export", summary="Hand customers or events out.")]


@hookimpl
def register_routes() -> Sequence[Route]:
    """Register the API of exports."""
    return ROUTES
