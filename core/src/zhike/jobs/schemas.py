"""What the API shows of jobs and schedules."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from zhike.api import PageQuery

State = Literal["waiting", "running", "failed"]
Name = Annotated[str, Meta(max_length=200)]


class JobsQuery(PageQuery, frozen=True, kw_only=True):
    """The query parameters of `GET /jobs`.

    Args:
        state: `waiting`, `running` or `failed`.
        name: Name of a job.
        queue: Name of a queue.
        plugin: The plugin they belong to.
        limit: Entries of a page; more than 1,000 count as 1,000.
        cursor: The `next` of the page before.
    """

    state: State | None = None
    name: Name | None = None
    queue: Name | None = None
    plugin: Name | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job that is not done.

    Args:
        id: Its id.
        name: What it is.
        queue: Jobs of one queue wait for each other.
        key: At most one waiting job of a name has it.
        state: `waiting`, `running` or `failed`; one whose process has died runs until another one takes it over.
        priority: `high`, `normal` or `low`.
        due_at: Not before.
        attempts: How often it was begun.
        last_error: What went wrong in the last attempt.
        customer_id: The customer it is about.
        origin: Who caused it.
        plugin: The plugin it belongs to.
        known: Whether a plugin that is loaded knows it; otherwise it waits until one does.
        leased_until: How long the process that runs it has been heard of, at least.
        created_at: When it was enqueued.
    """

    id: int
    name: str
    queue: str
    key: str | None
    state: State
    priority: Literal["high", "normal", "low"]
    due_at: datetime
    attempts: int
    last_error: str | None
    customer_id: int | None
    origin: str
    plugin: str
    known: bool
    leased_until: datetime | None
    created_at: datetime


class JobWithPayload(Job, frozen=True, kw_only=True):
    """A job with what it was enqueued with.

    Args:
        payload: The payload with secrets left out; null if it is larger than is shown, or the caller does not see all
            customers whole.
        payload_bytes: Its size.
    """

    payload: Any
    payload_bytes: int


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """How much there is to do; counts end at 10,000.

    Args:
        waiting: Jobs that wait, due or not.
        due: Those that could run now.
        running: Those that run.
        failed: Those that are tried no more.
        lag: Seconds since the first of those that could run was due; 0 when there are none.
        unknown: Names of waiting jobs that no loaded plugin knows; they count as waiting only.
    """

    waiting: int
    due: int
    running: int
    failed: int
    lag: float
    unknown: list[str]


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule.

    Args:
        name: Its name.
        job: The job it enqueues.
        cron: Its times, as in crontab(5).
        zone: The zone they are in.
        plugin: The plugin it belongs to.
        next_at: When it is due.
        last_at: When it was due last.
    """

    name: str
    job: str
    cron: str
    zone: str
    plugin: str
    next_at: datetime
    last_at: datetime | None


class Done(msgspec.Struct, frozen=True):
    """The answer to a change.

    Args:
        id: The job.
    """

    id: int
