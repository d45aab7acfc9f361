"""The timeline of a customer: by day, filtered and searched, paged both ways, with a hint of what is new."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from zhike.customers import dossier as dossiers
from zhike.customers.field import BUILT_IN, Field
from zhike.errors import BadRequest
from zhike.events import browsing
from zhike.events.filtering import EventsWanted
from zhike.events.service import timeline
from zhike.events.telling import Told, label_of, told
from zhike.i18n import say, text
from zhike.pages.customer.inputs import OWN
from zhike.pages.customer.page import head
from zhike.pages.customer.profile import labels
from zhike.ui import Html, PageCall, formats
from zhike.ui.rendering import url

_LIMIT = 30
_Text = Annotated[str, Meta(max_length=200, pattern=r"\A[^\x00]*\Z")]
_ICONS = {
    "order": "shopping-cart", "cart": "basket", "payment": "credit-card", "refund": "receipt-refund",
    "page": "eye", "product": "eye", "app": "device-mobile", "member": "id-badge-2", "coupon": "ticket",
    "campaign": "speakerphone", "message": "message", "sms": "message", "email": "mail", "wecom": "brand-wechat",
    "call": "phone", "visit": "map-pin", "service": "headset", "ticket": "headset", "review": "star",
    "quote": "file-description", "contract": "file-certificate", "lead": "bulb", "card": "address-book",
    "store": "building-store", "task": "checkbox", "tag": "tag", "import": "file-import",
    "consent": "shield-check", "customer": "user",
}  # fmt: skip
_COLOURS = {
    "order": "green", "payment": "green", "refund": "red", "cart": "teal", "coupon": "orange", "campaign": "orange",
    "service": "purple", "call": "purple", "visit": "purple", "review": "yellow", "tag": "blue", "task": "indigo",
    "contract": "green", "quote": "teal",
}  # fmt: skip
_EXACT = {
    "customer.created": "user-plus",
    "customer.merged": "git-merge",
    "customer.unmerged": "git-branch",
    "order.refunded": "receipt-refund",
    "order.shipped": "truck-delivery",
    "order.received": "package",
    "order.cancelled": "shopping-cart-x",
}
_SHOWN, _LONGEST = 40, 500


class TimelineQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The address of a timeline.

    Args:
        q: Words that are looked for.
        name: Only events of this type.
        kind: Only what the customer did, or only what we did.
        source: Only from there.
        at_from: Not before this day.
        at_to: Not after this day.
        cursor: Where the page begins.
        seen: Id of the latest event that the reader has seen.
        more: Whether the page is put below the one before.
    """

    q: _Text = ""
    name: _Text = ""
    kind: Literal["behaviour", "platform", ""] = ""
    source: _Text = ""
    at_from: date | None = None
    at_to: date | None = None
    cursor: Annotated[str, Meta(max_length=2000)] | None = None
    seen: int = 0
    more: bool = False

    @property
    def narrowing(self) -> dict[str, Any]:
        """The filters that are set."""
        given = msgspec.structs.asdict(self)
        return {name: value for name, value in given.items() if value and name not in {"cursor", "seen", "more"}}


async def show(call: PageCall, query: TimelineQuery) -> Html:
    """Show what happened to a customer, the latest first."""
    customer_id, registry = call.id("customer_id"), call.host.platform.registry
    page = await timeline(
        call.db,
        call.actor,
        customer_id,
        limit=_LIMIT,
        cursor=query.cursor,
        key=call.host.cursor_key,
        registry=registry,
        wanted=_wanted(call, query),
        locale=call.locale,
    )
    path = f"/customers/{customer_id}/timeline"
    older = page.next and url(path, **query.narrowing, cursor=page.next, more=1)
    newer = page.previous and not query.more and url(path, **query.narrowing, cursor=page.previous)
    seen = page.items[0].id if page.items else 0
    names: dict[str, Any] = {
        "entries": [_entry(call, each) for each in told(registry, page.items, call.locale)],
        "older": older,
        "newer": newer,
        "latest": None if query.cursor else url(path + "/new", **query.narrowing, seen=seen),
        "query": query,
        "path": path,
        "picked": [(query.name, label_of(registry, query.name, call.locale))] if query.name else [],
    }
    if call.fragment:
        return await call.render("customer/timeline.html", fragment="more" if query.more else "list", **names)
    dossier = await dossiers.get(call.host.platform, call.actor, customer_id)
    return await call.render("customer/timeline.html", **names, **head(call, dossier, "overview"))


