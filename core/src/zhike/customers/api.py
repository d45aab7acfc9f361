"""Routes that show customers."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from zhike.access.roles import CUSTOMERS_READ
from zhike.api import Call, Page, PageQuery, Route
from zhike.customers import service


class CustomersQuery(PageQuery, frozen=True, kw_only=True):
    """The query parameters of `GET /customers`.

    Args:
        q: An identity's value, such as a phone number in any form.
        limit: Entries of a page; more than 1,000 count as 1,000.
        cursor: The `next` of the page before.
    """

    q: Annotated[str, Meta(max_length=200, description="An identity's value, such as a phone number")] | None = None


async def list_customers(call: Call, query: CustomersQuery) -> Page[service.Customer]:
    """List customers, the newest first, or those with an identity."""
    key = call.host.cursor_key
    page = await service.list_(call.db, call.actor, q=query.q, limit=query.size, cursor=query.cursor, key=key)
    fields = call.host.platform.customer_fields
    return Page([fields.opened(each) for each in page.items], page.next)


async def read_customer(call: Call) -> service.Customer:
    """Show one customer; the id of one who was merged away shows the customer they were merged into."""
    customer = await service.get(call.db, call.actor, call.id("customer_id"))
    return call.host.platform.customer_fields.opened(customer)


ROUTES = (
    Route(
        method="GET",
        path="/customers",
        handler=list_customers,
        permission=CUSTOMERS_READ,
        summary="Customers",
        query=CustomersQuery,
        answer=Page[service.Customer],
    ),
    Route(
        method="GET",
        path="/customers/{customer_id}",
        handler=read_customer,
        permission=CUSTOMERS_READ,
        summary="One customer",
        answer=service.Customer,
    ),
)
