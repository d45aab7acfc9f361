"""What staff see of consumers and do with them; the runners do the rest."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from asyncpg import Record

from zhike.access import audit
from zhike.api import Page, check_instant
from zhike.consumers.schemas import ConsumerState, DeadLetter, Range
from zhike.consumers.sequencer import indexed
from zhike.errors import BadRequest, Conflict, NotFound
from zhike.events.sql import SHARDS
from zhike.i18n import Text, text
from zhike.ids import decode_cursor, encode_cursor

if TYPE_CHECKING:
    from zhike.access.actor import Actor
    from zhike.orm import Connection, Database

COUNTED = 100_000
"""Batches of the log up to where its events are counted."""

_STATES = """
SELECT
  c.name, c.state, c.pause_reason, c.paused_at, c.mode, c.restart, c.rebuildable, c.events, c.live_from,
  (SELECT count(*) FROM dead_letter AS d WHERE d.consumer = c.name) AS dead_letters,
  k.shard_from, k.shard_to, k.position, k.failures, k.last_error, lag.lag_batches, lag.lag_events, lag.lag_seconds
FROM consumer AS c
JOIN consumer_cursor AS k ON k.consumer = c.name
CROSS JOIN LATERAL (
  SELECT
    count(*) AS lag_batches, coalesce(sum(size), 0) AS lag_events,
    coalesce(greatest(extract(epoch FROM now() - min(received_at)), 0), 0)::float8 AS lag_seconds
  FROM log_batch AS b WHERE b.position >= k.position
) AS lag
ORDER BY c.name, k.shard_from
"""
_EXISTS = "SELECT true FROM consumer WHERE name = $1"
_LETTERS = """
SELECT
  id, consumer, event_id, event_name, message_id, customer_id, error, attempts,
  replay_at IS NOT NULL AS queued, created_at
FROM dead_letter WHERE id < $1 AND ($2::text IS NULL OR consumer = $2) ORDER BY id DESC LIMIT $3
"""
_SINCE = """
SELECT coalesce(
  (SELECT min(position) FROM log_batch WHERE position IS NOT NULL AND created_at >= $1),
  (SELECT coalesce(max(position), 0) + 1 FROM log_batch)
)
"""
_AHEAD = """
SELECT coalesce(sum(size), 0)::bigint, count(*) FROM (
  SELECT size, created_at FROM log_batch WHERE position IS NOT NULL ORDER BY position DESC LIMIT $2
) AS b WHERE $1::timestamptz IS NULL OR created_at >= $1
"""
_SKIP = """
WITH head AS (
  SELECT coalesce(max(position), 0) + 1 AS position FROM log_batch
), consumer AS (
  UPDATE consumer AS c SET live_from = head.position, mode = 'live' FROM head WHERE c.name = $1
)
UPDATE consumer_cursor AS k SET
  position = head.position, event_id = 0, suspects = 0, failures = 0, retry_at = NULL, last_error = NULL
