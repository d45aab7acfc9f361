"""Deferred work: its kinds, when it is done again and again, and one piece of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from zhike.contracts._names import Count, Label, Name


class JobItem(msgspec.Struct, frozen=True, kw_only=True):
    """One job as its function gets it.

    Args:
        id: The job's id.
        key: Its unique key, or None.
        payload: What was enqueued with it, as the job's payload type.
        customer_id: The customer it is about, or None.
        due_at: When it was due.
        attempt: 1 for the first attempt.
        origin: Who caused it.
        causation_id: The event that caused it, or None.
        depth: The depth of what it does.
        live: Whether what it does may start something: false when its cause was imported or late.
        idempotency_key: The same text on every attempt, for the other side of an external effect.
    """

    id: int
    key: str | None
    payload: Any
    customer_id: int | None
    due_at: datetime
    attempt: int
    origin: str
    causation_id: int | None
    depth: int
    live: bool = True
    idempotency_key: str


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Deferred work of one kind.

    An internal job's function gets `(items, work)` and runs in the transaction that deletes the job, so that its
    effects happen exactly once. An external one gets `(items, platform)`, runs outside any transaction, where the
    network may be used, and happens at least once; what it returns is given to `done` as `(items, result, work)` in
    the transaction that deletes the job.

    A job that is given up stays unless somebody deletes it, and may be tried again: `failed` notes for people what
    will not come, and the function must do with being run afterwards.

    Args:
        name: Such as `messaging.send`; it begins with the plugin's name.
        run: The coroutine function.
        payload: Type that payloads are checked against when enqueued and decoded into when run.
        batch: Most items of one call.
        timeout: Seconds one call may take; a single SQL statement may take 30, or up to 60 of a longer one.
        attempts: How often a job is tried before it counts as failed.
        external: Whether it acts on the outside world.
        done: Records the result of an external job, or None.
        failed: Is told, as `(items, reason, work)`, that a job has failed for good, or was deleted before it was done,
            in the transaction that notes it, within 10 seconds; the reason is a `Text` for people. A payload that
            cannot be decoded is a `msgspec.Raw` there. None if nobody needs to know.
        queue: Jobs of one queue wait for each other, not for those of another.
        label: Name for people; the job's name when empty.
    """

    name: Name
    run: Callable[..., Awaitable[Any]]
    payload: Any = dict[str, Any]
    batch: Count = 1
    timeout: Annotated[float, Meta(gt=0, le=86400)] = 30.0
    attempts: Count = 5
    external: bool = False
    done: Callable[..., Awaitable[None]] | None = None
    failed: Callable[..., Awaitable[None]] | None = None
    queue: Name = "default"
    label: Label = ""


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A job that is enqueued again and again.

    Args:
        name: Such as `rfm.refresh`; it begins with the plugin's name.
        job: Name of the job.
        cron: Five fields, as in crontab(5).
        zone: IANA zone its times are in; the deployment's when empty.
        payload: The payload of each job.
    """

    name: Name
    job: Name
    cron: str
    zone: str = ""
    payload: Mapping[str, Any] = {}
