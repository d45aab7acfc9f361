"""Looks for duplicates in the background: of customers who have changed since, and, when asked, of all.

One row says how far both have come, and whoever works holds it: one chunk at a time, each a transaction, so that a
process that dies loses nothing. Ingest has no part in it: what has changed is read from the log.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from itertools import combinations

import msgspec

from zhike.contracts import Job, JobItem, Schedule
from zhike.customers.duplicates.facts import keys_of, read
from zhike.customers.duplicates.rules import DETECTED, compare, score_of
from zhike.customers.places import PLANS
from zhike.customers.sql import INGEST_SCORE
from zhike.i18n import text
from zhike.orm import Connection
from zhike.work import Work

CHUNK = 500
"""Customers that one transaction compares with others, or events that it reads."""
MOST = 30
"""Customers who may share a key: of more it says nothing, and they are not compared because of it."""
MOST_BY_RULE = {"name_city": 3}
"""The same, of keys that say less: a name that many have in a city is a frequent one."""
JOB = "customers.duplicates"

_STATE = "SELECT position, scan_after, scan_until FROM duplicate_scan FOR UPDATE SKIP LOCKED"
_MOVE = """
UPDATE duplicate_scan SET position = $1, scan_after = $2, compared = compared + $3,
  ended_at = CASE WHEN scan_after IS NOT NULL AND $2::bigint IS NULL THEN $4 ELSE ended_at END
"""
_BEGIN = """
UPDATE duplicate_scan SET scan_after = 0, scan_until = (SELECT coalesce(max(id), 0) FROM customer), compared = 0,
  started_at = $1, ended_at = NULL
"""
_NAMES = ["customer.created", "customer.merged", "customer.unmerged", "customer.updated"]
_FIELDS = ["name", "phone", "email", "company", "kind", "city", "birthday"]
_BATCHES = """
SELECT batch_id, position, size FROM log_batch WHERE position > $1 AND names && $2::text[] ORDER BY position LIMIT 200
"""
_HEAD = "SELECT coalesce(max(position), 0) FROM log_batch"
_TOUCHED = """
SELECT DISTINCT unnest(ARRAY[customer_id, (properties->>'loser_id')::bigint]) AS id FROM event
WHERE batch_id = ANY($1::bigint[]) AND name = ANY($2::text[])
  AND (name <> 'customer.updated' OR properties->'changes' ?| $3::text[])
"""
_NEXT = "SELECT id FROM customer WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3"

# Ordered by key, as ingest adds pairs: nobody waits for each other.
_FORGET = "DELETE FROM customer_match WHERE customer_id = ANY($1::bigint[])"
_WRITE = """
INSERT INTO customer_match AS m (customer_id, keys)
SELECT id, string_to_array(keys, ' ')::bigint[] FROM unnest($1::bigint[], $2::text[]) AS n (id, keys)
ON CONFLICT (customer_id) DO UPDATE SET keys = excluded.keys WHERE m.keys <> excluded.keys
"""
_SHARED = f"""
SELECT k.key, array_agg(m.customer_id) AS ids
FROM unnest($1::bigint[]) AS k (key)
CROSS JOIN LATERAL (SELECT customer_id FROM customer_match WHERE keys @> ARRAY[k.key] LIMIT {MOST + 1}) AS m
GROUP BY k.key HAVING count(*) > 1
"""
# A key that comes to be shared by too many takes back the pairs that were found by it alone.
_BLOCKS = f"""
WITH gone AS (
  DELETE FROM duplicate_block WHERE key = ANY($1::bigint[]) AND key <> ALL($2::bigint[])
), crowded AS (
  INSERT INTO duplicate_block (key, rule, seen_at)
  SELECT key, rule, $4 FROM unnest($2::bigint[], $3::text[]) AS n (key, rule)
  ON CONFLICT (key) DO UPDATE SET seen_at = excluded.seen_at RETURNING key, rule, xmax = 0 AS new
)
DELETE FROM duplicate_candidate WHERE id IN (
  SELECT d.id FROM crowded AS k
  JOIN customer_match AS l ON l.keys @> ARRAY[k.key]
  JOIN duplicate_candidate AS d ON d.low_id = l.customer_id
  JOIN customer_match AS h ON h.customer_id = d.high_id AND h.keys @> ARRAY[k.key]
  WHERE k.new AND d.reason = '{DETECTED}' AND d.state IN ('open', 'later') AND d.rules <@ ARRAY[k.rule, CASE k.rule
    WHEN 'phone_tail' THEN 'pinyin_phone' WHEN 'name_birthday' THEN 'pinyin_birthday' ELSE k.rule END]
)
"""
_KNOWN = """
SELECT low_id, high_id FROM duplicate_candidate
WHERE (low_id = ANY($1::bigint[]) OR high_id = ANY($1::bigint[])) AND state IN ('open', 'later')
"""
_STORE = f"""
INSERT INTO duplicate_candidate AS d (low_id, high_id, reason, rules, score, created_at)
SELECT low_id, high_id, '{DETECTED}', string_to_array(rules, ' '), score, $5
FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::smallint[]) AS n (low_id, high_id, rules, score)
ORDER BY low_id, high_id
ON CONFLICT (low_id, high_id) DO UPDATE SET
  rules = excluded.rules, score = greatest(excluded.score, {INGEST_SCORE.format(reason="d.reason")})
