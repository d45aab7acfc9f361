"""The log for people who look into it: the latest events of all customers, filtered, and what comes in right now.

No request looks through more than `WINDOW` events: where a filter leaves few of them the page is short and has a next
one. By type, customer or time the order is that of what happened, else that of the log: each has its index.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from asyncpg import Record
from msgspec import Meta

from zhike.access.actor import Actor
from zhike.access.masking import field_of, masked, rules_of
from zhike.access.roles import EVENTS_READ
from zhike.access.scope import visible_customers
from zhike.api import Id, Page
from zhike.customers.identities import normalise
from zhike.errors import Forbidden, NotFound
from zhike.events.filtering import EventsWanted, narrowed, within
from zhike.events.service import COLUMNS, TimelineEvent, event_of
from zhike.events.sight import seen
from zhike.i18n import text
from zhike.ids import decode_cursor, encode_cursor
from zhike.platform import Platform

WINDOW = 1_000
"""Events that one request looks through; of many types by time fewer, since so many are read of each."""
_NARROW = 100
TAIL = 100
"""Most events of one look at what is new."""
_BATCHES = 50
_AT = len(TimelineEvent.__struct_fields__) + 2  # the place in a row after the event, its customer and their name

_WHOSE = ", e.customer_id, (SELECT c.name FROM customer AS c WHERE c.id = e.customer_id) AS customer_name"
_VISIBLE = "EXISTS (SELECT FROM customer AS c WHERE c.id = e.customer_id AND {visible})"
# The OFFSET keeps PostgreSQL from reading all customers at once, which it takes for cheaper than asking for a few.
_LIST = f"""
WITH looked AS MATERIALIZED ({{looked}})
SELECT {COLUMNS}{_WHOSE}, e.{{edge}}, n.size, n.{{edge}}, n.id
FROM (SELECT count(*) OVER () AS size, e.* FROM looked AS e ORDER BY e.{{edge}}, e.id LIMIT 1) AS n
LEFT JOIN (
  SELECT e.* FROM (SELECT * FROM looked ORDER BY {{edge}} DESC, id DESC) AS e CROSS JOIN LATERAL (
    SELECT FROM customer AS c WHERE c.id = e.customer_id AND {{visible}} OFFSET 0
  ) AS whose WHERE true {{where}} ORDER BY e.{{edge}} DESC, e.id DESC LIMIT $1
) AS e ON true
ORDER BY e.{{edge}} DESC, e.id DESC
"""
_BY_LOG = "SELECT e.* FROM event AS e WHERE true {after} ORDER BY e.batch_id DESC, e.id DESC LIMIT {window}"
_BY_TIME = """
SELECT e.* FROM ({keys}) AS k (key) CROSS JOIN LATERAL (
  SELECT e.* FROM event AS e WHERE e.{column} = k.key {after}
  ORDER BY e.occurred_at DESC, e.id DESC LIMIT {window}
) AS e ORDER BY e.occurred_at DESC, e.id DESC LIMIT {window}
"""
_TAIL = f"""
WITH batch AS MATERIALIZED (
  SELECT batch_id, position FROM log_batch WHERE position > $2 ORDER BY position DESC LIMIT {_BATCHES}
)
SELECT {COLUMNS}{_WHOSE}, head.position
FROM (SELECT coalesce(max(position), $2) AS position FROM log_batch) AS head
LEFT JOIN (
  SELECT e.* FROM (SELECT * FROM batch ORDER BY position DESC) AS b CROSS JOIN LATERAL (
    SELECT b.position, e.* FROM event AS e WHERE e.batch_id = b.batch_id AND {_VISIBLE} {{where}}
    ORDER BY e.id DESC LIMIT $1
  ) AS e ORDER BY e.position DESC, e.id DESC LIMIT $1
) AS e ON true
"""
_ONE = f"SELECT {COLUMNS}{_WHOSE} FROM event AS e WHERE e.message_id = $1 AND {_VISIBLE} {{seen}}"
_CHAIN = f"""
SELECT {COLUMNS}{_WHOSE} FROM (
  SELECT * FROM event WHERE customer_id = $1 ORDER BY occurred_at DESC, id DESC LIMIT {WINDOW}
) AS e WHERE (e.id = $2 OR e.causation_id = $3) AND {_VISIBLE} {{seen}} ORDER BY e.id LIMIT 20
"""
_NOW = "SELECT coalesce(max(position), 0) FROM log_batch"


class LogWanted(EventsWanted, frozen=True, kw_only=True):
    """The query parameters of the log.

    Args:
        customer_id: Only of this customer.
        identity: Only of who has this identity, such as `phone:13800138000`.
    """

    customer_id: Id | None = None
    identity: Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9_]*:.", max_length=250)] | None = None


class TailWanted(EventsWanted, frozen=True, kw_only=True):
    """The query parameters of the tail of the log.

    Args:
        position: The `position` of the last look; without it only the present position is told.
    """

    position: Annotated[int, Meta(ge=0)] | None = None


class LoggedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event of the log.

    Args:
        event: The event.
        customer_id: Whose it is.
        customer_name: Who that is; masked for some roles.
    """

    event: TimelineEvent
    customer_id: int
    customer_name: str | None


class Tail(msgspec.Struct, frozen=True):
    """What has come in since a look.

    Args:
        position: Where to look from next.
        items: The events, the latest first; the latest only, if very many have come in.
    """

    position: int
    items: list[LoggedEvent]


