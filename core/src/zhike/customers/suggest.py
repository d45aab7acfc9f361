"""Customers for the command palette: the few that a handful of typed letters mean."""

from __future__ import annotations

import msgspec

from zhike.api import Call
from zhike.customers import service


class CustomerHit(msgspec.Struct, frozen=True, kw_only=True):
    """A customer who is suggested; what the reader may not see is masked or null.

    Args:
        id: Its id.
        kind: `person` or `company`.
        name: What it is called.
        phone: Its phone number.
        company: Where a person works.
    """

    id: int
    kind: str
    name: str | None
    phone: str | None
    company: str | None


async def suggest(call: Call, q: str, limit: int) -> list[CustomerHit]:
    """Return the newest customers whom a query means, as the search of customers finds them.

    Args:
        call: Who asks.
        q: Name, pinyin, phone, e-mail or any identity.
        limit: Most of them.
    """
    page = await service.list_(call.db, call.actor, q=q, limit=limit)
    opened = call.host.platform.customer_fields.opened
    return [
        CustomerHit(id=each.id, kind=each.kind, name=each.name, phone=each.phone, company=each.company)
        for each in map(opened, page.items)
    ]
