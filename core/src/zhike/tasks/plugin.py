"""What tasks register: their event types, routes, job and customer rows."""

from __future__ import annotations

from collections.abc import Sequence

from zhike.contracts import ConditionField, CustomerRows, EventType, Job, Route
from zhike.hooks import hookimpl
from zhike.i18n import text
from zhike.tasks import api, caller, suggest, work_api
from zhike.tasks.facts import EVENT_TYPES
from zhike.tasks.jobs import JOBS

CLAIMS = ("task",)


@hookimpl
def register_event_types() -> Sequence[EventType]:
    """Register what happens to tasks."""
    return EVENT_TYPES


@hookimpl
def register_routes() -> Sequence[Route]:
    """Register the API of tasks."""
    return [route for module in (api, work_api, caller, suggest) for route in module.ROUTES]


@hookimpl
def register_jobs() -> Sequence[Job]:
    """Register reminders."""
    return JOBS


@hookimpl
def register_customer_rows() -> Sequence[CustomerRows]:
    """Register that a task goes with its customer; what belongs to the task follows it by its keys."""
    parts = [CustomerRows(table=table, on_merge="keep") for table in ("task_comment", "task_item")]
    return [CustomerRows(table="task"), *parts]


@hookimpl
def register_condition_fields() -> Sequence[ConditionField]:
    """Register how much is to be done for a customer."""
    changes = ("task.created", "task.completed", "task.cancelled", "task.reopened")
    label = text("Open tasks")
    return [ConditionField(key="tasks.open", label=label, type="number", relation="task_open", changed_by=changes)]
