"""Routes that merge customers and undo it."""

from __future__ import annotations

from functools import partial

from zhike import wire
from zhike.access.roles import CUSTOMERS_MERGE, CUSTOMERS_READ
from zhike.api import Call, Page, PageQuery, Route
from zhike.customers import merges, merging, service, unmerge
from zhike.customers.merging import Merged, MergeRequest
from zhike.customers.preview import Preview, preview
from zhike.customers.unmerge import Unmerged, UnmergeRequest
from zhike.orm import Connection
from zhike.work import begin


async def merge_customers(call: Call) -> Merged:
    """Merge customers into one; what cannot be decided is the winner's."""
    request = wire.decode(call.body, call.body_type, MergeRequest)
    async with begin(call.host.platform, origin=call.actor.origin) as work:
        merge_id, done = await merging.merge(work, call.actor, request)
        settling = await _settling(work.connection, done.winner)
    customer = await _shown(call, done.winner)
    return Merged(merge_id=merge_id, customer=customer, loser_ids=done.losers, settling=settling)


async def preview_merge(call: Call) -> Preview:
    """Show what a merge would do, and do nothing."""
    request = wire.decode(call.body, call.body_type, MergeRequest)
    return await preview(call.host.platform, call.actor, request, locale=call.locale)


async def unmerge_customers(call: Call) -> Unmerged:
    """Undo a merge: the losers are customers of their own again, with what came for them since."""
    merge_id = wire.decode(call.body, call.body_type, UnmergeRequest).merge_id
    async with begin(call.host.platform, origin=call.actor.origin) as work:
        winner, losers = await unmerge.unmerge(work, call.actor, merge_id)
        settling = await _settling(work.connection, winner)
    customer = await _shown(call, winner)
    return Unmerged(merge_id=merge_id, customer=customer, loser_ids=losers, settling=settling)


async def list_merges(call: Call, query: PageQuery) -> Page[merges.MergeItem]:
    """List the merges a customer took part in, the latest first."""
    customer_id, key = call.id("customer_id"), call.host.cursor_key
    return await merges.of_customer(call.db, call.actor, customer_id, limit=query.size, cursor=query.cursor, key=key)


async def _shown(call: Call, customer_id: int) -> service.Customer:
    customer = await service.get(call.db, call.actor, customer_id, permission=CUSTOMERS_MERGE)
    return call.host.platform.customer_fields.opened(customer)


async def _settling(connection: Connection, customer_id: int) -> bool:
    settling: bool = await connection.fetchval("SELECT settling FROM customer WHERE id = $1", customer_id)
    return settling


_change = partial(Route, method="POST", permission=CUSTOMERS_MERGE, statuses=(404, 409))

ROUTES = (
    _change(
        path="/customers/merge", handler=merge_customers, summary="Merge customers", body=MergeRequest, answer=Merged
    ),
    _change(
        path="/customers/merge/preview",
        handler=preview_merge,
        summary="What a merge would do",
        body=MergeRequest,
        answer=Preview,
    ),
    _change(
        path="/customers/unmerge",
        handler=unmerge_customers,
        summary="Undo a merge",
        body=UnmergeRequest,
        answer=Unmerged,
    ),
    Route(
        method="GET",
        path="/customers/{customer_id}/merges",
        handler=list_merges,
        permission=CUSTOMERS_READ,
        summary="A customer's merges",
        query=PageQuery,
        answer=Page[merges.MergeItem],
    ),
)
