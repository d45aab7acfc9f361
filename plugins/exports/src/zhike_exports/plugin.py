"""What the export registers: its command, routes and pages."""

from __future__ import annotations

from collections.abc import Sequence

from zhike.contracts import Command, NavItem, PageRoute, Route
from zhike.hooks import hookimpl
from zhike.i18n import text
from zhike_exports.api import ROUTES
from zhike_exports.pages import NAV, PAGES

CLAIMS = ("export",)
LABEL = text("Exports")


@hookimpl
def register_commands() -> Sequence[Command]:
    """Register `zhike export`."""
    return [Command(name="export", target="zhike_exports.command:export", summary="Hand customers or events out.")]


@hookimpl
def register_routes() -> Sequence[Route]:
    """Register the API of exports."""
    return ROUTES


@hookimpl
def register_pages() -> Sequence[PageRoute]:
    """Register the page of exports."""
    return PAGES


@hookimpl
def register_nav_items() -> Sequence[NavItem]:
    """Register exports in the navigation."""
    return NAV
