"""A consumer's cursor as one process knows it, and the SQL that claims it, moves it and says what went wrong."""

from __future__ import annotations

import asyncio
import random
import time

from asyncpg import Record

from zhike.consumers.log import Place, Want
from zhike.contracts import Consumer, Mode, RecordedEvent
from zhike.desk import warnings
from zhike.orm import Connection

LARGEST = 500
"""Most events of one call, whatever the contract says."""
LETTERS = 20
"""Dead letters among the last `WINDOW` events that are taken for bad events; more of them mean a bad plugin."""
WINDOW = 2_000
"""Events over which dead letters are counted."""
LEFT_ALONE = 1.0
"""Seconds that a cursor is left to the process that was seen to move it."""

REGISTER = """
INSERT INTO consumer (name, events, rebuildable, mode, live_from)
SELECT $1, $2, $3, CASE WHEN $4 THEN 'backfill' ELSE 'live' END, coalesce(max(position), 0) + 1 FROM log_batch
ON CONFLICT (name) DO UPDATE SET events = excluded.events, rebuildable = excluded.rebuildable
WHERE (consumer.events, consumer.rebuildable) IS DISTINCT FROM (excluded.events, excluded.rebuildable)
"""
REGISTER_CURSOR = """
INSERT INTO consumer_cursor (consumer, shard_from, shard_to, position)
SELECT name, 0, 63, CASE WHEN $2 THEN 1 ELSE live_from END FROM consumer AS c
WHERE name = $1 AND NOT EXISTS (SELECT FROM consumer_cursor WHERE consumer = c.name)
ON CONFLICT DO NOTHING
"""
# A clock that was set back leaves times to come that are too far off: they count as reached.
VIEW = """
SELECT
  k.consumer, k.shard_from, k.shard_to, k.position, k.event_id, k.suspects, k.failures, c.restart,
  c.state = 'running' AND c.restart IS NULL AS running, c.mode, c.live_from,
  CASE WHEN k.retry_at BETWEEN now() AND now() + interval '1 minute'
    THEN extract(epoch FROM k.retry_at - now())::float8 ELSE 0 END AS wait,
  EXISTS (SELECT FROM dead_letter AS d WHERE d.consumer = k.consumer AND d.replay_at IS NOT NULL
    AND d.shard BETWEEN k.shard_from AND k.shard_to) AS replays
FROM consumer_cursor AS k JOIN consumer AS c ON c.name = k.consumer
"""
_CLAIM = """
SELECT
  k.shard_to, k.position, k.event_id, k.suspects, k.failures, k.offered, c.mode, c.live_from,
  c.state = 'running' AND c.restart IS NULL AND c.events = $3::text[] AS running,
  a.event_id AS tried, a.size, a.tries, a.process, greatest(extract(epoch FROM now() - a.at), 0)::float8 AS age,
  (SELECT coalesce(max(id), 0) FROM erasure) + (SELECT last_value FROM log_rewrite) AS erasures
FROM consumer_cursor AS k
JOIN consumer AS c ON c.name = k.consumer
LEFT JOIN consumer_attempt AS a ON a.consumer = k.consumer AND a.shard_from = k.shard_from
WHERE k.consumer = $1 AND k.shard_from = $2
FOR UPDATE OF k SKIP LOCKED
"""
_MOVE = """
UPDATE consumer_cursor SET
  position = $3, event_id = $4, suspects = $5, offered = offered + $6,
  failures = 0, retry_at = NULL, last_error = NULL, moved_at = now()
WHERE consumer = $1 AND shard_from = $2
"""
_FAIL = """
UPDATE consumer_cursor SET
  suspects = $3, failures = $4, retry_at = now() + make_interval(secs => $5), last_error = $6
WHERE consumer = $1 AND shard_from = $2
"""
_RECENT = """
SELECT count(*) FROM dead_letter
WHERE consumer = $1 AND offered > greatest($2::bigint, 0) AND shard BETWEEN $3 AND $4
"""
_BURY = """
INSERT INTO dead_letter (consumer, batch_id, event_id, message_id, event_name, customer_id, shard, error, offered)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (consumer, event_id) DO UPDATE
SET attempts = dead_letter.attempts + 1, error = excluded.error, offered = excluded.offered
"""
PAUSE = """
UPDATE consumer SET state = 'paused', pause_reason = $2, paused_at = now() WHERE name = $1 AND state = 'running'
"""


