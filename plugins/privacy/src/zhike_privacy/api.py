"""Routes of purposes, consents, requests of persons and retention."""

from __future__ import annotations

from functools import partial

from zhike import wire
from zhike.api import Call, Page, PageQuery, Route
from zhike.work import begin
from zhike_privacy import jobs, service
from zhike_privacy.register import purposes, requests
from zhike_privacy.register.consent import Consent, ConsentsQuery, NewConsent
from zhike_privacy.register.purpose import NewPurpose, Purpose, PurposeChange
from zhike_privacy.register.request import NewRequest, Request, RequestChange, RequestsQuery
from zhike_privacy.schemas import Preview

_begin = partial(begin, plugin="privacy")


async def list_purposes(call: Call, query: PageQuery) -> Page[Purpose]:
    """List purposes, by key."""
    return await purposes.list_(call.db, query, call.host.cursor_key)


async def create_purpose(call: Call) -> Purpose:
    """Make a purpose."""
    new = wire.decode(call.body, call.body_type, NewPurpose)
    async with _begin(call.host.platform, origin=call.actor.origin) as work:
        return await purposes.create(work, call.actor, new)


async def change_purpose(call: Call) -> Purpose:
    """Change a purpose; a new text becomes its newest version."""
    changed = wire.decode(call.body, call.body_type, PurposeChange)
    async with _begin(call.host.platform, origin=call.actor.origin) as work:
        return await purposes.change(work, call.actor, call.path["purpose_key"], changed)


async def list_consents(call: Call, query: ConsentsQuery) -> Page[Consent]:
    """List what a customer has said about purposes, the latest record first."""
    return await service.list_(call.db, call.actor, query, call.host.cursor_key)


async def record_consent(call: Call) -> Consent:
    """Record a consent or, with `granted` false, that one was withdrawn."""
    new = wire.decode(call.body, call.body_type, NewConsent)
    async with _begin(call.host.platform, origin=call.actor.origin) as work:
        return await service.record(work, call.actor, new)


async def list_person_requests(call: Call, query: RequestsQuery) -> Page[Request]:
    """List what persons have asked for, the newest first."""
    return await requests.list_(call.db, call.actor, query, call.host.cursor_key)


async def create_person_request(call: Call) -> Request:
    """Note what a person has asked for."""
    new = wire.decode(call.body, call.body_type, NewRequest)
    async with _begin(call.host.platform, origin=call.actor.origin) as work:
        return await requests.create(work, call.actor, new)


async def change_person_request(call: Call) -> Request:
    """Note what has become of a request."""
    request_id, changed = call.id("request_id"), wire.decode(call.body, call.body_type, RequestChange)
    async with _begin(call.host.platform, origin=call.actor.origin) as work:
        return await requests.change(work, call.actor, request_id, changed)


async def preview_retention(call: Call) -> Preview:
    """Count the events that the next run of the retention job would delete; nothing is changed."""
    return await jobs.preview(call.db)


READ, RECORD, MANAGE = "privacy.read", "privacy.record", "privacy.manage"
_list = partial(Route, method="GET", permission=READ)
_record = partial(Route, method="POST", permission=RECORD)
_change = partial(Route, method="PATCH")
_manage = partial(Route, method="POST", permission=MANAGE)
_PURPOSES, _CONSENTS, _REQUESTS = "/privacy/purposes", "/privacy/consents", "/privacy/requests"

ROUTES = (
    _list(path=_PURPOSES, handler=list_purposes, summary="Purposes", query=PageQuery, answer=Page[Purpose]),
    _manage(
        path=_PURPOSES,
        handler=create_purpose,
        summary="Make a purpose",
        body=NewPurpose,
        answer=Purpose,
        statuses=(409,),
    ),
    _change(
        path=f"{_PURPOSES}/{{purpose_key}}",
        permission=MANAGE,
        handler=change_purpose,
        summary="Change a purpose",
        body=PurposeChange,
        answer=Purpose,
        places={"purpose_key": "The purpose's key"},
    ),
    _list(
        path=_CONSENTS,
        handler=list_consents,
        summary="What a customer has consented to",
        query=ConsentsQuery,
        answer=Page[Consent],
        statuses=(404,),
    ),
    _record(
        path=_CONSENTS,
        handler=record_consent,
        summary="Record a consent, or that it was withdrawn",
        body=NewConsent,
        answer=Consent,
        statuses=(404, 409),
    ),
    _list(
        path=_REQUESTS,
        handler=list_person_requests,
        summary="Requests of persons",
        query=RequestsQuery,
        answer=Page[Request],
    ),
    _record(
        path=_REQUESTS,
        handler=create_person_request,
        summary="Note a request of a person",
        body=NewRequest,
        answer=Request,
        statuses=(404,),
    ),
    _change(
        path=f"{_REQUESTS}/{{request_id}}",
        permission=RECORD,
        handler=change_person_request,
        summary="Change a request of a person",
        body=RequestChange,
        answer=Request,
        places={"request_id": "The request's id"},
    ),
    _manage(
        path="/privacy/retention/preview",
        handler=preview_retention,
        summary="What retention would delete",
        answer=Preview,
    ),
)
