"""Routes by which duplicates are reviewed."""

from __future__ import annotations

from functools import partial

import msgspec

from zhike import wire
from zhike.access import audit
from zhike.access.roles import CUSTOMERS_MERGE
from zhike.api import Call, Page, Route
from zhike.customers.duplicates import deciding, detect, queue
from zhike.customers.duplicates.schemas import Acceptance, Accepted, Counts, Decided, Decision, Pair, PairsQuery
from zhike.errors import Forbidden
from zhike.i18n import text
from zhike.work import begin


class Asked(msgspec.Struct, frozen=True):
    """That all customers are going to be compared.

    Args:
        scan: Always true.
    """

    scan: bool = True


async def list_pairs(call: Call, query: PairsQuery) -> Page[Pair]:
    """List pairs of customers who may be one, the surest first."""
    platform = call.host.platform
    return await queue.list_(platform, call.actor, query, locale=call.locale, key=call.host.cursor_key)


async def count_pairs(call: Call) -> Counts:
    """Count the pairs, and say how far the search is."""
    return await queue.counts(call.db, call.actor)


async def decide_pair(call: Call) -> Decided:
    """Merge two customers, say that they are two, or put it off."""
    decision = wire.decode(call.body, call.body_type, Decision)
    return await deciding.decide(call.host.platform, call.actor, call.id("candidate_id"), decision)


async def accept_pairs(call: Call) -> Accepted:
    """Merge the surest pairs at once; without `expected`, say how many they are."""
    return await deciding.accept(call.host.platform, call.actor, wire.decode(call.body, call.body_type, Acceptance))


async def scan_customers(call: Call) -> Asked:
    """Have all customers compared anew, in the background."""
    if call.actor.scope(CUSTOMERS_MERGE) != "all":
        raise Forbidden(text("Only who may merge all customers can have all compared"), code="scope")
    async with begin(call.host.platform, origin=call.actor.origin) as work:
        work.enqueue(detect.JOB, detect.Detection(scan=True), key="scan")
        await audit.record(work.connection, call.actor, "customer.scan", "customer", {})
    return Asked()


_change = partial(Route, method="POST", permission=CUSTOMERS_MERGE)
_list = partial(Route, method="GET", permission=CUSTOMERS_MERGE)

ROUTES = (
    _list(
        path="/customers/duplicates",
        handler=list_pairs,
        summary="Customers who may be one",
        query=PairsQuery,
        answer=Page[Pair],
    ),
    _list(path="/customers/duplicates/counts", handler=count_pairs, summary="How many may be one", answer=Counts),
    _change(
        path="/customers/duplicates/{candidate_id}/decide",
        handler=decide_pair,
        summary="Decide on two customers who may be one",
        body=Decision,
        answer=Decided,
        places={"candidate_id": "The pair's id"},
        statuses=(404, 409),
    ),
    _change(
        path="/customers/duplicates/accept",
        handler=accept_pairs,
        summary="Merge the surest pairs",
        body=Acceptance,
        answer=Accepted,
        statuses=(409,),
    ),
    _change(
        path="/customers/duplicates/scan",
        handler=scan_customers,
        summary="Compare all customers",
        answer=Asked,
    ),
)