async def newer(call: PageCall, query: TimelineQuery) -> Html:
    """Say whether something has happened since the reader looked."""
    customer_id, registry = call.id("customer_id"), call.host.platform.registry
    wanted = _wanted(call, query)
    page = await timeline(
        call.db, call.actor, customer_id, limit=1, registry=registry, wanted=wanted, locale=call.locale
    )
    path = f"/customers/{customer_id}/timeline"
    return await call.render(
        "customer/newer.html",
        again=url(path + "/new", **query.narrowing, seen=query.seen),
        path=url(path, **query.narrowing),
        found=bool(page.items) and page.items[0].id != query.seen,
    )


async def recent(call: PageCall, customer_id: int) -> dict[str, Any]:
    """Return what the panel of recent browsing shows."""
    platform = call.host.platform
    found = await browsing.browsed(platform, call.actor, customer_id)
    return {"views": told(platform.registry, found, call.locale)}


def _wanted(call: PageCall, query: TimelineQuery) -> EventsWanted:
    return EventsWanted(
        names=query.name or None,
        kind=query.kind or None,
        source=query.source or None,
        q=query.q.strip() or None,
        since=_midnight(call, query.at_from, 0),
        until=_midnight(call, query.at_to, 1),
    )


def _midnight(call: PageCall, day: date | None, days: int) -> datetime | None:
    """Return the instant at which a day begins in the reader's zone, so many days later."""
    if day is None:
        return None
    if not 1970 <= day.year < 3000:
        raise BadRequest(text("{name} must lie in the years 1970 to 2999", name=f"{day:%Y}"))
    return datetime.combine(day + timedelta(days=days), time(), call.zone)


def _entry(call: PageCall, each: Told) -> dict[str, Any]:
    event, registry = each.event, call.host.platform.registry
    word = event.name.partition(".")[0]
    known = registry.event_types.get(event.name)
    icon = (known.icon if known else "") or _EXACT.get(event.name) or _ICONS.get(word)
    return {
        "at": event.occurred_at,
        "icon": icon or ("bolt" if event.kind == "behaviour" else "settings"),
        "color": _COLOURS.get(word, "blue" if event.kind == "behaviour" else "gray"),
        "title": each.label,
        "summary": _changes(call, each) if event.name == "customer.updated" else each.summary,
        "event": event,
        "properties": _properties(event.properties),
    }


def _changes(call: PageCall, each: Told) -> str:
    """Return which fields have changed, with what they were and are as far as the event tells it."""
    known, parts = call.host.platform.customer_fields.known, []
    changes = msgspec.json.decode(each.event.properties).get("changes")
    for key, change in changes.items() if isinstance(changes, dict) else ():
        field = known.get(key) or Field(key=key, built_in=key in BUILT_IN)
        said = say(OWN[key][0] if key in OWN else field.shown, call.locale)
        if change:
            was, now = (_said(call, field, change.get(name)) for name in ("old", "new"))
            said += f" {was} → {now}"
        parts.append(said)
    return " · ".join(parts)[:_LONGEST]


def _said(call: PageCall, field: Field, value: Any) -> str:
    if field.key in OWN and isinstance(value, int):
        people = call.host.ui.people
        return (people.users if field.key == "owner" else people.teams).get(value, str(value))
    return "—" if value in (None, []) else formats.listed(labels(field, value)).render(call.locale)


def _properties(raw: msgspec.Raw) -> list[tuple[str, str]]:
    """Return the first properties of an event as texts."""
    found = []
    for name, value in list(msgspec.json.decode(raw, type=dict[str, msgspec.Raw]).items())[:_SHOWN]:
        decoded = msgspec.json.decode(value)
        shown = decoded if isinstance(decoded, str) else bytes(value).decode()
        found.append((name, shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"))
    return found
