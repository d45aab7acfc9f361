"""The hot SQL of ingest: what of a batch is known, and the one statement that writes its events."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from zhike.customers.identities import WEAK
from zhike.customers.merge import Stat
from zhike.orm import Connection

SHARDS = 64
"""Shards of the log; the shard of an event is the id of the customer whose it was when recorded, modulo this."""

_WEAK = ", ".join(f"'{namespace}'" for namespace in WEAK)

# One round trip answers everything, each answer in an array: a record per row would cost more than the look-ups.
# "anonymous" are the owners of weak identities who have no strong one: only such customers are ever merged by
# ingest, so that everybody else's events need no lock. "fresh" are ids for customers who may have to be created,
# as many as identities are unknown; most unknown ones are new customers, and the ids of the others are left out.
# LIMIT 1 keeps the planner from hashing the whole table.
_KNOWN = f"""
SELECT
  (SELECT array_agg(message_id) FROM event WHERE message_id = ANY($1::text[])),
  owner.ids, owner.homes, owner.anonymous, owner.fresh,
  EXISTS (SELECT FROM erased_identity) OR EXISTS (SELECT FROM erased_message)
FROM (
  SELECT
    array_agg(i.customer_id ORDER BY k.place) AS ids,
    array_agg(nullif(i.home_customer_id, i.customer_id) ORDER BY k.place) AS homes,
    array_agg(i.customer_id) FILTER (
      WHERE k.namespace IN ({_WEAK}) AND i.customer_id IS NOT NULL AND (
        SELECT true FROM identity AS s
        WHERE s.customer_id = i.customer_id AND s.namespace NOT IN ({_WEAK}) LIMIT 1
      ) IS NULL
    ) AS anonymous,
    array_agg(nextval('customer_id_seq')) FILTER (WHERE i.customer_id IS NULL) AS fresh
  FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS k (namespace, value, place)
  LEFT JOIN LATERAL (
    SELECT customer_id, home_customer_id FROM identity WHERE namespace = k.namespace AND value = k.value LIMIT 1
  ) AS i ON true
) AS owner
"""

# Ids are drawn in log order, but rows go in by message id: two batches that bring the same events in different
# orders then wait for each other instead of deadlocking.
#
# Customers that are merged away are held FOR UPDATE meanwhile. An event of one must not be stored behind the back of
# the merge, which moves those it sees: whoever is being merged, or was since the batch was resolved, stops the batch.
# As in `zhike.events.emit`, nobody waits for a merge while holding anything.
_DATA = """
WITH held AS MATERIALIZED (
  SELECT FROM customer WHERE id = ANY($19::bigint[]) AND merged_into IS NULL AND erased_at IS NULL
  FOR KEY SHARE SKIP LOCKED
), data AS MATERIALIZED (
  SELECT nextval('event_id_seq') AS id, d.*
  FROM unnest(
    $1::text[], $2::text[], $3::boolean[], $4::bigint[], $5::bigint[], $6::timestamptz[],
    $7::bigint[], $8::text[], $9::text[], $10::text[], $11::text[], $12::boolean[], $13::bigint[],
    $14::bigint[], $15::smallint[]
  ) AS d (
    message_id, name, behaviour, customer_id, home_customer_id, occurred_at, amount, currency,
    properties, source, origin, live, import_id, causation_id, depth
  )
  WHERE (SELECT count(*) FROM held) = cardinality($19::bigint[])
), batch AS (
  INSERT INTO log_batch (names, shards, size, created_at)
  SELECT $17::text[], bit_or(1::bigint << shard(customer_id)), count(*), $16 FROM data HAVING count(*) > 0
  RETURNING batch_id
), stored AS (
  INSERT INTO event (
    id, batch_id, message_id, name, behaviour, customer_id, home_customer_id, shard, occurred_at, recorded_at,
    amount, currency, properties, source, origin, live, import_id, causation_id, depth
  )
  SELECT
    id, batch_id, message_id, name, behaviour, customer_id, home_customer_id, shard(customer_id),
    occurred_at, $16, amount, currency, properties::jsonb, source, origin, live, import_id,
    causation_id, coalesce(depth, 0)
  FROM data CROSS JOIN batch
  ORDER BY message_id COLLATE "C"
  ON CONFLICT DO NOTHING
  RETURNING name, behaviour, customer_id, occurred_at, amount, coalesce(currency, '') AS currency
), type AS (
  INSERT INTO event_type (name, behaviour, first_seen_at)
  SELECT name, behaviour, $16 FROM unnest($17::text[], $18::boolean[]) AS n (name, behaviour)
  WHERE NOT EXISTS (SELECT FROM event_type AS t WHERE t.name = n.name COLLATE "C")
  ON CONFLICT DO NOTHING
)
""".replace("shard(customer_id)", f"(customer_id % {SHARDS})::smallint")

_COUNTED = """
  SELECT
    customer_id, coalesce(name, '*') AS name, currency, count(*) AS count,
    coalesce(sum(amount), 0) AS sum, min(occurred_at) AS first_at, max(occurred_at) AS last_at
  FROM stored WHERE behaviour
  GROUP BY GROUPING SETS ((customer_id, name, currency), (customer_id, currency))
"""

# What visitors had who are merged in this very transaction joins the rows of the batch, because all rows of
# customer_event_stat must be locked in one pass in the order of their key.
_MOVED = """
  SELECT
    customer_id, name, currency, sum(count), sum(sum), min(first_at), max(last_at)
  FROM (
{counted}
    UNION ALL
    SELECT customer_id, name COLLATE "C", currency COLLATE "C", count, sum, first_at, last_at
    FROM unnest(
      $20::bigint[], $21::text[], $22::text[], $23::bigint[], $24::bigint[],
      $25::timestamptz[], $26::timestamptz[]
    ) AS m (customer_id, name, currency, count, sum, first_at, last_at)
  ) AS part (customer_id, name, currency, count, sum, first_at, last_at)
  GROUP BY customer_id, name, currency
