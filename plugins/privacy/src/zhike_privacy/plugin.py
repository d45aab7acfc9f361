"""What privacy registers: its routes, permissions, event types, condition field, jobs, customer rows and duties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from zhike.contracts import ConditionField, CustomerRows, DemoData, EventType, Job, Permission, Route, Schedule
from zhike.hooks import hookimpl
from zhike.i18n import text
from zhike.work import Work
from zhike_privacy import api, jobs, service
from zhike_privacy.register import demo
from zhike_privacy.register.consent import ConsentFacts
from zhike_privacy.register.request import RequestFacts

CLAIMS = ("consent", "purpose")
LABEL = text("Privacy")


@hookimpl
def register_routes() -> Sequence[Route]:
    """Register the API of privacy."""
    return api.ROUTES


@hookimpl
def register_permissions() -> Sequence[Permission]:
    """Register who may see consents, record them, and say what they are for."""
    staff = ("manager", "agent")
    return [
        Permission(key=api.READ, label=text("See consents and requests of persons"), roles=staff),
        Permission(key=api.RECORD, label=text("Record consents and requests of persons"), roles=staff),
        Permission(key=api.MANAGE, label=text("Manage purposes and retention")),
    ]


@hookimpl
def register_event_types() -> Sequence[EventType]:
    """Register what happens to consents and requests."""
    consent = partial(EventType, kind="platform", payload=ConsentFacts)
    request = partial(EventType, kind="platform", payload=RequestFacts)
    return [
        consent(name="consent.granted", label=text("Consent given")),
        consent(name="consent.withdrawn", label=text("Consent withdrawn")),
        request(name="privacy.request_opened", label=text("Request of a person came")),
        request(name="privacy.request_closed", label=text("Request of a person answered")),
    ]


@hookimpl
def register_condition_fields() -> Sequence[ConditionField]:
    """Register the purposes that a customer has consented to."""
    return [
        ConditionField(
            key="consent",
            label=text("Consents"),
            type="text",
            relation="privacy_granted",
            changed_by=("consent.granted", "consent.withdrawn"),
            many=True,
            history=True,
        )
    ]


@hookimpl
def register_jobs() -> Sequence[Job]:
    """Register the deletion of events that are kept no longer."""
    return jobs.JOBS


@hookimpl
def register_schedules() -> Sequence[Schedule]:
    """Register that this happens every night."""
    return jobs.SCHEDULES


@hookimpl
def register_customer_rows() -> Sequence[CustomerRows]:
    """Register that consents and requests go with their customer; of those erased, hashes and dates stay."""
    return [
        CustomerRows(table="privacy_consent", on_erase="hook"),
        CustomerRows(table="privacy_request", on_erase="hook"),
    ]


@hookimpl
def register_demo_data() -> Sequence[DemoData]:
    """Register what the customers of the sample company have agreed to."""
    return [DemoData(key="privacy.consents", make=demo.make, order=30)]


@hookimpl
async def erase_customer_data(customer_ids: Sequence[int], work: Work) -> None:
    """Forget what erased customers have said, but for the hashes of what proves it."""
    await service.erase(customer_ids, work)


@hookimpl
async def export_customer_data(customer_id: int, work: Work) -> Mapping[str, object]:
    """Show what a customer has said in words they can read."""
    return await service.export(customer_id, work)
