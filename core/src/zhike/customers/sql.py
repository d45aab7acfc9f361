"""The SQL by which ingest reads and writes customers and identities, inside its transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg

from zhike.customers.identities import WEAK
from zhike.customers.resolve import Candidate, Pair
from zhike.customers.traits import Draft
from zhike.orm import Connection

_WEAK = ", ".join(f"'{namespace}'" for namespace in WEAK)

# Ordered by id, like every lock on several customers, so that no two transactions wait for each other.
_LOCK = """
SELECT id, kind, name, phone, email, company, stage, attributes::text, provenance::text, merged_into,
  erased_at
FROM customer WHERE id = ANY($1::bigint[]) ORDER BY id FOR NO KEY UPDATE
"""

_STRONG = f"""
SELECT customer_id, array_agg(DISTINCT namespace) FROM identity
WHERE customer_id = ANY($1::bigint[]) AND namespace NOT IN ({_WEAK}) GROUP BY customer_id
"""

_SIZES = """
SELECT customer_id, sum(count)::bigint FROM customer_event_stat
WHERE customer_id = ANY($1::bigint[]) AND name = '*' GROUP BY customer_id
"""

_SEPARATE = """
SELECT low_id, high_id FROM duplicate_candidate
WHERE state = 'distinct' AND (low_id = ANY($1::bigint[]) OR high_id = ANY($1::bigint[]))
"""

_OWNED = """
SELECT count(*) FROM unnest($1::text[], $2::text[], $3::bigint[]) AS k (namespace, value, customer_id)
JOIN identity AS i ON i.namespace = k.namespace COLLATE "C" AND i.value = k.value COLLATE "C"
WHERE i.customer_id = k.customer_id
"""

_UPDATE = """
UPDATE customer AS c SET
  kind = n.kind, name = n.name, phone = n.phone, email = n.email, company = n.company, stage = n.stage,
  attributes = n.attributes::jsonb, provenance = n.provenance::jsonb,
  merged_into = coalesce(n.merged_into, c.merged_into), updated_at = greatest(c.updated_at, $1)
FROM unnest(
  $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
  $9::text[], $10::text[], $11::bigint[]
) AS n (id, kind, name, phone, email, company, stage, attributes, provenance, merged_into)
WHERE c.id = n.id
"""

_INSERT = """
INSERT INTO customer (
  id, kind, name, phone, email, company, stage, attributes, provenance, merged_into, created_at, updated_at
)
SELECT
  id, kind, name, phone, email, company, stage, attributes::jsonb, provenance::jsonb, merged_into, $1, $1
FROM unnest(
  $6::bigint[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[],
  $13::text[], $14::text[], $15::bigint[]
) AS n (id, kind, name, phone, email, company, stage, attributes, provenance, merged_into)
"""

_INSERT_IDENTITIES = """
INSERT INTO identity (namespace, value, customer_id, home_customer_id, created_at)
SELECT namespace, value, customer_id, home_customer_id, $1
FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[])
  AS n (namespace, value, customer_id, home_customer_id)
ON CONFLICT DO NOTHING
RETURNING 1
"""
_ATTACH = f"WITH added AS ({_INSERT_IDENTITIES}) SELECT count(*) FROM added"
_CREATE = f"""
WITH created AS ({_INSERT}), added AS ({_INSERT_IDENTITIES}) SELECT count(*) FROM added
"""

INGEST_SCORE = "CASE {reason} WHEN 'strong_identity' THEN 90 WHEN 'detected' THEN 0 ELSE 60 END"
"""How sure a pair is that ingest has found, by its reason; detection found the others."""
_INSERT_CANDIDATES = f"""
INSERT INTO duplicate_candidate (low_id, high_id, reason, namespace, value, score, created_at)
SELECT low_id, high_id, reason, namespace, value, {INGEST_SCORE.format(reason="reason")}, $6
FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[])
  AS n (low_id, high_id, reason, namespace, value)
ON CONFLICT DO NOTHING
"""


async def lock(connection: Connection, customers: Iterable[int]) -> list[asyncpg.Record]:
    """Lock customers until the transaction ends and return their rows, as they are once the lock is held."""
    return await connection.fetch(_LOCK, list(customers))


async def strong_namespaces(connection: Connection, customers: Iterable[int]) -> dict[int, set[str]]:
    """Return the namespaces in which each of the customers has a strong identity."""
    rows = await connection.fetch(_STRONG, list(customers))
    return {customer: set(namespaces) for customer, namespaces in rows}


async def separate(connection: Connection, customers: Iterable[int]) -> set[tuple[int, int]]:
    """Return the pairs with one of the customers of which somebody has said that they are two."""
    return {(low, high) for low, high in await connection.fetch(_SEPARATE, list(customers))}


async def still_owned(connection: Connection, owners: Mapping[Pair, int]) -> bool:
    """Say whether identities belong to the customers given, who are locked."""
    [namespaces, values] = _columns(list(owners))
    owned: int = await connection.fetchval(_OWNED, namespaces, values, list(owners.values()))
    return owned == len(owners)


async def sizes(connection: Connection, customers: Iterable[int]) -> dict[int, int]:
    """Return how many behaviours of each of the customers are stored."""
    wanted = list(customers)
    return dict.fromkeys(wanted, 0) | dict(map(tuple, await connection.fetch(_SIZES, wanted)))


async def update_customers(connection: Connection, drafts: Sequence[Draft], now: datetime) -> None:
    """Write the rows of customers that are locked."""
    await connection.execute(_UPDATE, now, *_columns([draft.row() for draft in drafts]))


async def insert(
    connection: Connection, created: Sequence[Draft], owners: Iterable[tuple[Pair, int, int]], now: datetime
) -> int:
    """Store new customers and identities, in one round trip.

    Identities go in by their key, so that concurrent batches wait for each other and do not deadlock.

    Args:
        connection: Inside the batch's transaction.
        created: The new customers; with identities, without which there are none.
        owners: Identity, the customer it belongs to, and the one it was first given to.
        now: When they were seen first.

    Returns:
        How many identities were new; fewer than given means that another transaction was quicker.
    """
    identities = _columns(sorted((namespace, value, owner, home) for (namespace, value), owner, home in owners))
    if created:
        customers = _columns([draft.row() for draft in created])
        added: int = await connection.fetchval(_CREATE, now, *identities, *customers)
    else:
        added = await connection.fetchval(_ATTACH, now, *identities)
    return added


async def insert_candidates(connection: Connection, candidates: Iterable[Candidate], now: datetime) -> None:
    """Record pairs of customers that may be one; those already recorded keep their first reason."""
    rows = sorted((min(c.first_id, c.second_id), max(c.first_id, c.second_id), c.reason, *c.pair) for c in candidates)
    await connection.execute(_INSERT_CANDIDATES, *_columns(rows), now)


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    """Return rows column by column; one of nulls only is empty, which is quicker to send and means the same."""
    return [[] if column.count(None) == len(column) else list(column) for column in zip(*rows, strict=True)]
