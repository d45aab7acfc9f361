"""Merges that took place: the latest ones, those of a customer, and undoing them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from zhike.customers import merges, service, unmerge
from zhike.customers.duplicates import queue
from zhike.customers.duplicates.schemas import PairsQuery
from zhike.errors import Conflict
from zhike.i18n import text
from zhike.pages.duplicates.review import tabs
from zhike.pages.duplicates.sides import name_of
from zhike.pages.tasks.words import who
from zhike.ui import Html, PageCall, Redirect
from zhike.work import begin

_FEW = 5


class MergesQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The address of a list of merges.

    Args:
        cursor: Where the page begins.
    """

    cursor: Annotated[str, Meta(max_length=2000)] | None = None


async def recent(call: PageCall, query: MergesQuery) -> Html:
    """Show the latest merges that somebody chose."""
    page = await merges.chosen(call.db, call.actor, limit=50, cursor=query.cursor, key=call.host.cursor_key)
    counts = await queue.counts(call.db, call.actor)
    items = [{**_told(call, each.merge), "name": each.name} for each in page.items]
    return await call.render(
        "duplicates/merges.html", items=items, older=page.next, path="/duplicates/merges", tabs=tabs(counts, "merged")
    )


async def of_customer(call: PageCall, query: MergesQuery) -> Html:
    """Show the merges that a customer took part in."""
    customer_id = call.id("customer_id")
    customer = await service.get(call.db, call.actor, customer_id)
    page = await _of(call, customer.id, 50, query.cursor)
    return await call.render(
        "duplicates/merges.html",
        items=page.items,
        older=page.next,
        path=f"/customers/{customer.id}/merges",
        tabs=[],
        customer=customer,
        name=name_of(customer),
    )


async def undo(call: PageCall) -> Redirect:
    """Undo a merge."""
    merge_id = call.id("merge_id")
    try:
        async with begin(call.host.platform, origin=call.actor.origin) as work:
            winner, _ = await unmerge.unmerge(work, call.actor, merge_id)
    except Conflict as error:
        if error.code != "unmerged":
            raise
        return call.redirect("/duplicates/merges", toast=error.message)  # a second press does no harm
    return call.redirect(
        f"/customers/{winner}", toast=text("The merge is undone: they are customers of their own again")
    )


async def panel(call: PageCall, customer_id: int) -> dict[str, Any]:
    """Return what the customer's page says of duplicates and merges."""
    wanted = PairsQuery(limit=_FEW, customer_id=customer_id, min_score=0)
    pairs = await queue.list_(call.host.platform, call.actor, wanted, locale=call.locale, key=call.host.cursor_key)
    others = [
        {"id": other.id, "name": name_of(other), "score": pair.score, "reasons": pair.reasons}
        for pair in pairs.items
        for other in pair.customers
        if other.id != customer_id
    ]
    page = await _of(call, customer_id, _FEW, None)
    return {"others": others, "merges": page.items, "more": page.next is not None}


async def _of(call: PageCall, customer_id: int, limit: int, cursor: str | None) -> Any:
    page = await merges.of_customer(
        call.db, call.actor, customer_id, limit=limit, cursor=cursor, key=call.host.cursor_key
    )
    return msgspec.structs.replace(page, items=[_told(call, each) for each in page.items])


def _told(call: PageCall, merge: merges.MergeItem) -> dict[str, Any]:
    by = None if merge.unmerged_by is None else who(call, merge.unmerged_by)
    return {"merge": merge, "by": who(call, merge.origin), "unmerged_by": by}
