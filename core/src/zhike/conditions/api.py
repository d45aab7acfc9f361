"""Routes that answer questions about conditions; customers are searched for and changed in bulk by one."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta

from zhike import wire
from zhike.access.roles import CONDITIONS_COUNT, CUSTOMERS_READ, CUSTOMERS_WRITE
from zhike.api import MAX_LIMIT, Call, Id, Page, Route
from zhike.conditions import service
from zhike.conditions.bulk import change_many
from zhike.conditions.catalog import FieldItem, attributes_in_use
from zhike.conditions.decode import decode
from zhike.conditions.explain import Explained
from zhike.conditions.schema import Condition
from zhike.conditions.search import MAX_SORT, search
from zhike.customers.schemas import BulkChange, BulkDone
from zhike.customers.service import Customer

_Sort = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=200)], ...], Meta(max_length=MAX_SORT)]


class CountRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `POST /conditions/count` takes.

    Args:
        condition: The condition.
        at: The instant that counts as now; the present one when absent.
    """

    condition: msgspec.Raw
    at: datetime | None = None


class ExplainRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `POST /conditions/explain` takes.

    Args:
        condition: The condition.
        customer_id: Whom it is about.
        at: The instant that counts as now; the present one when absent.
    """

    condition: msgspec.Raw
    customer_id: Id
    at: datetime | None = None


class SearchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `POST /customers/search` takes.

    Args:
        condition: The condition.
        limit: Entries of a page; more than 1,000 count as 1,000.
        cursor: The `next` of the page before, of the same search.
        sort: Fields of the customer by weight, such as `["-updated_at", "attributes.city"]`; `-` means descending.
            Customers without a value come last, and the id decides between those that are alike.
        at: The instant that counts as now; the present one when absent.
    """

    condition: msgspec.Raw
    limit: Annotated[int, Meta(ge=1)] = 50
    cursor: Annotated[str, Meta(max_length=2000)] | None = None
    sort: _Sort = ()
    at: datetime | None = None


class CountAnswer(msgspec.Struct, frozen=True):
    """How many customers a condition holds for.

    Args:
        count: Customers the caller sees.
    """

    count: int


class FieldsAnswer(msgspec.Struct, frozen=True):
    """What conditions may ask about.

    Args:
        items: The fields.
    """

    items: list[FieldItem]


async def count_condition(call: Call) -> CountAnswer:
    """Count the customers for whom a condition holds, among those the caller sees."""
    request = wire.decode(call.body, call.body_type, CountRequest)
    condition = decode(request.condition, call.body_type)
    return CountAnswer(await service.count(call.host.platform, call.actor, condition, at=request.at))


async def explain_condition(call: Call) -> Explained:
    """Say of every node of a condition whether it holds for a customer, and on which value.

    The id of one who was merged away explains the customer they were merged into.
    """
    request = wire.decode(call.body, call.body_type, ExplainRequest)
    condition = decode(request.condition, call.body_type)
    return await service.explain(call.host.platform, call.actor, condition, request.customer_id, at=request.at)


async def list_fields(call: Call) -> FieldsAnswer:
    """List the fields that conditions may ask about, with the operators that fit them."""
    fields = call.host.platform.fields
    async with call.db.connection() as connection:
        used = await attributes_in_use(connection, call.actor)
    items = fields.listed(call.actor, call.locale)
    return FieldsAnswer(items + [each for each in used if not fields.defined(each.field)])


async def search_customers(call: Call) -> Page[Customer]:
    """List the customers for whom a condition holds, among those the caller sees.

    All pages of a search take the same instant as now: that of the first one.
    """
    request = wire.decode(call.body, call.body_type, SearchRequest)
    return await search(
        call.host.platform,
        call.actor,
        decode(request.condition, call.body_type),
        sort=request.sort,
        limit=min(request.limit, MAX_LIMIT),
        cursor=request.cursor,
        at=request.at,
        key=call.host.cursor_key,
    )


async def change_customers(call: Call) -> BulkDone:
    """Change owner, team or stage of many customers: named ones, or those for whom a condition holds."""
    body = wire.decode(call.body, call.body_type, BulkChange)
    condition = None if body.condition is UNSET else decode(body.condition, call.body_type)
    return await change_many(call.host.platform, call.actor, body, condition)


def _described(request: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """Return a request as its description shows it; it keeps the condition as it came for the decoder with paths."""
    fields = [
        (
            field.name,
            Condition if field.name == "condition" else field.type,
            *(() if field.required else (field.default,)),
        )
        for field in msgspec.structs.fields(request)
    ]
    described = msgspec.defstruct(request.__name__, fields, module=__name__, forbid_unknown_fields=True)
    described.__doc__ = request.__doc__
    return described


_ask = partial(Route, method="POST", permission=CONDITIONS_COUNT, statuses=(429,))
ROUTES = (
    _ask(
        path="/conditions/count",
        handler=count_condition,
        summary="How many customers a condition holds for",
        body=_described(CountRequest),
        answer=CountAnswer,
    ),
    _ask(
        path="/conditions/explain",
        handler=explain_condition,
        summary="Why a condition holds for a customer or not",
        body=_described(ExplainRequest),
        answer=Explained,
        statuses=(404, 429),
    ),
    Route(
        method="GET",
        path="/conditions/fields",
        handler=list_fields,
        permission=CONDITIONS_COUNT,
        summary="Fields that conditions may ask about",
        answer=FieldsAnswer,
    ),
    _ask(
        path="/customers/search",
        handler=search_customers,
        permission=CUSTOMERS_READ,
        summary="Customers for whom a condition holds",
        body=_described(SearchRequest),
        answer=Page[Customer],
    ),
    _ask(
        path="/customers/bulk",
        handler=change_customers,
        permission=CUSTOMERS_WRITE,
        summary="Change many customers",
        body=_described(BulkChange),
        answer=BulkDone,
    ),
)