FROM head WHERE k.consumer = $1
"""
_RANGE = """
INSERT INTO consumer_cursor (consumer, shard_from, shard_to, position, event_id, offered)
VALUES ($1, $2, $3, $4, $5, $6)
"""


async def consumers(db: Database, *, loaded: Collection[str] | None = None, locale: str = "en") -> list[ConsumerState]:
    """Return all consumers by name, those of plugins that are off too.

    Args:
        db: Where they are.
        loaded: Names of the plugins that run, or None if that is not known.
        locale: The reader's language.
    """
    async with indexed(db) as connection:
        rows = await connection.fetch(_STATES)
    return [_state(list(group), loaded, locale) for _, group in groupby(rows, key=lambda row: row["name"])]


async def pause(db: Database, actor: Actor, name: str) -> bool:
    """Give a consumer no more events until it is resumed; return whether it was running.

    Raises:
        NotFound: If there is no such consumer.
    """
    values = "state = 'paused', pause_reason = 'staff', paused_at = now()"
    return await _change(db, actor, "pause", name, values, "state = 'running'")


async def resume(db: Database, actor: Actor, name: str) -> bool:
    """Let a paused consumer go on where it stands; return whether it was paused.

    The dead letters so far no longer count against it.

    Raises:
        NotFound: If there is no such consumer.
    """
    values = "state = 'running', pause_reason = NULL, paused_at = NULL"
    return await _change(db, actor, "resume", name, values, "state = 'paused'")


async def rebuild(db: Database, actor: Actor, name: str) -> bool:
    """Have a runner delete what a consumer derived and offer it the whole log again, in mode rebuild.

    Returns:
        Whether that was not under way already.

    Raises:
        NotFound: If there is no such consumer.
        Conflict: If it cannot start over.
    """
    return await _start_over(db, actor, name, "rebuild")


async def backfill(db: Database, actor: Actor, name: str, since: datetime | None) -> bool:
    """Have a runner delete what a consumer derived and offer it the log since some time, in mode backfill.

    This is how a plugin that began at "now" takes up what had happened before. It starts over, because events that
    it has had already must not count twice: only what can be rebuilt can be backfilled. A consumer that began at
    the beginning has been backfilled by that.

    Args:
        db: Where the consumer is.
        actor: Who asks for it.
        name: The plugin's name.
        since: Batches recorded from then on; None for all.

    Returns:
        Whether that was not under way already.

    Raises:
        NotFound: If there is no such consumer.
        BadRequest: If `since` is outside the years 1970 to 2999.
        Conflict: If it cannot start over.
    """
    return await _start_over(db, actor, name, "backfill", since=since)


async def ahead(db: Database, since: datetime | None = None) -> tuple[int, bool]:
    """Return how many events the log has since some time, and whether that is only a part: counting ends somewhere.

    Args:
        db: Where the log is.
        since: Batches recorded from then on; None for all.

    Raises:
        BadRequest: If `since` is outside the years 1970 to 2999.
    """
    if since:
        check_instant("since", since)
    async with indexed(db) as connection:
        row = await connection.fetchrow(_AHEAD, since, COUNTED)
    assert row is not None  # noqa: S101  # an aggregate
    return row[0], row[1] >= COUNTED


async def split(db: Database, actor: Actor, name: str, ranges: int) -> bool:
    """Work on so many ranges of shards side by side.

    Args:
        db: Where the consumer is.
        actor: Who asks for it.
        name: The plugin's name.
        ranges: 1 to 64.

    Returns:
        Whether that changed anything.

    Raises:
        NotFound: If there is no such consumer.
        Conflict: If ranges that are to become one stand at different places of the log.
    """
    bounds = [each * SHARDS // ranges for each in range(ranges + 1)]
    async with db.transaction() as connection:
        query = "SELECT * FROM consumer_cursor WHERE consumer = $1 ORDER BY shard_from FOR UPDATE"
        old = await connection.fetch(query, name)
        if not old:
            raise _unknown(name)
        if [row["shard_from"] for row in old] == bounds[:-1]:
            return False
        new = []
        for first, end in pairwise(bounds):
            parts = [row for row in old if row["shard_from"] < end and row["shard_to"] >= first]
            places = {(row["position"], row["event_id"]) for row in parts}
            if len(places) > 1:
                message = text(
                    "The ranges of {consumer} stand at different places of the log; try again", consumer=name
                )
                raise Conflict(message)
            new.append((name, first, end - 1, *places.pop(), max(row["offered"] for row in parts)))
        await connection.execute("DELETE FROM consumer_cursor WHERE consumer = $1", name)
        await connection.execute("DELETE FROM consumer_attempt WHERE consumer = $1", name)
        await connection.executemany(_RANGE, new)
        await audit.record(connection, actor, "consumer.shards", f"consumer:{name}", {"ranges": ranges})
    return True


async def skip_to_now(connection: Connection, name: str) -> None:
    """Move a consumer to the end of the log: what was placed until now is never offered to it.

    Args:
        connection: In a transaction; it may have to wait for what is being offered at this moment.
        name: The plugin's name.
    """
    await connection.execute(_SKIP, name)


async def dead_letters(
    db: Database, *, consumer: str | None = None, limit: int = 50, cursor: str | None = None, key: bytes = b""
) -> Page[DeadLetter]:
    """Return a page of dead letters, the latest first.

    Args:
        db: Where they are.
        consumer: Whose, or None for all.
        limit: Letters on the page.
        cursor: `next` of the page before.
        key: The deployment's secret that signs cursors.
    """
    before = 2**63 - 1 if cursor is None else decode_cursor(cursor, key, int, scope="dead letters")
    async with db.connection() as connection:
        rows = await connection.fetch(_LETTERS, before, consumer, limit + 1)
    items = [DeadLetter(**row) for row in rows[:limit]]
    return Page(items, encode_cursor(items[-1].id, key, scope="dead letters") if len(rows) > limit else None)


async def replay(db: Database, actor: Actor, ids: list[int] | None = None, consumer: str | None = None) -> int:
    """Have runners offer dead letters again; return how many.

    One that succeeds is deleted, one that fails stays.

    Raises:
        BadRequest: Unless either ids or a consumer are given.
        NotFound: If there is no such consumer.
    """
    return await _letters(db, actor, "replay", "UPDATE dead_letter SET replay_at = now()", ids, consumer)


async def discard(
    db: Database, actor: Actor, ids: list[int] | None = None, consumer: str | None = None, *, reason: str = ""
) -> int:
    """Give dead letters up for good; return how many. The audit trail keeps the reason.

    Raises:
        BadRequest: Unless either ids or a consumer are given.
        NotFound: If there is no such consumer.
    """
    return await _letters(db, actor, "discard", "DELETE FROM dead_letter", ids, consumer, reason=reason)


async def _letters(
    db: Database, actor: Actor, verb: str, query: str, ids: list[int] | None, consumer: str | None, **details: str
) -> int:
    if (ids is None) == (consumer is None):
        raise BadRequest(text("expected either ids or a consumer"))
    async with db.transaction() as connection:
        status = await connection.execute(f"{query} WHERE id = ANY($1::bigint[]) OR consumer = $2", ids or [], consumer)
        count = int(status.rpartition(" ")[2])
        if not count and consumer and not await connection.fetchval(_EXISTS, consumer):
            raise _unknown(consumer)
        subject = f"consumer:{consumer}" if consumer else "deadletters"
        await audit.record(connection, actor, f"deadletters.{verb}", subject, {"ids": ids, "count": count, **details})
    return count


async def _change(db: Database, actor: Actor, verb: str, name: str, values: str, unless: str) -> bool:
    async with db.transaction() as connection:
        status = await connection.execute(f"UPDATE consumer SET {values} WHERE name = $1 AND {unless}", name)
        changed: bool = status != "UPDATE 0"
        if changed:
            await connection.execute("UPDATE dead_letter SET offered = 0 WHERE consumer = $1", name)
            await audit.record(connection, actor, f"consumer.{verb}", f"consumer:{name}", {})
        elif not await connection.fetchval(_EXISTS, name):
            raise _unknown(name)
    return changed


async def _start_over(db: Database, actor: Actor, name: str, mode: str, **details: datetime | None) -> bool:
    async with db.transaction() as connection:
        row = await connection.fetchrow("SELECT rebuildable, restart FROM consumer WHERE name = $1 FOR UPDATE", name)
        if row is None:
            raise _unknown(name)
        if since := details.get("since"):
            check_instant("since", since)
        if not row["rebuildable"]:
            raise Conflict(
                text("{consumer} does not say how to delete what it derived, so it cannot start over", consumer=name)
            )
        if row["restart"] is not None:
            return False
        position = await connection.fetchval(_SINCE, since) if since else 1
        await connection.execute(
            "UPDATE consumer SET restart = $2, restart_at = $3 WHERE name = $1", name, mode, position
        )
        await audit.record(connection, actor, f"consumer.{mode}", f"consumer:{name}", details)
    return True


def _state(rows: list[Record], loaded: Collection[str] | None, locale: str) -> ConsumerState:
    first, last = rows[0], max(rows, key=lambda row: row["lag_batches"])
    reason = pause_reason(first["pause_reason"])
    return ConsumerState(
        **{name: first[name] for name in ("name", "paused_at", "rebuildable", "events", "dead_letters")},
        **{name: last[name] for name in ("lag_batches", "lag_events", "lag_seconds")},
        state="off" if loaded is not None and first["name"] not in loaded else first["state"],
        reason=reason.render(locale) if reason else None,
        mode=first["mode"] if min(row["position"] for row in rows) < first["live_from"] else "live",
        starting_over=first["restart"] is not None,
        last_error=next((row["last_error"] for row in rows if row["last_error"]), None),
        ranges=[Range(**{name: row[name] for name in Range.__struct_fields__}) for row in rows],
    )


def pause_reason(code: str | None) -> Text | None:
    """Return what a `pause_reason` of the table means, for people."""
    return {
        "staff": text("paused by staff"),
        "dead_letters": text("too many events in a row could not be taken; mend the plugin, then resume it"),
        "reset": text("starting over has not come to its end; see the last error and try again"),
    }.get(code or "")


def _unknown(name: str) -> NotFound:
    return NotFound(text("There is no consumer {name}", name=name))