async def latest(platform: Platform, actor: Actor, wanted: LogWanted, *, locale: str, key: bytes) -> Page[LoggedEvent]:
    """Return a page of the latest events that `actor` sees, by one statement.

    Args:
        platform: The process's platform.
        actor: Who asks.
        wanted: Which of them.
        locale: The reader's language, in which types are called.
        key: The deployment's secret that signs cursors.

    Raises:
        BadRequest: If the cursor was not made for this list, or the identity is none.
        Forbidden: If the identity is of a field that the actor does not see whole.
    """
    values: list[Any] = []
    by_time, window = _keys(actor, wanted, values)
    scope, edge, kind = ("log by time", "occurred_at", datetime) if by_time else ("log", "batch_id", int)
    after = within(wanted, values) if by_time else ""
    if wanted.cursor is not None:
        values += decode_cursor(wanted.cursor, key, tuple[kind, int], scope=scope)  # type: ignore[valid-type]  # one of two
        after += f" AND (e.{edge}, e.id) < (${len(values)}, ${len(values) + 1})"
    looked = (by_time or _BY_LOG).replace("{after}", after).replace("{window}", str(window))
    where = narrowed(wanted, actor, platform.registry, locale, values) + seen(actor, platform.registry, values)
    sql = _LIST.format(looked=looked, edge=edge, where=where, visible=visible_customers(actor, "c", EVENTS_READ))
    rows = await platform.db.fetch(sql, wanted.size + 1, *values)
    found = [row for row in rows if row[0] is not None]
    items = [_logged(row, actor) for row in found[: wanted.size]]
    end = None
    if len(found) > wanted.size:
        last = found[wanted.size - 1]
        end = (last[_AT], last[0])
    elif rows and rows[0]["size"] == window:
        end = (rows[0][_AT + 2], rows[0][_AT + 3])
    return Page(items, None if end is None else encode_cursor(end, key, scope=scope))


async def tail(platform: Platform, actor: Actor, wanted: TailWanted, *, locale: str) -> Tail:
    """Return what has come in since a look that `actor` sees, by one statement; the latest, if it is very much.

    Args:
        platform: The process's platform.
        actor: Who asks.
        wanted: Since when, and which events.
        locale: The reader's language, in which types are called.
    """
    async with platform.db.connection() as connection:
        if wanted.position is None:
            return Tail(await connection.fetchval(_NOW), [])
        values: list[Any] = [wanted.position]
        where = narrowed(wanted, actor, platform.registry, locale, values) + seen(actor, platform.registry, values)
        sql = _TAIL.format(where=where, visible=visible_customers(actor, "c", EVENTS_READ))
        rows = await connection.fetch(sql, min(wanted.size, TAIL), *values)
    return Tail(rows[0][_AT], [_logged(row, actor) for row in rows if row[0] is not None])


async def one(platform: Platform, actor: Actor, message_id: str) -> LoggedEvent:
    """Return the event that was sent with an id.

    Raises:
        NotFound: If there is none, or `actor` does not see it.
    """
    values: list[Any] = []
    guard = seen(actor, platform.registry, values)
    sql = _ONE.format(visible=visible_customers(actor, "c", EVENTS_READ), seen=guard)
    async with platform.db.connection() as connection:
        row = await connection.fetchrow(sql, message_id, *values)
    if row is None:
        raise NotFound(text("There is no event {id}", id=message_id))
    return _logged(row, actor)


async def chain(platform: Platform, actor: Actor, event: LoggedEvent) -> list[LoggedEvent]:
    """Return what made an event happen and what it made happen, among the latest events of its customer."""
    values: list[Any] = [event.event.causation_id, event.event.id]
    guard = seen(actor, platform.registry, values)
    sql = _CHAIN.format(visible=visible_customers(actor, "c", EVENTS_READ), seen=guard)
    rows = await platform.db.fetch(sql, event.customer_id, *values)
    return [_logged(row, actor) for row in rows]


def _keys(actor: Actor, wanted: LogWanted, values: list[Any]) -> tuple[str, int]:
    """Return the SQL that looks through events in the order of time, and how many; "" if nothing names an index."""
    window = WINDOW
    if wanted.customer_id is not None:
        values.append(wanted.customer_id)
        keys, column = "SELECT $2::bigint", "customer_id"
    elif wanted.identity is not None:
        namespace, _, value = wanted.identity.partition(":")
        if field_of(namespace) in rules_of(actor):
            raise Forbidden(text("{field} is hidden from your role", field=field_of(namespace)), code="hidden")
        values += [namespace, normalise(namespace, value)]
        keys, column = "SELECT customer_id FROM identity WHERE namespace = $2 AND value = $3", "customer_id"
    elif names := wanted.listed:
        values.append(names)
        keys, column, window = "SELECT DISTINCT unnest($2::text[])", "name", max(_NARROW, WINDOW // len(names))
    elif wanted.since or wanted.until:
        keys, column, window = "SELECT name FROM event_type", "name", _NARROW
    else:
        return "", window
    return _BY_TIME.replace("{keys}", keys).replace("{column}", column), window


def _logged(row: Record, actor: Actor) -> LoggedEvent:
    rules = rules_of(actor)
    name = row[_AT - 1]
    if "name" in rules:
        name = masked("name", name) if rules["name"] == "mask" else None
    return LoggedEvent(event=event_of(row, rules), customer_id=row["customer_id"], customer_name=name)
