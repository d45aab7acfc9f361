"""The frozen structs that plugins hand to the core and the core hands to plugins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from zhike.api import Route
from zhike.i18n import Text

if TYPE_CHECKING:
    from zhike.orm import Connection
else:
    Connection = Any  # so that types can be checked when structs are registered, without importing an ORM

__all__ = [
    "Command",
    "Consumer",
    "CustomerRows",
    "EventType",
    "HealthItem",
    "IncomingDraft",
    "Job",
    "JobItem",
    "Kind",
    "Mode",
    "Permission",
    "RecordedEvent",
    "Route",
    "Schedule",
    "TokenDraft",
]

Label = Text | str
Name = Annotated[str, Meta(pattern=r"\A(\*|[\w.:-]{1,100})\Z")]
Count = Annotated[int, Meta(ge=1)]
Kind = Literal["behaviour", "platform"]
Mode = Literal["live", "backfill", "rebuild", "replay"]
"""Why a consumer is given events: they are new; it starts in the past; it starts over; staff replay dead letters."""


class EventType(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of event that a plugin records.

    Args:
        name: Such as `tag.added`; it begins with the plugin's name or a noun the plugin claims.
        kind: `behaviour` (the customer did it) or `platform` (we did).
        label: Name for people.
        payload: Struct of the properties, which are checked against it, or None.
        replaces: Earlier names of the same thing.
    """

    name: Name
    kind: Kind
    label: Label
    payload: type[msgspec.Struct] | None = None
    replaces: tuple[str, ...] = ()


class Permission(msgspec.Struct, frozen=True, kw_only=True):
    """Something a role may grant.

    Args:
        key: Such as `tagging.write`; it begins with the plugin's name.
        label: Name for people.
        roles: Roles shipped with Zhike that grant it; admin always does.
    """

    key: Name
    label: Label
    roles: tuple[str, ...] = ()


class Consumer(msgspec.Struct, frozen=True, kw_only=True):
    """How a plugin wants to be given the log; at most one for each plugin.

    Args:
        events: Names of event types, or `*` for all. Batches of the log without any of them are passed unread.
        start: Where a new plugin begins: `now`, or `beginning`, which it reads in mode `backfill`.
        batch: Most events of one call, at most 500.
        reset: Deletes what the plugin derived, in the transaction that sends its cursor back to the beginning;
            a plugin without it cannot be rebuilt.
    """

    events: tuple[Name, ...] = ("*",)
    start: Literal["now", "beginning"] = "now"
    batch: Count = 500
    reset: Callable[[Connection], Awaitable[None]] | None = None

    @property
    def rebuildable(self) -> bool:
        """Whether it may start over."""
        return self.reset is not None


class RecordedEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event as consumers get it.

    Args:
        id: Its id; ascending along the log of one batch.
        batch_id: The batch of the log it was stored with.
        message_id: The caller's id of it, or one of ours.
        name: Event type.
        behaviour: True if the customer did it, false if we did.
        customer_id: Whose it is now.
        shard: 0 to 63, never changes.
        occurred_at: When it happened, in UTC.
        recorded_at: When it was stored, in UTC.
        amount: Money in major units, or None.
        currency: ISO 4217 code, or None.
        properties_json: The properties as JSON text.
        source: Where it comes from, or "".
        origin: Who brought it: `token:7`, `import:3`, `plugin:tagging`, `system` …
        causation_id: The id of the event that made it happen, or None.
        depth: 0 for an event from outside, else one more than its cause's.
        live: Whether it may start something: neither imported nor recorded long after it happened.
        import_id: The import it belongs to, or None.
    """

    id: int
    batch_id: int
    message_id: str
    name: str
    behaviour: bool
    customer_id: int
    shard: int
    occurred_at: datetime
    recorded_at: datetime
    amount: Decimal | None = None
    currency: str | None = None
    properties_json: str = "{}"
    source: str = ""
    origin: str = ""
    causation_id: int | None = None
    depth: int = 0
    live: bool = True
    import_id: int | None = None

    @property
    def properties(self) -> dict[str, Any]:
        """The properties, decoded anew on each access; numbers with a point are `Decimal`."""
        return _decode_properties(self.properties_json)


class IncomingDraft(msgspec.Struct, kw_only=True):
    """An incoming event that has been checked and is not stored yet, as `amend_incoming_events` may change it.

    Args:
        message_id: The sender's id of it, or one of ours; cannot be changed.
        identities: Namespace and normalised value, the strongest first; cannot be changed.
        name: Event type.
        occurred_at: When it happened, in UTC.
        traits: What it says about the customer.
        amount: Money in major units, or None.
        currency: ISO 4217 code of the amount, or None.
        properties: JSON; numbers with a point are `Decimal`.
        source: Where it comes from, or "".
        dropped: Set it to have the event rejected with the code `dropped`.
    """

    message_id: str
    identities: tuple[tuple[str, str], ...]
    name: str
    occurred_at: datetime
    traits: dict[str, Any]
    amount: Decimal | None
    currency: str | None
    properties: dict[str, Any]
    source: str
    dropped: bool = False


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

    Args:
        name: Such as `messaging.send`; it begins with the plugin's name.
        run: The coroutine function.
        payload: Type that payloads are checked against when enqueued and decoded into when run.
        batch: Most items of one call.
        timeout: Seconds one call may take; a single SQL statement may take 30, or up to 60 of a longer one.
        attempts: How often a job is tried before it counts as failed.
        external: Whether it acts on the outside world.
        done: Records the result of an external job, or None.
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


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A subcommand of `zhike`.

    Args:
        name: Its word on the command line.
        target: The click command, as `module:attribute`; imported when it is called.
        summary: One line for `zhike --help`.
    """

    name: Name
    target: str
    summary: str


class CustomerRows(msgspec.Struct, frozen=True, kw_only=True):
    """A table with rows about customers, which the core moves, exports and erases also while the plugin is off.

    Args:
        table: Its name, which begins with the plugin's.
        column: The column that holds the customer's id.
        on_merge: `move` to the winner (a row that would break a unique key there is deleted), `delete`, `null`,
            or `hook` when only `merge_customer_data` can do it.
        on_erase: `delete`, `null`, or `hook` for `erase_customer_data`.
    """

    table: Name
    column: Name = "customer_id"
    on_merge: Literal["move", "delete", "null", "hook"] = "move"
    on_erase: Literal["delete", "null", "hook"] = "delete"


class HealthItem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing a plugin says about how it is doing.

    Args:
        key: A stable word for programs.
        ok: Whether it is fine.
        detail: What is wrong, or a figure, for people.
    """

    key: str
    ok: bool
    detail: Label = ""


class TokenDraft(msgspec.Struct, frozen=True, kw_only=True):
    """An API token that is about to be made.

    Args:
        name: Name for people.
        role: The role it will act with.
        expires_at: From when it will be refused, or None for never.
    """

    name: str
    role: str
    expires_at: datetime | None


_decode_properties = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode
