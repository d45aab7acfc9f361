"""What customers register: their event types and routes."""

from __future__ import annotations

from collections.abc import Sequence

from zhike.contracts import EventType, Route
from zhike.customers.api import ROUTES
from zhike.hooks import hookimpl
from zhike.i18n import text

CLAIMS = ("customer",)


@hookimpl
def register_event_types() -> Sequence[EventType]:
    """Register what happens to a customer's file."""
    return [
        EventType(name="customer.created", kind="platform", label=text("Customer created")),
        EventType(name="customer.updated", kind="platform", label=text("Customer updated")),
        EventType(name="customer.merged", kind="platform", label=text("Customers merged")),
        EventType(name="customer.history_changed", kind="platform", label=text("Customer history changed")),
    ]


@hookimpl
def register_routes() -> Sequence[Route]:
    """Register the API of customers."""
    return ROUTES
