"""What customers register: their event types and routes."""

from __future__ import annotations

from collections.abc import Sequence

from zhike.contracts import CustomerRows, EventType, Job, Route, Schedule
from zhike.customers import api, erase_api, erasing, field_api, merge_api, relation_api, reveal, settling, write_api
from zhike.customers.duplicates import api as duplicates_api
from zhike.customers.duplicates import detect
from zhike.customers.facts import MERGES, RELATIONS
from zhike.customers.search import refill
from zhike.hooks import hookimpl
from zhike.i18n import text

CLAIMS = ("customer",)


@hookimpl
def register_event_types() -> Sequence[EventType]:
    """Register what happens to a customer's file."""
    return [
        EventType(name="customer.created", kind="platform", label=text("Customer created")),
        EventType(name="customer.updated", kind="platform", label=text("Customer updated")),
        *MERGES,
        *RELATIONS,
    ]


@hookimpl
def register_routes() -> Sequence[Route]:
    """Register the API of customers."""
    modules = (api, field_api, write_api, relation_api, erase_api, merge_api, duplicates_api, reveal)
    return [route for module in modules for route in module.ROUTES]


@hookimpl
def register_customer_rows() -> Sequence[CustomerRows]:
    """Register what goes with a customer; the migration records the same."""
    return [
        CustomerRows(table="customer_stage", on_merge="keep"),
        CustomerRows(table="customer_relation"),
        CustomerRows(table="customer_relation", column="other_customer_id"),
    ]


@hookimpl
def register_jobs() -> Sequence[Job]:
    """Register indexing for search, erasing, what merges leave to do, and the search for duplicates."""
    return [*refill.JOBS, *erasing.JOBS, *settling.JOBS, *detect.JOBS]


@hookimpl
def register_schedules() -> Sequence[Schedule]:
    """Register that duplicates are looked for."""
    return detect.SCHEDULES
