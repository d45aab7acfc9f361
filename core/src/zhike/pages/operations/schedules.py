"""Schedules: when each one is due next, and running one now."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from zhike.api import PageQuery
from zhike.i18n import text
from zhike.jobs import schedules, service
from zhike.ui import Html, PageCall, Redirect
from zhike.ui.formats import label_of_plugin
from zhike.ui.tables import Table, TableColumn

_LIMIT = 100


class SchedulesQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The address of the list of schedules.

    Args:
        cursor: Where the page begins.
    """

    cursor: Annotated[str, Meta(max_length=2000)] | None = None


async def listed(call: PageCall, query: SchedulesQuery) -> Html:
    """List the schedules, by name."""
    page = await service.schedules(call.db, PageQuery(limit=_LIMIT, cursor=query.cursor), call.host.cursor_key)
    columns = [
        TableColumn(key="name", label=text("Schedule"), kind="custom"),
        TableColumn(key="plugin", label=text("Plugin")),
        TableColumn(key="times", label=text("Times"), kind="custom"),
        TableColumn(key="next_at", label=text("Next run"), kind="instant"),
        TableColumn(key="last_at", label=text("Last run"), kind="instant"),
        TableColumn(key="run", label="", kind="custom"),
    ]
    table = Table(
        id="schedules",
        path="/jobs/schedules",
        columns=columns if call.may("jobs.manage") else columns[:-1],
        rows=[
            msgspec.structs.asdict(each)
            | {"id": each.name, "path": "", "plugin": label_of_plugin(call.host.platform, each.plugin)}
            for each in page.items
        ],
        newer="" if query.cursor else None,
        older=page.next,
        empty={
            "icon": "calendar-repeat",
            "title": text("No schedules"),
            "text": text("Plugins register what they do again and again; it appears here once a runner has started."),
        },
    )
    runs = call.host.platform.registry.schedules
    return await call.render("operations/schedules.html", fragment="list", table=table, runs=runs)


async def run(call: PageCall) -> Redirect:
    """Enqueue the job of a schedule now."""
    name = call.field("name")
    await schedules.run_now(call.host.platform, call.actor, name)
    call.host.platform.announce("jobs")
    return call.redirect("/jobs/schedules", toast=text("{name} runs as soon as a runner is free", name=name))
