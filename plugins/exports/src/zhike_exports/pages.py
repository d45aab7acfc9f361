"""The page of exports: who, what of them, in which format; how many rows that is, and what is masked in it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import msgspec
from msgspec import Meta

from zhike.access.masking import field_of, hidden_fields, masked_fields
from zhike.access.roles import CUSTOMERS_EXPORT, EVENTS_READ
from zhike.api import Id, Stream
from zhike.contracts import NavItem, PageRoute
from zhike.customers.field import BUILT_IN, Field
from zhike.customers.identities import LABELS as IDENTITIES
from zhike.errors import BadRequest, NotFound, ZhikeError
from zhike.i18n import Text, text
from zhike.ui import Html, PageCall, Redirect
from zhike_exports import service
from zhike_exports.api import handed_out
from zhike_exports.schemas import Format, Kind, Wanted

_DAY = timedelta(days=1)
_Short = Annotated[str, Meta(max_length=200)]
_LABELS: Mapping[str, Text] = {
    **BUILT_IN,
    "zhike_id": text("Zhike's own id"),
    "owner": text("Owner"),
    "team": text("Team"),
    "created_at": text("First seen"),
    "updated_at": text("Last changed"),
    "identity:phone": text("Phone, as an identity"),
    "identity:email": text("E-mail, as an identity"),
}
_EVENT_LABELS: Mapping[str, Text] = {
    "name": text("Event"),
    "message_id": text("Number of the event"),
    "occurred_at": text("When it happened"),
    "amount": text("Amount"),
    "currency": text("Currency"),
    "source": text("Source"),
    "properties": text("Properties"),
}


class ExportQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The page's address; the list of customers leads here with its own parameters.

    Args:
        q: Only customers whom this search finds.
        kind: Only persons, or only companies.
        stage: Only customers at this stage.
        owner: Only those this user looks after.
        team: Only those of this team.
        condition: Only those for whom it holds, in JSON.
        columns: What the list shows of them.
        fields: The columns of the file; all without any.
        format: What the file is.
        since_from: From this day on, in the deployment's zone.
        since_to: Up to this day.
    """

    q: _Short = ""
    kind: Literal["person", "company", ""] = ""
    stage: _Short = ""
    owner: Id | None = None
    team: Id | None = None
    condition: Annotated[str, Meta(max_length=60_000)] = ""
    columns: list[str] = []
    fields: list[_Short] = []
    format: Format = "csv"
    since_from: date | None = None
    since_to: date | None = None

    def wanted(self) -> Wanted:
        """Return the same as the service takes it; raises `BadRequest` if the condition is no JSON."""
        said = {"kind": self.kind, "stage": self.stage, "owner": self.owner, "team": self.team}
        parts: list[Any] = [
            {"type": "field", "field": f"customer.{name}", "op": "eq", "value": value}
            for name, value in said.items()
            if value not in (None, "")
        ]
        if self.condition:
            try:
                parts.append(msgspec.json.decode(self.condition))
            except (msgspec.DecodeError, RecursionError):
                raise BadRequest(text("The condition is no JSON")) from None
        parts = [part for part in parts if part != {"type": "all", "of": []}]
        return Wanted(
            format=self.format,
            condition={"type": "all", "of": parts} if parts else None,
            q=self.q.strip(),
            fields=() if self.format == "jsonl" else tuple(self.chosen),
            since=_midnight(self.since_from),
            until=_midnight(self.since_to and min(self.since_to, date.max - _DAY) + _DAY),
        )

    @property
    def chosen(self) -> list[str]:
        """The columns of the file: those that are said, else those that the list shows and an export has too."""
        own = [name.replace("attributes.", "attribute:", 1) for name in self.columns]
        return self.fields or [name for name in own if name in _LABELS or name.startswith("attribute:")]

    @property
    def parameters(self) -> dict[str, Any]:
        """What is set, for links."""
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value not in (None, "", [])}


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, time())


async def begin(call: PageCall) -> Redirect:
    """Go on to what is exported most."""
    return call.redirect("/exports/customers")


async def show(call: PageCall, query: ExportQuery) -> Html:
    """Show what can be chosen, and what would be exported."""
    kind = _kind(call)
    fields = (await call.host.platform.customer_fields.renew()).known
    names = await service.offered(call.host.platform, call.actor, kind)
    labels = _EVENT_LABELS if kind == "events" else _LABELS
    masked = masked_fields(call.actor) - hidden_fields(call.actor)
    options = [(name, _label(name, labels, fields)) for name in names]
    chosen = [name for name in query.chosen if name in names] or names
    asked = f"?{urlencode(query.parameters, doseq=True)}" if query.parameters else ""
    path = f"/exports/{kind}"
    problem, rows = None, None
    try:
        wanted = query.wanted()
        if call.target == "export-count":
            rows = await service.count(call.host.platform, call.actor, kind, wanted)
    except ZhikeError as error:
        problem = error.message
    return await call.render(
        "exports/show.html",
        fragment="count" if call.target == "export-count" else "summary",
        status=200 if problem is None or call.fragment else 422,
        kind=kind,
        query=query,
        options=options,
        masked=[label for name, label in options if _field(name) in masked and name in chosen],
        hidden=[_label(name, labels, fields) for name in sorted(hidden_fields(call.actor))],
        problem=problem,
        rows=rows,
        path=path,
        count_path=path + asked,
        file_path=f"{path}/file{asked}",
        narrowed=_narrowed(query),
    )


async def download(call: PageCall, query: ExportQuery) -> Stream:
    """Hand the file out."""
    return await handed_out(call, _kind(call), query.wanted())


def _kind(call: PageCall) -> Kind:
    if call.path["kind"] == "customers":
        return "customers"
    if call.path["kind"] == "events":
        call.actor.require(EVENTS_READ)
        return "events"
    raise NotFound(text("There is no such page"))


def _narrowed(query: ExportQuery) -> bool:
    """Tell whether the list's own filters narrow the export, besides what the form shows."""
    return bool(query.q or query.kind or query.stage or query.owner or query.team)


def _field(name: str) -> str:
    """Return the field that a column shows."""
    kind, colon, key = name.partition(":")
    return field_of(key) if kind == "identity" else f"attributes.{key}" if colon else name


def _label(name: str, labels: Mapping[str, Text], fields: Mapping[str, Field]) -> Text | str:
    if name in labels:
        return labels[name]
    key = name.partition(":")[2] or name.removeprefix("attributes.").removeprefix("identities.")
    return (
        fields[key].shown
        if key in fields
        else _LABELS.get(f"identity:{key}", IDENTITIES.get(key, _LABELS.get(key, key)))
    )


_ONE = "/exports/{kind}"

PAGES = (
    PageRoute(path="/exports", handler=begin, permission=CUSTOMERS_EXPORT),
    PageRoute(path=_ONE, handler=show, permission=CUSTOMERS_EXPORT, query=ExportQuery),
    PageRoute(path=f"{_ONE}/file", handler=download, permission=CUSTOMERS_EXPORT, query=ExportQuery),
)
NAV = (
    NavItem(
        key="exports.page",
        label=text("Exports"),
        icon="file-export",
        path="/exports",
        permission=CUSTOMERS_EXPORT,
        group="data",
        order=11,
    ),
)
