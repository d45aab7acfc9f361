"""Who calls: the page that a softphone opens with a number, with what the customer did last."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from zhike.access.roles import EVENTS_READ
from zhike.errors import BadRequest
from zhike.events.telling import Told, label_of, told
from zhike.pages.tasks.words import called, shown
from zhike.tasks.caller import Caller, LookupQuery, caller
from zhike.ui import Html, PageCall

_CHINA = "86"
_LONGEST_LOCAL = 11


class PopQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The page's address.

    Args:
        phone: The caller's number in any form.
    """

    phone: Annotated[str, Meta(max_length=100)] = ""


async def show(call: PageCall, query: PopQuery) -> Html:
    """Show who calls."""
    phone = _dialled(query.phone)
    if not phone:
        return await _page(call, phone)
    try:
        found = await caller(call, LookupQuery(phone=phone))
    except BadRequest as error:
        return await _page(call, phone, status=error.status, problem=error.message)
    return await _page(call, phone, **await _names(call, found))


def _dialled(given: str) -> str:
    """Return a number as it was dialled: the plus of +86, left as it is in an address, arrives as a blank."""
    digits = "".join(each for each in given if each.isascii() and each.isdigit())
    foreign = given.startswith(" ") and digits.startswith(_CHINA) and len(digits) > _LONGEST_LOCAL
    return f"+{given.strip()}" if foreign else given.strip()


async def _names(call: PageCall, found: Caller) -> dict[str, Any]:
    registry = call.host.platform.registry
    customer = found.customers[0] if len(found.customers) == 1 else None
    recent = told(registry, found.recent, call.locale)
    figures = [(label_of(registry, each.name, call.locale), each) for each in found.figures]
    fields = (await call.host.platform.customer_fields.renew()).known
    labels = {each.key: each.label for each in (fields["stage"].choices if "stage" in fields else ())}
    return {
        "found": found,
        "customer": customer,
        "name": called(customer),
        "stage": labels.get(customer.stage or "", customer.stage) if customer else None,
        "people": [(called(each), each) for each in found.customers],
        "browsing": [_entry(each) for each in recent if each.event.amount is None],
        "orders": [_entry(each) for each in recent if each.event.amount is not None],
        "figures": figures,
        "lines": await shown(call, found.tasks),
        "sees_events": call.may(EVENTS_READ),
    }


def _entry(each: Told) -> dict[str, Any]:
    paid = each.event.amount is not None
    return {
        "at": each.event.occurred_at,
        "icon": "shopping-cart" if paid else "eye",
        "color": "green" if paid else "blue",
        "title": each.label,
        "text": each.summary,
        "event": each.event,
    }


async def _page(call: PageCall, phone: str, status: int = 200, **names: Any) -> Html:
    given = {"found": None, "problem": None, **names}
    return await call.render("tasks/lookup.html", fragment="answer", status=status, phone=phone, **given)
