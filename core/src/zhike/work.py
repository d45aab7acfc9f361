"""The unit of work: a transaction whose events and jobs are written together just before it commits.

Order of locks, the same for everybody who writes to the log, so that no two transactions wait for each other:

1. rows of plugins, among them the consumer's cursor and the job that is run;
2. customers: ingest locks those it may change in the order of their ids, `FOR NO KEY UPDATE`, which a unit of work does
   not heed;
3. identities, by key (ingest only);
4. customers that are merged away, `FOR UPDATE` by who merges them, `FOR KEY SHARE` by a unit of work that emits for
   them. The merge waits for the work. The work never waits, since it may hold what the merge waits for: it lets its
   customers go, tries again and, after 2 seconds, gives up with `Unavailable`, upon which its caller begins again;
5. message ids, by themselves;
6. customer_event_stat, by key;
7. new jobs, by name and key.

A merge changes rows of plugins after it has locked customers: the one step against the order, and the reason for the
fourth point.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec

from zhike import clock, wire
from zhike.contracts import EventType, JobItem, Mode, RecordedEvent
from zhike.errors import ZhikeError
from zhike.events import checks, emit
from zhike.events.emit import Emission
from zhike.events.properties import BadProperties, from_json
from zhike.events.schemas import LIVE, MAX_PROPERTIES_BYTES
from zhike.hooks import HookTimeout
from zhike.i18n import Text, text
from zhike.ids import new_message_id
from zhike.jobs import sql as jobs
from zhike.jobs.sql import MAX_PAYLOAD, JobRow
from zhike.orm import Connection
from zhike.platform import Platform

MAX_DEPTH = 8
"""How many causes may stand behind an event or a job."""

Cause = RecordedEvent | JobItem
Priority = Literal["high", "normal", "low"]
PRIORITIES: Mapping[Priority, int] = {"high": 0, "normal": 1, "low": 2}
"""As they are stored."""

_NAMESPACE = uuid.UUID("6f0a4c1e-6a35-5f6e-9d3a-2b6b1f6f7a10")


class TooDeep(ZhikeError):
    """An event or a job would have more than `MAX_DEPTH` causes behind it: plugins answer each other in a circle."""

    default_code = "too_deep"


class Work:
    """What happens in one transaction, and what follows from it.

    What is emitted or enqueued in a nested transaction is kept also when that one is rolled back: do it afterwards.

    Args:
        platform: The process's platform.
        connection: In the transaction.
        plugin: Who works; "" for the core.
        origin: Who caused it, as in `Actor.origin`, or `plugin:<name>` for a consumer and a job.
        mode: Why a consumer is given events; `live` for everybody else.
        now: The instant its events count as recorded.

    Attributes:
        depth: The depth of what is emitted without a cause. Whoever hands events to a plugin sets it to one more
            than the deepest of them, so that a plugin that names no cause can make no circle either.
        jobs: What was enqueued.
    """

    def __init__(
        self, platform: Platform, connection: Connection, *, plugin: str, origin: str, mode: Mode, now: datetime
    ) -> None:
        self.platform = platform
        self.connection = connection
        self.plugin = plugin
        self.origin = origin
        self.mode = mode
        self.now = now
        self.depth = 0
        self.open = True
        self._events: list[Emission] = []
        self._ids: set[str] = set()
        self._depths: dict[int, int] = {}
        self.jobs: list[JobRow] = []

    def emit(
        self,
        name: str,
        customer_id: int,
        *,
        cause: Cause | None = None,
        key: str = "",
        properties: Mapping[str, Any] | msgspec.Struct | None = None,
        amount: Decimal | None = None,
        currency: str | None = None,
        occurred_at: datetime | None = None,
        source: str = "",
    ) -> None:
        """Record an event when the work ends.

        Handling the same cause again records nothing twice: an event's id is made of plugin, cause, name and key.

        Args:
            name: An event type that the plugin has registered.
            customer_id: Whose event; for a customer merged away it becomes the winner's.
            cause: What made it happen. Without one the event is new each time, also when a consumer starts over.
            key: Tells events of one name and cause apart.
            properties: As the event type's payload.
            amount: Money in major units.
            currency: ISO 4217 code of the amount; the deployment's when absent.
            occurred_at: When it happened, with offset; now when absent.
            source: Where it comes from, up to 200 bytes.

        Raises:
            ZhikeError: If something about the event is wrong; it says what.
            TooDeep: If it had too many causes behind it.
        """
        known = self._event_type(name)
        message_id = self._message_id(name, cause, key)
        if message_id in self._ids:
            raise ZhikeError(text("{name} is emitted twice for one cause; give each a key of its own", name=name))
        depth = self._depth(name, cause)
        now, settings = self.now, self.platform.settings
        try:
            at = checks.instant(occurred_at or now, UTC, now + checks.AHEAD)
            minor, currency = checks.money(amount, currency or settings.currency, settings.currency)
            checks.check_text("source", source, least=0)
        except checks.BadItem as bad:
            raise _refuse(name, bad.field, bad.detail) from None
        given = _json(name, "properties", properties, known.payload, MAX_PROPERTIES_BYTES)
        live = self._live(cause) and at >= now - LIVE
        behaviour, origin = known.kind == "behaviour", self.origin
        event = (message_id, name, behaviour, customer_id, customer_id, at, minor, currency, given, source)
        self._events.append(Emission(*event, origin, live, None, _causation(cause), depth))
        self._ids.add(message_id)
        self._depths[customer_id] = max(depth, self._depths.get(customer_id, 0))

    def enqueue(
        self,
        job: str,
        payload: Mapping[str, Any] | msgspec.Struct | None = None,
        *,
        key: str | None = None,
        due_at: datetime | None = None,
        customer_id: int | None = None,
        cause: Cause | None = None,
        priority: Priority = "normal",
        replace: bool = False,
    ) -> None:
        """Put a job into its queue when the work ends.

        Args:
            job: Name of a registered job.
            payload: As the job's payload type, an object in JSON.
            key: While a job of this name and key waits, a second one is not added.
            due_at: When to run it, with offset; at once when absent.
            customer_id: The customer it is about.
            cause: What made it necessary.
            priority: Before or after others of its queue that are due.
            replace: Whether a waiting job with the same key gets this payload and due time.

        Raises:
            ZhikeError: If the job is unknown or the payload does not fit; it says what.
            TooDeep: If it had too many causes behind it.
        """
        self._check_open()
        known = self.platform.registry.jobs.get(job)
        if known is None:
            raise ZhikeError(text("there is no job {name}", name=job))
        self.jobs.append(
            JobRow(
                name=job,
                queue=known.queue,
                key=key,
                payload=_json(job, "payload", payload, known.payload, MAX_PAYLOAD),
                customer_id=customer_id,
                priority=PRIORITIES[priority],
                due_at=due_at or self.now,
                origin=self.origin,
                plugin=self.platform.registry.owner("jobs", job) or "",
                causation_id=_causation(cause),
                depth=self._depth(job, cause),
                live=self._live(cause),
                replace=replace,
            )
        )

    def emitted(self) -> list[Emission]:
        """Return what was emitted, each as deep as the deepest of the same customer."""
        return [each._replace(depth=self._depths[each.customer]) for each in self._events]

    def _check_open(self) -> None:
        if not self.open:
            raise RuntimeError("this unit of work has ended; nothing that is added to it would be stored")

    def _event_type(self, name: str) -> EventType:
        self._check_open()
        registry = self.platform.registry
        known = registry.event_types.get(name)
        owner = registry.owner("event_types", name)
        # The core works for all when it hands a duty to them; its own nouns are one.
        if known is None or not (self.plugin in {"", owner} or {self.plugin, owner} <= registry.core):
            raise ZhikeError(
                text("{name} is no event type that {plugin} has registered", name=name, plugin=self.plugin)
            )
        return known

    def _message_id(self, name: str, cause: Cause | None, key: str) -> str:
        if cause is None:
            return new_message_id()
        identity = ("job", cause.idempotency_key) if isinstance(cause, JobItem) else ("event", cause.message_id)
        parts = (self.platform.registry.owner("event_types", name), *identity, name, key)
        return str(uuid.uuid5(_NAMESPACE, msgspec.json.encode(parts).decode()))

    def _depth(self, name: str, cause: Cause | None) -> int:
        depth = self.depth if cause is None else cause.depth + isinstance(cause, RecordedEvent)
        if depth > MAX_DEPTH:
            raise TooDeep(text("{name} would be the result of more than {limit} causes", name=name, limit=MAX_DEPTH))
        return depth

    def _live(self, cause: Cause | None) -> bool:
        return self.mode in {"live", "replay"} if cause is None else cause.live


_current: ContextVar[Work | None] = ContextVar("work", default=None)


@asynccontextmanager
async def begin(
    platform: Platform,
    *,
    origin: str,
    plugin: str = "",
    mode: Mode = "live",
    now: datetime | None = None,
    seconds: float = 0,
) -> AsyncIterator[Work]:
    """Begin a unit of work, which commits with all that was emitted and enqueued, or leaves nothing.

    Other processes are told after the commit.

    Args:
        platform: The process's platform.
        origin: Who causes it: `user:7`, `plugin:tagging`, …
        plugin: Whose event types may be emitted; "" is the core.
        mode: Why a consumer is given events.
        now: The instant it counts as recorded; the present one when absent.
        seconds: How long it may take, waits without SQL included, if that is above 30; one statement takes at most 60.

    Raises:
        NotFound: If an event was emitted for a customer that never existed.
        Unavailable: If the database cannot be used, or others are changing the same; the work may be begun again.
        RuntimeError: Inside another unit of work or transaction.
    """
    if in_transaction() or platform.db.engine.current() is not None:
        raise RuntimeError("a unit of work is a transaction of its own: inside another one use its Work")
    async with platform.db.transaction() as connection:
        if seconds > 30:  # else the server's own limits will do (orm.SERVER_SETTINGS)
            for name in ("idle_in_transaction_session_timeout", "statement_timeout"):
                # Who works is stopped before that, with an error that tells more.
                await connection.execute(f"SET LOCAL {name} = '{min(seconds, 86400) + 5:.0f}s'")
        work = Work(platform, connection, plugin=plugin, origin=origin, mode=mode, now=now or clock.now())
        with entered(work):
            try:
                yield work
            except HookTimeout as error:
                # Whoever could not be stopped would write outside of any transaction, or into somebody else's.
                if error.abandoned:
                    await platform.db.engine.cut(connection)
                raise
            news = await _flush(work)
    for topic in news:
        platform.announce(topic)


@contextmanager
def entered(work: Work) -> Iterator[Work]:
    """Make `work` the current one of the block; nothing can be added to it afterwards."""
    before = _current.get()
    _current.set(work)
    try:
        yield work
    finally:
        work.open = False
        # No token: the block may be left in another context.
        _current.set(before)


def current() -> Work:
    """Return the unit of work this runs in.

    Raises:
        RuntimeError: If there is none.
    """
    work = _current.get()
    if work is None or not work.open:
        raise RuntimeError("this does not run in a unit of work; see zhike.work.begin")
    return work


def in_transaction() -> bool:
    """Say whether a unit of work is open here, so that nothing slow such as the network may be used."""
    work = _current.get()
    return work is not None and work.open


async def _flush(work: Work) -> list[str]:
    """Write events, then jobs; return the topics there is news on."""
    news = []
    if (emissions := work.emitted()) and await emit.write(work.connection, emissions, work.now):
        news.append("log")
    if work.jobs:
        await jobs.insert(work.connection, work.jobs)
    # Nobody need be woken for a job that is not due.
    if any(job.due_at <= work.now for job in work.jobs):
        news.append("jobs")
    return news


def _causation(cause: Cause | None) -> int | None:
    return cause.causation_id if isinstance(cause, JobItem) else cause.id if cause else None


def _json(name: str, field: str, value: object, expected: Any, limit: int) -> str:
    """Return properties or a payload as JSON text, after checking it against the type that is expected."""
    try:
        encoded = wire.encode({} if value is None else value, "json")
        given = from_json(msgspec.Raw(encoded), limit)
        if expected is not None:
            checks.check_payload(encoded, expected, field)
    except checks.BadItem as bad:
        raise _refuse(name, bad.field, bad.detail) from None
    except BadProperties as bad_properties:
        raise _refuse(name, field, bad_properties.message) from None
    except (TypeError, ValueError, RecursionError) as error:
        raise _refuse(name, field, text("no JSON can be made of it ({kind})", kind=type(error).__name__)) from None
    return given


def _refuse(name: str, field: str, detail: Text) -> ZhikeError:
    return ZhikeError(text("{name}: {field}: {detail}", name=name, field=field, detail=detail), code="payload")
