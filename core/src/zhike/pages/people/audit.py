"""The audit trail: who did what, filters, and whether the trail is whole."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from zhike.access import audit, trail
from zhike.access.trail import AuditQuery, AuditRow
from zhike.api import check_instant
from zhike.desk import progress
from zhike.i18n import Text, text
from zhike.pages.people import audit_words, matrix, verifying
from zhike.pages.people.audit_values import NOTHING, Values
from zhike.ui import Html, PageCall, Redirect
from zhike.ui.tables import Filter, Table, TableColumn
from zhike.work import begin

_Word = Annotated[str, Meta(max_length=300, pattern=r"\A[^\x00]*\Z")]


class TrailQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The page's address.

    Args:
        actor: Who did it, as it is stored: `user:3`.
        user: The id of the user who did it.
        action: What was done, as it is stored.
        object: What it was done to, as it is stored.
        at_from: The first day, in the reader's zone.
        at_to: The last day.
        q: Part of action, object or details.
        cursor: Where the page begins.
    """

    actor: _Word = ""
    user: Annotated[int, Meta(ge=1)] | None = None
    action: _Word = ""
    object: _Word = ""
    at_from: date | None = None
    at_to: date | None = None
    q: _Word = ""
    cursor: Annotated[str, Meta(max_length=2000)] | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """What narrows the list."""
        given = msgspec.structs.asdict(self)
        return {name: str(value) for name, value in given.items() if value and name != "cursor"}


async def show(call: PageCall, query: TrailQuery) -> Html:
    """Show the trail, the newest first."""
    found = await trail.list_(call.db, call.actor, _asked(call, query), call.host.cursor_key)
    values = Values(call, {field.key: field.label for field in await matrix.fields(call, {})})
    table = Table(
        id="audit",
        path="/audit",
        columns=_COLUMNS,
        rows=[_row(call, values, row) for row in found.items],
        query=query.parameters,
        newer="" if query.cursor else None,
        older=found.next,
        filters=_filters(call),
        empty={"icon": "history", "title": text("Nothing has been written yet")},
    )
    return await call.render("people/audit.html", fragment="page", table=table, **await _chain(call))


async def verify(call: PageCall) -> Redirect:
    """Begin to walk the whole trail in the background."""
    async with begin(call.host.platform, origin=call.actor.origin) as work:
        progress_id = await verifying.start(work, call.actor)
        await audit.record(work.connection, call.actor, "audit.verify", f"progress:{progress_id}", {})
    return call.redirect("/audit", toast=text("The trail is being verified"))


async def chain(call: PageCall) -> Html:
    """Draw how far the chain reaches, and what the last verification found."""
    return await call.render("people/audit_chain.html", **await _chain(call))


async def _chain(call: PageCall) -> dict[str, Any]:
    latest = await progress.latest(call.db, verifying.KIND, call.locale)
    return {"sealed": await trail.sealed(call.db), "latest": latest}


def _asked(call: PageCall, query: TrailQuery) -> AuditQuery:
    start, end = _instant(call, query.at_from), _instant(call, query.at_to, days=1)
    return AuditQuery(
        limit=50,
        cursor=query.cursor,
        actor=f"user:{query.user}" if query.user else query.actor or None,
        action=query.action or None,
        object=query.object or None,
        from_=start,
        to=end,
        text=query.q.strip() or None,
    )


def _instant(call: PageCall, day: date | None, days: int = 0) -> datetime | None:
    """Return when a day begins in the reader's zone, or the one some days later."""
    if day is None:
        return None
    check_instant("at", datetime.combine(day, time.min, UTC))
    return datetime.combine(day + timedelta(days=days), time.min, call.zone)


def _filters(call: PageCall) -> list[Filter]:
    actions: list[tuple[str, Text | str]] = list(audit_words.ACTIONS.items())
    return [
        Filter(name="q", label=text("Part of the object or the details")),
        Filter(name="user", label=text("Who"), kind="user"),
        Filter(
            name="action",
            label=text("What was done"),
            kind="select",
            options=sorted(actions, key=lambda pair: Text(str(pair[1])).render(call.locale)),
        ),
        Filter(name="object", label=text("To what"), placeholder="customer:7"),
        Filter(name="at", label=text("When"), kind="range"),
    ]


_COLUMNS = (
    TableColumn(key="at", label=text("When"), kind="custom"),
    TableColumn(key="actor", label=text("Who"), kind="custom"),
    TableColumn(key="action", label=text("What was done"), kind="custom"),
    TableColumn(key="object", label=text("To what"), kind="custom"),
    TableColumn(key="details", label=text("Details"), kind="custom"),
)


def _row(call: PageCall, values: Values, row: AuditRow) -> dict[str, Any]:
    people, details = call.host.ui.people, row.details if isinstance(row.details, dict) else {}
    plain = {key: values.plain(key, value) for key, value in details.items()}
    return {
        "id": row.id,
        "path": "",
        "at": row.at,
        "actor": audit_words.thing(row.actor, people.users, people.teams),
        "actor_word": row.actor,
        "action": audit_words.action(row.action, call.host.platform.registry.event_types),
        "action_word": row.action,
        "object": audit_words.thing(row.object, people.users, people.teams),
        "object_word": row.object,
        "object_path": audit_words.path(row.object),
        "cleared": row.details is None,
        "details": plain,
        "brief": {key: value for key, value in plain.items() if value != NOTHING},
        "sequence": row.sequence,
    }
