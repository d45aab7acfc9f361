"""What the core's pages register: the pages themselves, the navigation, and the panels."""

from __future__ import annotations

from collections.abc import Sequence

from zhike.contracts import Job, NavItem, PageRoute, Panel, Picker
from zhike.hooks import hookimpl
from zhike.pages import customer, customers, duplicates, events, home, model, operations, people, tasks

_AREAS = (home, customers, customer, duplicates, tasks, events, operations, people, model)


@hookimpl
def register_pages() -> Sequence[PageRoute]:
    """Register the pages of all areas."""
    return [page for area in _AREAS for page in area.PAGES]


@hookimpl
def register_nav_items() -> Sequence[NavItem]:
    """Register the navigation."""
    return [item for area in _AREAS for item in area.NAV]


@hookimpl
def register_panels() -> Sequence[Panel]:
    """Register the core's own cards on the customer's page and the home page."""
    return [panel for area in _AREAS for panel in area.PANELS]


@hookimpl
def register_pickers() -> Sequence[Picker]:
    """Register what forms of the core and of plugins can be chosen from."""
    return home.PICKERS


@hookimpl
def register_jobs() -> Sequence[Job]:
    """Register the verification of the audit trail."""
    return people.JOBS