WHERE d.state IN ('open', 'later') AND d.rules <> excluded.rules
"""
_CLOSE = f"""
DELETE FROM duplicate_candidate AS d USING unnest($1::bigint[], $2::bigint[]) AS n (low_id, high_id)
WHERE d.low_id = n.low_id AND d.high_id = n.high_id AND d.reason = '{DETECTED}' AND d.rules = '{{}}'
  AND d.state IN ('open', 'later')
"""


class Detection(msgspec.Struct, frozen=True):
    """Payload of the job.

    Args:
        scan: Whether all customers are to be compared, from the first one on.
    """

    scan: bool = False


async def detect(items: Sequence[JobItem], work: Work) -> None:
    """Compare a chunk of the customers who have changed or, if there are none, of all; and enqueue the rest."""
    connection = work.connection
    if any(item.payload.scan for item in items):
        await begin_scan(connection, work.now)
    row = await connection.fetchrow(_STATE)
    if row is None:
        return  # another process is at it, and goes on
    await connection.execute(PLANS)
    position, after, until = row
    batches, position = await _batches(connection, position)
    ids = [each[0] for each in await connection.fetch(_TOUCHED, batches, _NAMES, _FIELDS)] if batches else []
    scanned = 0
    if not batches and after is not None:
        ids = [each[0] for each in await connection.fetch(_NEXT, after, until, CHUNK)]
        scanned, after = len(ids), ids[-1] if len(ids) == CHUNK else None
    await examine(connection, [each for each in ids if each is not None], work.now)
    await connection.execute(_MOVE, position, after, scanned, work.now)
    if batches or after is not None:
        work.enqueue(JOB, Detection(), key="next")


async def begin_scan(connection: Connection, now: datetime) -> None:
    """Have all customers compared anew; a scan that is under way begins again."""
    await connection.execute(_BEGIN, now)
    await connection.execute("DELETE FROM duplicate_block")


async def _batches(connection: Connection, position: int) -> tuple[list[int], int]:
    """Return the next batches of the log that concern customers' files, and the position up to which it is read."""
    head = await connection.fetchval(_HEAD)  # first, so that nothing can come in between
    rows = await connection.fetch(_BATCHES, position, _NAMES)
    batches: list[int] = []
    size = 0
    for batch, at, events in rows:
        if batches and size + events > CHUNK:
            return batches, position
        batches.append(batch)
        size, position = size + events, at
    return batches, position if len(rows) == 200 else max(head, position)


async def examine(connection: Connection, customers: Collection[int], now: datetime) -> None:
    """Find the duplicates of customers as they are now, and close pairs that have nothing in common any more.

    Args:
        connection: In a transaction that holds the row of `duplicate_scan`.
        customers: Their ids, at most some thousands.
        now: When pairs count as found.
    """
    if not customers:
        return
    facts = await read(connection, customers)
    rules: dict[int, str] = {}
    keys = {each.id: found for each in facts.values() if (found := keys_of(each))}
    for found in keys.values():
        rules |= found
    await connection.execute(_FORGET, [each for each in customers if each not in keys])
    await connection.execute(_WRITE, list(keys), [" ".join(map(str, sorted(each))) for each in keys.values()])
    known = {(low, high) for low, high in await connection.fetch(_KNOWN, list(customers))}
    pairs = known | await _sharing(connection, rules, set(customers), now)
    facts |= await read(connection, {each for pair in pairs for each in pair} - facts.keys())
    held = {
        (low, high): compare(facts[low], facts[high]) for low, high in sorted(pairs) if low in facts and high in facts
    }
    await _store(connection, {pair: rules for pair, rules in held.items() if rules or pair in known}, now)


async def _sharing(
    connection: Connection, rules: Mapping[int, str], customers: Collection[int], now: datetime
) -> set[tuple[int, int]]:
    """Return the pairs with one of some customers that share a key; note the keys that too many share."""
    pairs: set[tuple[int, int]] = set()
    crowded: dict[int, str] = {}
    for key, ids in await connection.fetch(_SHARED, list(rules)):
        if len(ids) > MOST_BY_RULE.get(rules[key], MOST):
            crowded[key] = rules[key]
            continue
        pairs.update(pair for pair in combinations(sorted(ids), 2) if pair[0] in customers or pair[1] in customers)
    await connection.execute(_BLOCKS, list(rules), list(crowded), list(crowded.values()), now)
    return pairs


async def _store(connection: Connection, held: Mapping[tuple[int, int], Sequence[str]], now: datetime) -> None:
    if held:
        lows, highs = map(list, zip(*held, strict=True))
        rules, scores = [" ".join(each) for each in held.values()], [score_of(each) for each in held.values()]
        await connection.execute(_STORE, lows, highs, rules, scores, now)
        await connection.execute(_CLOSE, lows, highs)


JOBS = [Job(name=JOB, run=detect, payload=Detection, label=text("Look for duplicate customers"))]
SCHEDULES = [
    Schedule(name="customers.duplicates", job=JOB, cron="*/5 * * * *"),
    Schedule(name="customers.duplicates_scan", job=JOB, cron="40 3 * * 0", payload={"scan": True}),
]
