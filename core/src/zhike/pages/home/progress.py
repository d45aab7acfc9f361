"""What runs in the background: one's own, everybody's for those who see jobs, and stopping it."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from zhike.access.roles import JOBS_MANAGE, JOBS_READ
from zhike.api import PageQuery
from zhike.desk import progress
from zhike.desk.progress import Progress
from zhike.i18n import Text, text
from zhike.ui import Html, PageCall
from zhike.ui.tables import Table, TableColumn, TableView

STATES: dict[str, tuple[Text, str]] = {
    "running": (text("Running"), "blue"),
    "done": (text("Done"), "green"),
    "failed": (text("Failed"), "red"),
    "cancelled": (text("Cancelled"), "gray"),
}


class ProgressQuery(PageQuery, frozen=True, kw_only=True):
    """The list's address.

    Args:
        whose: Also what others have started.
    """

    whose: Annotated[str, Meta(pattern="^(all)?$")] = ""


async def show(call: PageCall, query: ProgressQuery) -> Html:
    """List background work, the latest first."""
    everybody = query.whose == "all"
    found = await progress.list_(call.db, call.actor, query, call.locale, everybody=everybody, key=call.host.cursor_key)
    views = [
        TableView(label=text("Mine"), path="/progress", active=not everybody),
        TableView(label=text("Everybody's"), path="/progress?whose=all", active=everybody),
    ]
    table = Table(
        id="progress",
        path="/progress",
        columns=[column for column in _COLUMNS if everybody or column.key != "started_by"],
        rows=[_row(each) for each in found.items],
        query={"whose": query.whose},
        newer="" if query.cursor else None,
        older=found.next,
        views=views if call.may(JOBS_READ) else [],
        empty={
            "icon": "progress",
            "title": text("Nothing has run in the background yet"),
            "text": text("Imports, exports and changes of many customers appear here while they run and after."),
        },
    )
    return await call.render("home/progress.html", fragment="list", table=table)


async def one(call: PageCall) -> Html:
    """Show how far something is; while it runs, that part asks again."""
    return await _one(call)


async def cancel(call: PageCall) -> Html:
    """Have something stop before its next piece."""
    await progress.cancel(call.db, call.actor, call.id("progress_id"))
    return await _one(call)


async def _one(call: PageCall) -> Html:
    found = await progress.get(call.db, call.actor, call.id("progress_id"), call.locale)
    mine = found.started_by == f"user:{call.user_id}"
    return await call.render(
        "home/progress_one.html",
        fragment="progress",
        progress=found,
        state=STATES[found.state],
        starter=_starter(found),
        stoppable=found.state == "running" and not found.cancel_requested and (mine or call.may(JOBS_MANAGE)),
    )


_COLUMNS = (
    TableColumn(key="label", label=text("What")),
    TableColumn(key="state", label=text("State"), kind="badge"),
    TableColumn(key="done", label=text("Done"), kind="custom"),
    TableColumn(key="message", label=text("Remark")),
    TableColumn(key="started_by", label=text("Started by"), kind="user"),
    TableColumn(key="created_at", label=text("Started"), kind="instant"),
)


def _row(each: Progress) -> dict[str, Any]:
    label, color = STATES[each.state]
    return {
        **msgspec.structs.asdict(each),
        "path": f"/progress/{each.id}",
        "state": {"label": label, "color": color},
        "started_by": _starter(each),
    }


def _starter(each: Progress) -> int | None:
    kind, _, key = each.started_by.partition(":")
    return int(key) if kind == "user" and key.isdigit() else None
