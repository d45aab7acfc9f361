"""Routes that show jobs and schedules, try failed jobs again and cancel waiting ones."""

from __future__ import annotations

from functools import partial

from zhike.access.roles import JOBS_MANAGE, JOBS_READ
from zhike.api import Call, Page, PageQuery, Route
from zhike.jobs import schemas, service


async def list_jobs(call: Call, query: schemas.JobsQuery) -> Page[schemas.Job]:
    """List jobs that are not done, the newest first."""
    return await service.list_(call.db, call.host.platform.registry.jobs, query, call.host.cursor_key)


async def read_figures(call: Call) -> schemas.Figures:
    """Show how much there is to do."""
    return await service.figures(call.db, call.host.platform.registry.jobs)


async def read_job(call: Call) -> schemas.JobWithPayload:
    """Show one job with its payload, if that is small and nothing of customers is kept from the caller."""
    return await service.get(call.db, call.actor, call.host.platform.registry.jobs, call.id("job_id"))


async def retry_job(call: Call) -> schemas.Done:
    """Try a job that has failed again, now."""
    job_id = call.id("job_id")
    await service.retry(call.host.platform, call.actor, job_id)
    call.host.platform.announce("jobs")
    return schemas.Done(job_id)


async def cancel_job(call: Call) -> schemas.Done:
    """Delete a job that is not running."""
    job_id = call.id("job_id")
    await service.cancel(call.host.platform, call.actor, job_id)
    return schemas.Done(job_id)


async def list_schedules(call: Call, query: PageQuery) -> Page[schemas.Schedule]:
    """List schedules, by name."""
    return await service.schedules(call.db, query, call.host.cursor_key)


_read = partial(Route, method="GET", permission=JOBS_READ)
_change = partial(_read, method="POST", permission=JOBS_MANAGE, answer=schemas.Done, statuses=(409,))

ROUTES = (
    _read(
        path="/jobs",
        handler=list_jobs,
        summary="Jobs that are not done",
        query=schemas.JobsQuery,
        answer=Page[schemas.Job],
    ),
    _read(path="/jobs/figures", handler=read_figures, summary="How much there is to do", answer=schemas.Figures),
    _read(path="/jobs/{job_id}", handler=read_job, summary="One job", answer=schemas.JobWithPayload),
    _change(path="/jobs/{job_id}/retry", handler=retry_job, summary="Try a failed job again"),
    _change(path="/jobs/{job_id}/cancel", handler=cancel_job, summary="Delete a job that is not running"),
    _read(
        path="/schedules", handler=list_schedules, summary="Schedules", query=PageQuery, answer=Page[schemas.Schedule]
    ),
)
