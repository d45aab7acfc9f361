"""Routes of purposes, consents, requests of persons and retention."""

from __future__ import annotations

from functools import partial

from zhike.api import Call, Page, PageQuery, Route
from zhike.serving import writing
from zhike_privacy import jobs, service
from zhike_privacy.register import purposes, requests
from zhike_privacy.register.consent import Consent, ConsentsQuery, NewConsent
from zhike_privacy.register.purpose import NewPurpose, Purpose, PurposeChange
from zhike_privacy.register.request import NewRequest, Request, RequestChange, RequestsQuery
from zhike_privacy.schemas import Preview


async def preview_retention(call: Call) -> Preview:
    """Count the events that the next run of the retention job would delete; nothing is changed."""
    return await jobs.preview(call.db)


READ, RECORD, MANAGE = "privacy.read", "privacy.record", "privacy.manage"
_list = partial(Route, method="GET", permission=READ)
_make = partial(writing, plugin="privacy", method="POST")
_change = partial(writing, plugin="privacy", method="PATCH")
_PURPOSES, _CONSENTS, _REQUESTS = "/privacy/purposes", "/privacy/consents", "/privacy/requests"

ROUTES = (
    _list(path=_PURPOSES, handler=purposes.list_purposes, summary="Purposes", query=PageQuery, answer=Page[Purpose]),
    _make(
        purposes.create,
        name="create_purpose",
        path=_PURPOSES,
        permission=MANAGE,
        summary="Make a purpose",
        body=NewPurpose,
        answer=Purpose,
        statuses=(409,),
    ),
    _change(
        purposes.change,
        name="change_purpose",
        path=f"{_PURPOSES}/{{purpose_key}}",
        permission=MANAGE,
        summary="Change a purpose",
        body=PurposeChange,
        answer=Purpose,
    ),
    _list(
        path=_CONSENTS,
        handler=service.list_consents,
        summary="What a customer has consented to",
        query=ConsentsQuery,
        answer=Page[Consent],
        statuses=(404,),
    ),
    _make(
        service.record,
        name="record_consent",
        path=_CONSENTS,
        permission=RECORD,
        summary="Record a consent, or that it was withdrawn",
        body=NewConsent,
        answer=Consent,
        statuses=(404, 409),
    ),
    _list(
        path=_REQUESTS,
        handler=requests.list_person_requests,
        summary="Requests of persons",
        query=RequestsQuery,
        answer=Page[Request],
    ),
    _make(
        requests.create,
        name="create_person_request",
        path=_REQUESTS,
        permission=RECORD,
        summary="Note a request of a person",
        body=NewRequest,
        answer=Request,
        statuses=(404,),
    ),
    _change(
        requests.change,
        name="change_person_request",
        path=f"{_REQUESTS}/{{request_id}}",
        permission=RECORD,
        summary="Change a request of a person",
        body=RequestChange,
        answer=Request,
    ),
    Route(
        method="POST",
        path="/privacy/retention/preview",
        permission=MANAGE,
        handler=preview_retention,
        summary="What retention would delete",
        answer=Preview,
    ),
)