class Cursor:
    """A range of shards of one consumer.

    Args:
        name: The consumer's plugin.
        contract: What the plugin registered.
        row: The cursor's row of `VIEW`.

    Attributes:
        stored: The place that the database was seen to hold.
        place: How far this process has looked; there is nothing for the consumer in between.
        suspects: So many next events are known to contain one that fails or ends the process; 0 for none.
        killed: Whether these suspects have ended a process, so that no others should be tried beside them.
        failures: Attempts in a row that have failed and are repeated.
        not_before: The instant of `time.monotonic` before which nothing is tried.
        outages: Attempts in a row that the database has spoilt.
        erasures: The newest erasure that was known of when its next events were read.
        letter: The dead letter that was taken to be offered again, until that has come to an end.
        busy: Whether it is being worked on here.
        kick: Set when there may be something to do.
    """

    def __init__(self, name: str, contract: Consumer, row: Record) -> None:
        self.name = name
        self.contract = contract
        self.shard_from: int = row["shard_from"]
        self.killed = self.busy = False
        self.not_before = 0.0
        self.outages = self.erasures = 0
        self.letter: int | None = None
        self.kick = asyncio.Event()
        self.adopt(row)
        self.look_at(row, self.stored)

    def adopt(self, row: Record) -> None:
        """Take over what the database holds."""
        self.stored: Place = (row["position"], row["event_id"])
        self.place = self.stored
        self.suspects: int = row["suspects"]
        self.failures: int = row["failures"]
        self.mode: Mode = row["mode"]
        self.live_from: int = row["live_from"]
        names = None if "*" in self.contract.events else frozenset(self.contract.events)
        self.want = Want(names, self.shard_from, row["shard_to"])
        self.persisted = time.monotonic()

    def look_at(self, row: Record, stored: Place) -> None:
        """Take over the consumer's state, and the cursor's if another process has changed it.

        Args:
            row: The row of `VIEW`.
            stored: What `stored` was when the row was asked for.
        """
        self.running: bool = row["running"]
        self.restart: bool = row["restart"] is not None
        self.replays: bool = row["replays"]
        if stored is self.stored and not self.busy and not self.stands_at(row):
            self.adopt(row)
            self.not_before = time.monotonic() + LEFT_ALONE
        if row["wait"] > 0:
            self.not_before = max(self.not_before, time.monotonic() + row["wait"])

    def stands_at(self, row: Record) -> bool:
        """Tell whether the database holds what this process believes."""
        known = (*self.stored, self.want.shard_to, self.mode, self.live_from)
        return (row["position"], row["event_id"], row["shard_to"], row["mode"], row["live_from"]) == known

    @property
    def key(self) -> tuple[str, int]:
        """The row's key."""
        return self.name, self.shard_from

    @property
    def size(self) -> int:
        """How many events to try at once: half of those under suspicion."""
        return max(1, self.suspects // 2 if self.suspects else min(self.contract.batch, LARGEST))

    async def claim(self, connection: Connection) -> Record | None:
        """Lock the row until the transaction ends; None if it is not for this process to go on from here."""
        # A process in which the plugin still wants other events must not pass by those that are wanted now.
        row = await connection.fetchrow(_CLAIM, *self.key, list(self.contract.events))
        if row is None:  # another process is at it, or there is no such range any more
            self.not_before = time.monotonic() + LEFT_ALONE / 4
            return None
        if not self.stands_at(row):
            self.adopt(row)
            return None
        self.running = row["running"]
        return row if self.running else None

    async def move(self, connection: Connection, end: Place, events: int) -> None:
        """Move the row past `events` events, in the transaction of their effects."""
        await connection.execute(_MOVE, *self.key, *end, max(0, self.suspects - events), events)

    def moved(self, end: Place, events: int) -> None:
        """Note that the transaction of a `move` has committed."""
        self.stored = self.place = end
        self.suspects = max(0, self.suspects - events)
        self.killed = self.killed and self.suspects > 0
        self.failures = self.outages = 0
        self.persisted = time.monotonic()

    def wait(self, seconds: float) -> float:
        """Try nothing for about so long; never all for the same time, so that they do not come back together."""
        seconds *= random.uniform(0.5, 1.0)  # noqa: S311  # no secret
        self.not_before = time.monotonic() + seconds
        return seconds

    async def fail(self, connection: Connection, suspects: int, failures: int, wait: float, error: str) -> None:
        """Write down that events failed and are tried again after `wait` seconds."""
        await connection.execute(_FAIL, *self.key, suspects, failures, wait, error)
        self.suspects, self.failures = suspects, failures

    async def bury(self, connection: Connection, row: Record, event: RecordedEvent, end: Place, error: str) -> bool:
        """Set an event aside and go on behind it, or pause the consumer if there were too many; return which."""
        offered: int = row["offered"] + 1
        recent = await connection.fetchval(_RECENT, self.name, offered - WINDOW, self.shard_from, self.want.shard_to)
        if recent >= LETTERS:
            if await connection.execute(PAUSE, self.name, "dead_letters") == "UPDATE 1":
                await warnings.consumer_paused(connection, self.name)
            await self.fail(connection, self.suspects, 0, 0.0, error)
            self.running = False
            return False
        about = (event.batch_id, event.id, event.message_id, event.name, event.customer_id, event.shard)
        await connection.execute(_BURY, self.name, *about, error, offered)
        await self.move(connection, end, 1)
        return True
