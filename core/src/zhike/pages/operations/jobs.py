"""Jobs that are not done: how many there are, what went wrong, trying them again, and giving them up."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from zhike.errors import BadRequest, Conflict, NotFound
from zhike.i18n import Text, text
from zhike.jobs import schemas, service
from zhike.pages.operations import words
from zhike.ui import Html, PageCall, Redirect
from zhike.ui.formats import label_of_plugin
from zhike.ui.tables import Filter, Table, TableAction, TableColumn

_LIMIT = 50
_MOST = 200
"""Jobs that are changed at once."""
_Name = Annotated[str, Meta(max_length=200)]
_COLUMNS = (
    TableColumn(key="name", label=text("Job"), kind="custom"),
    TableColumn(key="state", label=text("State"), kind="badge"),
    TableColumn(key="plugin", label=text("Plugin")),
    TableColumn(key="queue", label=text("Queue")),
    TableColumn(key="due_at", label=text("To be run"), kind="instant"),
    TableColumn(key="attempts", label=text("Attempts"), kind="number"),
    TableColumn(key="last_error", label=text("Last error")),
)


class JobsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The address of the list of jobs.

    Args:
        state: Only waiting, running or failed ones.
        name: Only jobs of this name.
        queue: Only those of this queue.
        plugin: Only those of this plugin.
        cursor: Where the page begins.
    """

    state: Literal["waiting", "running", "failed", ""] = ""
    name: _Name = ""
    queue: _Name = ""
    plugin: _Name = ""
    cursor: Annotated[str, Meta(max_length=2000)] | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters that are set, for links."""
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value and name != "cursor"}


async def listed(call: PageCall, query: JobsQuery) -> Html:
    """List the jobs that are not done, the newest first."""
    known = call.host.platform.registry.jobs
    wanted = schemas.JobsQuery(**query.parameters, limit=_LIMIT, cursor=query.cursor)
    page = await service.list_(call.db, known, wanted, call.host.cursor_key)
    table = Table(
        id="jobs",
        path="/jobs",
        columns=_COLUMNS,
        rows=[_row(call, each) for each in page.items],
        query=query.parameters,
        newer="" if query.cursor else None,
        older=page.next,
        filters=_filters(call),
        actions=_ACTIONS if call.may("jobs.manage") else (),
        unfolds=True,
        empty={
            "icon": "player-track-next",
            "title": text("No jobs"),
            "text": text("All jobs are done. Jobs are what plugins and the platform put off for later."),
        },
    )
    figures = None if call.fragment else await service.figures(call.db, known)
    late = words.lasting(figures.lag) if figures and figures.lag else None
    return await call.render("operations/jobs.html", fragment="list", table=table, figures=figures, late=late)


async def show(call: PageCall) -> Html:
    """Show one job; as a part, what unfolds below its row."""
    job = await service.get(call.db, call.actor, call.host.platform.registry.jobs, call.id("job_id"))
    return await call.render("operations/job.html", fragment="details", job=job, state=words.JOBS[job.state])


async def ask(call: PageCall) -> Html:
    """Ask whether the jobs that are picked are to be tried again, or given up."""
    return await call.render("operations/jobs_ask.html", verb=_verb(call), ids=_ids(call))


async def change(call: PageCall) -> Redirect:
    """Try jobs again, or give them up; those that have changed meanwhile stay as they are."""
    act = service.retry if _verb(call) == "retry" else service.cancel
    done = 0
    for job_id in (ids := _ids(call)):
        try:
            await act(call.host.platform, call.actor, job_id)
            done += 1
        except (Conflict, NotFound):
            if len(ids) == 1:
                raise
    call.host.platform.announce("jobs")
    said = (
        text("{n} {n:job is|jobs are} tried again", n=done)
        if act is service.retry
        else text("{n} {n:job is|jobs are} deleted", n=done)
    )
    return call.redirect("/jobs", toast=said)


def _row(call: PageCall, job: schemas.Job) -> dict[str, Any]:
    row = msgspec.structs.asdict(job)
    path, plugin = f"/jobs/{job.id}", label_of_plugin(call.host.platform, job.plugin)
    return row | {"path": path, "details": path, "state": words.JOBS[job.state], "plugin": plugin}


def _filters(call: PageCall) -> list[Filter]:
    states: list[tuple[str, Text | str]] = [(state, said["label"]) for state, said in words.JOBS.items()]
    known = call.host.platform.registry.jobs
    queues = sorted({each.queue for each in known.values()})
    plugins = sorted({call.host.platform.registry.owner("jobs", name) or "" for name in known} - {""})
    return [
        Filter(name="name", label=text("Job"), placeholder=text("Name of a job")),
        Filter(name="state", label=text("State"), kind="select", options=states),
        Filter(name="queue", label=text("Queue"), kind="select", options=[(each, each) for each in queues]),
        Filter(
            name="plugin",
            label=text("Plugin"),
            kind="select",
            options=[(each, label_of_plugin(call.host.platform, each)) for each in plugins],
        ),
    ]


_ACTIONS = (
    TableAction(label=text("Try again"), icon="refresh", path="/jobs/retry/ask"),
    TableAction(label=text("Delete"), icon="trash", path="/jobs/cancel/ask", danger=True),
)


def _verb(call: PageCall) -> str:
    if (verb := call.path["verb"]) not in {"retry", "cancel"}:
        raise NotFound(text("There is no action {key}", key=verb))
    return verb


def _ids(call: PageCall) -> list[int]:
    try:
        ids = {int(each) for each in call.form.get("ids", ())}
    except ValueError:
        ids = set()
    if not 0 < len(ids) <= _MOST or not all(0 < each < 2**63 for each in ids):
        raise BadRequest(text("Pick 1 to {n} jobs", n=_MOST))
    return sorted(ids)
