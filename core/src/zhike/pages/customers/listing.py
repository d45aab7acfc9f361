"""The list of customers: search, filters, a condition, columns of choice, saved views, and picking many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from zhike.access.masking import hidden_fields, masked_fields
from zhike.access.roles import CUSTOMERS_EXPORT, CUSTOMERS_WRITE
from zhike.api import Id, Page
from zhike.conditions.decode import decode
from zhike.conditions.problems import BadCondition
from zhike.conditions.search import search
from zhike.customers.service import Customer, list_
from zhike.i18n import Text, text
from zhike.pages.customers import columns
from zhike.pages.customers.views import offered
from zhike.ui import Html, PageCall
from zhike.ui.tables import Filter, Table, TableAction

if TYPE_CHECKING:
    from zhike.customers.field import Field

PAGE = "customers"
_LIMIT = 50
_SEARCHED = 200
"""Customers whom a search finds are looked at so many at most when they are narrowed further."""


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The list's address.

    Args:
        q: What is searched for.
        kind: Only persons, or only companies.
        stage: Only customers at this stage.
        owner: Only those this user looks after.
        team: Only those of this team.
        condition: Only those for whom it holds, in JSON.
        rule: The same as the builder sends it, in place of the condition that the filters still have.
        sort: What they are ordered by.
        columns: What is shown of them.
        cursor: Where the page begins.
    """

    q: Annotated[str, Meta(max_length=200)] = ""
    kind: Literal["person", "company", ""] = ""
    stage: Annotated[str, Meta(max_length=200)] = ""
    owner: Id | None = None
    team: Id | None = None
    condition: Annotated[str, Meta(max_length=60_000)] = ""
    rule: Annotated[str, Meta(max_length=60_000)] = ""
    sort: Annotated[str, Meta(max_length=200)] = ""
    columns: list[str] = []
    cursor: Annotated[str, Meta(max_length=2000)] | None = None

    @property
    def narrowing(self) -> dict[str, Any]:
        """The condition that all filters make together."""
        fields = {"kind": self.kind, "stage": self.stage, "owner": self.owner, "team": self.team}
        parts: list[Any] = [
            {"type": "field", "field": f"customer.{name}", "op": "eq", "value": value}
            for name, value in fields.items()
            if value not in (None, "")
        ]
        if self.condition:
            try:
                parts.append(msgspec.json.decode(self.condition))
            except (msgspec.DecodeError, RecursionError):
                raise BadCondition(text("The condition is no JSON")) from None
        return {"type": "all", "of": parts}

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters that are set, for links and saved views."""
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value and name != "cursor"}


async def show(call: PageCall, query: ListQuery) -> Html:
    """Show the customers that the reader sees."""
    if query.rule:
        query = msgspec.structs.replace(query, condition=query.rule, rule="")
    fields = (await call.host.platform.customer_fields.renew()).known
    problem = None
    try:
        page = await _find(call, query)
    except BadCondition as error:
        page, problem = Page([], None), error.message
    chosen = columns.chosen(call, query.columns, fields.values())
    table = Table(
        id="customers",
        path="/customers",
        columns=chosen,
        rows=await columns.rows(call, page.items, chosen, fields),
        query=query.parameters,
        sort=query.sort,
        newer="" if query.cursor else None,
        older=page.next,
        filters=_filters(call, fields.get("stage")),
        views=await offered(call, PAGE, "/customers", query.parameters),
        save_view=f"/views/new?page={PAGE}" if call.user_id is not None else "",
        actions=_actions(call),
        takes_all=True,
        export="/exports/customers" if "exports" in call.host.platform.plugins and call.may(CUSTOMERS_EXPORT) else "",
        choose=True,
        empty=_NONE_MATCHES
        if query.condition
        else {
            "icon": "users",
            "title": text("No customers yet"),
            "text": text("Import a file, connect a shop, or make the first customer by hand."),
            "label": text("New customer") if call.may(CUSTOMERS_WRITE) else "",
            "path": "/customers/new",
        },
    )
    status = 200 if problem is None else 422
    return await call.render(
        "customers/list.html", fragment="list", status=status, table=table, query=query, problem=problem
    )


_NONE_MATCHES = {
    "icon": "filter-off",
    "title": text("Nothing matches"),
    "text": text("Change or clear what narrows the list."),
    "label": text("Clear"),
    "path": "/customers",
}


async def _find(call: PageCall, query: ListQuery) -> Page[Customer]:
    key, platform = call.host.cursor_key, call.host.platform
    narrowing = query.narrowing
    if query.q.strip():
        found = await list_(
            call.db, call.actor, q=query.q, limit=_SEARCHED if narrowing["of"] else _LIMIT, cursor=query.cursor, key=key
        )
        items = [platform.customer_fields.opened(each) for each in found.items]
        if not narrowing["of"]:
            return Page(items, found.next)
        kept = await columns.among(call, narrowing, [each.id for each in items])
        return Page([each for each in items if each.id in kept], found.next)
    sort = [query.sort] if query.sort else ["-id"]
    return await search(
        platform,
        call.actor,
        decode(msgspec.Raw(msgspec.json.encode(narrowing)), "json"),
        sort=sort,
        limit=_LIMIT,
        cursor=query.cursor,
        key=key,
    )


def _filters(call: PageCall, stage: Field | None) -> Sequence[Filter]:
    """Return the fields above the list, without those that the reader does not see whole."""
    unseen = masked_fields(call.actor) | hidden_fields(call.actor)
    stages: list[tuple[str, Text | str]] = [
        (choice.key, choice.label or choice.key) for choice in (stage.choices if stage else ()) if not choice.archived
    ]
    kinds: list[tuple[str, Text | str]] = [("person", text("Person")), ("company", text("Company"))]
    found = [
        Filter(name="q", label=text("Search"), placeholder=text("Name, phone, initials, any number")),
        Filter(name="kind", label=text("Person or company"), kind="select", options=kinds),
        Filter(name="stage", label=text("Stage"), kind="select", options=stages),
        Filter(name="owner", label=text("Owner"), kind="user"),
        Filter(name="team", label=text("Team"), kind="team"),
    ]
    return [each for each in found if each.name not in unseen and (each.name != "stage" or stages)]


def _actions(call: PageCall) -> Sequence[TableAction]:
    actions: Mapping[str, Any] = call.host.platform.registry.bulk_actions
    return [
        TableAction(label=each.label, icon=each.icon, path=f"/customers/bulk/{each.key}")
        for each in actions.values()
        if call.may(each.permission)
    ]
