"""What is shown of consumers and dead letters, and what staff ask for."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

_Name = Annotated[str, Meta(pattern="^[A-Za-z0-9_]+$", max_length=100)]


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """How far a consumer is with a range of shards.

    Args:
        shard_from: The first shard.
        shard_to: The last one.
        position: The batch of the log it is at.
        lag_batches: Batches of the log it has not passed.
        lag_events: Events in these, whoever they concern.
        lag_seconds: How long the oldest of these has been waiting, whatever day its events are of.
        failures: Attempts in a row that have failed.
        last_error: What went wrong at the last attempt; None once one has succeeded.
    """

    shard_from: int
    shard_to: int
    position: int
    lag_batches: int
    lag_events: int
    lag_seconds: float
    failures: int
    last_error: str | None


class ConsumerState(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin that is given the log.

    Args:
        name: The plugin's name.
        state: `running`, `paused`, or `off` when the plugin is not loaded.
        reason: Why it is paused.
        paused_at: Since when.
        mode: Why it is given the events it is at.
        starting_over: Whether it is about to start over.
        rebuildable: Whether it can.
        events: Names of the events it wants; `*` is all.
        dead_letters: Events that were set aside.
        lag_batches: Of the range that is last.
        lag_events: Of the range that is last.
        lag_seconds: Of the range that is last.
        last_error: What went wrong in one of the ranges.
        ranges: Its ranges of shards.
    """

    name: str
    state: Literal["running", "paused", "off"]
    reason: str | None
    paused_at: datetime | None
    mode: Literal["live", "backfill", "rebuild"]
    starting_over: bool
    rebuildable: bool
    events: list[str]
    dead_letters: int
    lag_batches: int
    lag_events: int
    lag_seconds: float
    last_error: str | None
    ranges: list[Range]


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """An event that a consumer could not take.

    Args:
        id: Its id.
        consumer: The plugin's name.
        event_id: The event.
        event_name: Its type.
        message_id: The id it was sent with.
        customer_id: Whose event it was.
        error: Type and place of what the plugin raised; never a value.
        attempts: How often it was tried.
        queued: Whether it is about to be offered again.
        created_at: When it was set aside.
    """

    id: int
    consumer: str
    event_id: int
    event_name: str
    message_id: str
    customer_id: int
    error: str
    attempts: int
    queued: bool
    created_at: datetime


class BackfillRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `POST /consumers/{name}/backfill` takes.

    Args:
        since: Events recorded from then on are given to it; all when absent.
    """

    since: Annotated[datetime, Meta(tz=True)] | None = None


class ShardsRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `POST /consumers/{name}/shards` takes.

    Args:
        ranges: How many ranges are to be worked on side by side.
    """

    ranges: Annotated[int, Meta(ge=1, le=64)]


class LettersRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which dead letters are meant: either some, or all of a consumer.

    Args:
        ids: Their ids.
        consumer: The plugin's name.
    """

    ids: Annotated[list[Annotated[int, Meta(ge=1, le=2**63 - 1)]], Meta(max_length=1000)] | None = None
    consumer: _Name | None = None


class ConsumerChanged(msgspec.Struct, frozen=True):
    """What became of a request about a consumer.

    Args:
        changed: Whether it changed anything; False if it was so already.
    """

    changed: bool


class LettersAnswer(msgspec.Struct, frozen=True):
    """How many dead letters a request was about.

    Args:
        count: Queued to be offered again, or deleted.
    """

    count: int
