"""Routes that erase a customer and hand out the copy of what is stored about one."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from zhike import wire
from zhike.access.roles import CUSTOMERS_ERASE, CUSTOMERS_EXPORT
from zhike.api import Call, Page, PageQuery, Route, Stream
from zhike.customers import erase, person_export
from zhike.customers.erase import Erasure
from zhike.work import begin


class EraseRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `DELETE /customers/{customer_id}` may say.

    Args:
        reason: Why, such as the number of a letter; it stays, so that it should name nobody.
    """

    reason: Annotated[str, Meta(min_length=1, max_length=500, pattern=r"\A[^\x00]*\Z")] | None = None


class EraseAnswer(msgspec.Struct, frozen=True):
    """Where to look how an erasure gets on.

    Args:
        request_id: The erasure's id.
    """

    request_id: int


async def erase_customer(call: Call) -> EraseAnswer:
    """Erase a customer with all who were merged into it: unseen from now on; what is stored is deleted by jobs."""
    customer_id = call.id("customer_id")
    reason = wire.decode(call.body, call.body_type, EraseRequest).reason if call.body else None
    async with begin(call.host.platform, origin=call.actor.origin) as work:
        number = await erase.request(work, call.actor, customer_id, reason)
    return EraseAnswer(number)


async def list_erasures(call: Call, query: PageQuery) -> Page[Erasure]:
    """List erasures, the newest first; those of others only for whoever may erase everybody."""
    return await erase.list_(call.db, call.actor, query, call.locale, call.host.cursor_key)


async def read_erasure(call: Call) -> Erasure:
    """Show how far an erasure is, and what blocks it."""
    return await erase.get(call.db, call.actor, call.id("erasure_id"), call.locale)


async def export_customer(call: Call) -> Stream:
    """Hand out a copy of all that is stored about a customer."""
    return await person_export.export(call.host.platform, call.actor, call.id("customer_id"))


_show = partial(Route, method="GET", permission=CUSTOMERS_ERASE)

ROUTES = (
    Route(
        method="DELETE",
        path="/customers/{customer_id}",
        handler=erase_customer,
        permission=CUSTOMERS_ERASE,
        summary="Erase a customer",
        body=EraseRequest,
        answer=EraseAnswer,
        status=202,
    ),
    _show(path="/customers/erasures", handler=list_erasures, summary="Erasures", query=PageQuery, answer=Page[Erasure]),
    _show(
        path="/customers/erasures/{erasure_id}",
        handler=read_erasure,
        summary="One erasure",
        answer=Erasure,
        places={"erasure_id": "The erasure's id: `request_id` of the answer to its request"},
    ),
    Route(
        method="GET",
        path="/customers/{customer_id}/export",
        handler=export_customer,
        permission=CUSTOMERS_EXPORT,
        summary="Copy of what is stored about a customer",
        answer=dict[str, Any],
    ),
)
