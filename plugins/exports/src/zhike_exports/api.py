"""Routes that hand out customers and events."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

from zhike import clock, wire
from zhike.access.roles import CUSTOMERS_EXPORT
from zhike.api import Call, Route, Stream
from zhike_exports import service
from zhike_exports.schemas import Exported, Kind, Wanted, WantedQuery

_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/jsonl",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


async def handed_out(call: Call, kind: Kind, wanted: Wanted) -> Stream:
    """Return an export as an answer; what is wrong with it is raised before anything is sent."""
    pieces = service.export(call.host.platform, call.actor, kind, wanted, Exported())
    first = await anext(pieces)  # what is wrong is answered as an error, before anything is sent

    async def all_() -> Any:
        async with aclosing(pieces):
            yield first
            async for piece in pieces:
                yield piece

    day = clock.now().astimezone(call.settings.zone).date().isoformat()
    return Stream(all_(), _TYPES[wanted.format], f"{kind}-{day}.{wanted.format}")


async def export_customers(call: Call, query: WantedQuery) -> Stream:
    """Hand out all customers."""
    return await handed_out(call, "customers", Wanted(format=query.format))


async def export_events(call: Call, query: WantedQuery) -> Stream:
    """Hand out all behaviours."""
    return await handed_out(call, "events", Wanted(format=query.format))


async def export_some_customers(call: Call) -> Stream:
    """Hand out the customers for whom a condition holds."""
    return await handed_out(call, "customers", wire.decode(call.body, call.body_type, Wanted))


async def export_some_events(call: Call) -> Stream:
    """Hand out the behaviours of the customers for whom a condition holds."""
    return await handed_out(call, "events", wire.decode(call.body, call.body_type, Wanted))


ROUTES = (
    Route(
        method="GET",
        path="/exports/customers",
        handler=export_customers,
        permission=CUSTOMERS_EXPORT,
        summary="All customers as a file",
        query=WantedQuery,
        answer=str,
    ),
    Route(
        method="GET",
        path="/exports/events",
        handler=export_events,
        permission=CUSTOMERS_EXPORT,
        summary="All behaviours as a file",
        query=WantedQuery,
        answer=str,
    ),
    Route(
        method="POST",
        path="/exports/customers",
        handler=export_some_customers,
        permission=CUSTOMERS_EXPORT,
        summary="Customers for whom a condition holds, as a file",
        body=Wanted,
        answer=str,
    ),
    Route(
        method="POST",
        path="/exports/events",
        handler=export_some_events,
        permission=CUSTOMERS_EXPORT,
        summary="Behaviours of customers for whom a condition holds, as a file",
        body=Wanted,
        answer=str,
    ),
)