"""

_STATS = """
, stat AS (
  INSERT INTO customer_event_stat AS s (customer_id, name, currency, count, sum, first_at, last_at)
  SELECT * FROM ({source}  ) AS part
  ORDER BY customer_id, name COLLATE "C", currency COLLATE "C"
  ON CONFLICT (customer_id, name, currency) DO UPDATE SET
    count = s.count + excluded.count,
    sum = s.sum + excluded.sum,
    first_at = least(s.first_at, excluded.first_at),
    last_at = greatest(s.last_at, excluded.last_at)
)
"""

_COUNT = "SELECT count(*) FROM stored"
_INSERT = _DATA + _COUNT
_INSERT_STATS = _DATA + _STATS.format(source=_COUNTED) + _COUNT
_INSERT_MOVED = _DATA + _STATS.format(source=_MOVED.format(counted=_COUNTED)) + _COUNT


KEEP_MESSAGES = "INSERT INTO erased_message SELECT unnest($1::bytea[]) ON CONFLICT DO NOTHING"
"""Remembers the message ids, as hashes, of events that are about to be deleted for good."""
DELETE_EVENTS = """
DELETE FROM event AS e USING unnest($1::bigint[], $2::bigint[]) AS n (batch_id, id)
WHERE e.batch_id = n.batch_id AND e.id = n.id
"""
REWRITTEN = "SELECT nextval('log_rewrite')"
"""Has consumers read the log anew; to be sent after the commit of what has deleted events."""


class EventRows(msgspec.Struct):
    """Events ready to be written, one list per column, in log order.

    `causations` and `depths` may be shorter than the others: the rest comes from outside.
    """

    message_ids: list[str] = []
    names: list[str] = []
    behaviours: list[bool] = []
    customers: list[int] = []
    homes: list[int] = []
    occurred: list[datetime] = []
    amounts: list[int | None] = []
    currencies: list[str | None] = []
    properties: list[str] = []
    sources: list[str] = []
    origins: list[str] = []
    lives: list[bool] = []
    imports: list[int | None] = []
    causations: list[int | None] = []
    depths: list[int] = []

    def __len__(self) -> int:
        return len(self.message_ids)

    def extend(self, others: EventRows) -> None:
        """Add further events to the end."""
        missing = len(self) - len(self.depths)
        self.causations += [None] * missing
        self.depths += [0] * missing
        for column, more in zip(msgspec.structs.astuple(self), msgspec.structs.astuple(others), strict=True):
            column.extend(more)


class Known(NamedTuple):
    """What of a batch the database knows already.

    Args:
        message_ids: Those that are stored.
        owners: The customer of every known identity.
        homes: Of those that were first given to somebody else, who was merged away since, to whom.
        anonymous: Owners of weak identities who have no strong identity.
        fresh: Ids for new customers, one for each unknown identity.
        erasures: Whether any customer or event was ever erased, so that what is unknown may be of these.
    """

    message_ids: list[str]
    owners: dict[tuple[str, str], int]
    homes: dict[tuple[str, str], int]
    anonymous: set[int]
    fresh: list[int]
    erasures: bool


async def known(connection: Connection, message_ids: list[str], identities: Sequence[tuple[str, str]]) -> Known:
    """Look up a batch's message ids and (distinct) identities."""
    namespaces = [namespace for namespace, _ in identities]
    values = [value for _, value in identities]
    row = await connection.fetchrow(_KNOWN, message_ids, namespaces, values)
    stored, ids, homes, anonymous, fresh, erasures = row or (None, None, None, None, None, False)
    owners = {pair: owner for pair, owner in zip(identities, ids or (), strict=True) if owner is not None}
    away = {pair: home for pair, home in zip(identities, homes or (), strict=True) if home is not None}
    return Known(stored or [], owners, away, set(anonymous or ()), fresh or [], erasures)


async def insert_events(
    connection: Connection,
    rows: EventRows,
    *,
    recorded_at: datetime,
    stats: bool = True,
    moved: list[Stat] | None = None,
    held: Collection[int] = (),
) -> int:
    """Write one batch of the log: its row in log_batch, its events, their types and, with them, the stats.

    Args:
        connection: Inside the transaction that the batch belongs to.
        rows: The events; their customers are not checked.
        recorded_at: The instant they count as stored.
        stats: Whether customer_event_stat is kept up to date with them.
        moved: Stats of merged customers that are added to their winners'.
        held: Customers of the events that the transaction neither holds nor has made: none may be merged meanwhile.

    Returns:
        How many were written. Fewer than `len(rows)` means that another transaction has stored one of the
        message ids since they were looked up, or merges one of `held`; the caller must roll back then.
    """
    behaviours = dict(zip(rows.names, rows.behaviours, strict=True))
    names = sorted(behaviours)
    # A column of nulls only means the same when it is empty, and is quicker to send.
    columns = [[] if each.count(None) == len(each) else each for each in msgspec.structs.astuple(rows)]
    given = [*columns, recorded_at, names, [behaviours[name] for name in names], held]
    if moved:
        extra = [list(column) for column in zip(*moved, strict=True)]
        stored = await connection.fetchval(_INSERT_MOVED, *given, *extra)
    else:
        stored = await connection.fetchval(_INSERT_STATS if stats else _INSERT, *given)
    return int(stored)
