"""What became of a customer: the stages it had, and for administrators who looked at it and changed it."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from zhike.access import trail
from zhike.access.masking import masked_fields
from zhike.access.roles import ADMIN_AUDIT
from zhike.customers import dossier as dossiers
from zhike.customers import stages
from zhike.customers.field import STAFF
from zhike.i18n import Text, text
from zhike.pages.customer import profile
from zhike.pages.customer.page import head
from zhike.pages.tasks.words import who
from zhike.ui import Html, PageCall, formats
from zhike.ui.rendering import url

_LIMIT = 30
ACTIONS: dict[str, tuple[Text, str]] = {
    "customer.create": (text("Made the customer"), "user-plus"),
    "customer.change": (text("Changed the customer"), "edit"),
    "customer.reveal": (text("Saw masked fields"), "eye"),
    "customer.export": (text("Exported what is stored"), "download"),
    "customer.merge": (text("Merged customers into this one"), "git-merge"),
    "customer.unmerge": (text("Undid a merge"), "git-branch"),
    "customer.relate": (text("Noted a relation"), "link"),
    "customer.unrelate": (text("Took a relation away"), "unlink"),
}
_WORDS: dict[str, Text] = {
    "fields": text("Changed fields"),
    "owner": text("Owner"),
    "team": text("Team"),
    "reason": text("Reason"),
    "source": text("Source"),
    "identities": text("Identities"),
}


class HistoryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The address of the page.

    Args:
        cursor: Where the audit trail begins.
    """

    cursor: Annotated[str, Meta(max_length=2000)] | None = None


async def show(call: PageCall, query: HistoryQuery) -> Html:
    """Show the stages a customer had, and its audit trail to those who may read that."""
    dossier = await dossiers.get(call.host.platform, call.actor, call.id("customer_id"))
    customer_id = dossier.customer.id
    had = (await stages.stages(call.db, call.actor, customer_id)).items
    field = call.host.platform.customer_fields.known.get("stage")
    named = [(profile.labels(field, each.value)[0] if field and each.value else each.value, each) for each in had]
    entries, older = None, None
    if call.may(ADMIN_AUDIT):
        asked = trail.AuditQuery(object=f"customer:{customer_id}", limit=_LIMIT, cursor=query.cursor)
        page = await trail.list_(call.db, call.actor, asked, call.host.cursor_key)
        entries = [_entry(call, row) for row in page.items]
        older = page.next and url(f"/customers/{customer_id}/history", cursor=page.next)
    return await call.render(
        "customer/history.html",
        fragment="more" if query.cursor else "list",
        stages=named[::-1],
        staged="stage" not in masked_fields(call.actor),
        entries=entries,
        older=older,
        **head(call, dossier, "history"),
    )


def _entry(call: PageCall, row: trail.AuditRow) -> dict[str, Any]:
    label, icon = ACTIONS.get(row.action, (row.action, "point"))
    return {"at": row.at, "icon": icon, "title": label, "by": who(call, row.actor), "text": _told(call, row.details)}


def _told(call: PageCall, details: Any) -> str:
    """Return what the trail says besides, in a line: fields, users and teams by what they are called."""
    if not isinstance(details, dict):
        return ""
    people, known = call.host.ui.people, call.host.platform.customer_fields.known
    names: dict[str, Any] = {"owner": people.users, "team": people.teams, "source": {STAFF: text("Staff")}}
    names["fields"] = {**_WORDS, **{key: field.shown for key, field in known.items()}}
    parts = []
    for name, value in details.items():
        values = [each for each in (value if isinstance(value, list) else [value]) if each not in (None, "")]
        words = [names.get(name, {}).get(each, each) if isinstance(each, str | int) else each for each in values]
        if words:
            shown = formats.listed(words)
            parts.append(text("{what}: {value}", what=_WORDS.get(name, name), value=shown).render(call.locale))
    return " · ".join(parts)[:500]
