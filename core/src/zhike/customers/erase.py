"""Erasing a customer: nobody sees them from the request on, jobs delete what is stored, and hashes keep them away."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

import msgspec

from zhike.access import audit
from zhike.access.actor import Actor
from zhike.access.roles import CUSTOMERS_ERASE
from zhike.api import Page, PageQuery
from zhike.customers.erased import identity_hashes
from zhike.customers.resolve import Pair
from zhike.customers.search.index import renew
from zhike.customers.service import visible_winner, winner_of
from zhike.customers.tables import Customer
from zhike.errors import NotFound
from zhike.i18n import text
from zhike.ids import decode_cursor, encode_cursor
from zhike.orm import Connection, Database
from zhike.vault import Vault
from zhike.work import Work

JOB = "customers.erase"

State = Literal["waiting", "running", "blocked", "done"]

# One at a time, so that their numbers ascend in the order of their commits (see `zhike.consumers.log`).
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(484155093875)"
TREE = """
WITH RECURSIVE tree AS (
  SELECT $1::bigint AS id
  UNION
  SELECT c.id FROM tree JOIN customer AS c ON c.merged_into = tree.id
) SELECT array_agg(id ORDER BY id) FROM tree
"""
"""All who were merged into a customer, and itself."""
_LOCK = "SELECT FROM customer WHERE id = ANY($1::bigint[]) ORDER BY id FOR UPDATE"
_KEPT = {"id", "merged_into", "erased_at", "settling", "created_at", "updated_at"}
_EMPTY = ", ".join(
    f"{name} = DEFAULT" for each in Customer._meta.columns if (name := each._meta.db_column_name) not in _KEPT
)
_CLEAR = f"UPDATE customer SET erased_at = $2, {_EMPTY} WHERE id = ANY($1::bigint[])"
_TAKE_IDENTITIES = "DELETE FROM identity WHERE customer_id = ANY($1::bigint[]) RETURNING namespace, value"
_KEEP_HASHES = "INSERT INTO erased_identity (hash) SELECT unnest($1::bytea[]) ON CONFLICT DO NOTHING"
_READMIT = "DELETE FROM erased_identity WHERE hash = ANY($1::bytea[])"
_REQUEST = """
INSERT INTO erasure (customer_id, customers, reason, origin, requested_at) VALUES ($1, $2, $3, $4, $5) RETURNING id
"""
_SHOWN = """
SELECT id, customer_id, state, blocked::text, reason, origin, requested_at, done_at FROM erasure
WHERE ($1::text IS NULL OR origin = $1)
"""
_ONE = f"{_SHOWN} AND id = $2"
_LIST = f"{_SHOWN} AND id < $2 ORDER BY id DESC LIMIT $3"


class Obstacle(msgspec.Struct, frozen=True):
    """Rows that only a plugin can erase, which does not run.

    Args:
        plugin: The plugin.
        table: Its table.
    """

    plugin: str
    table: str


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """A request to erase a customer.

    Args:
        id: Its id.
        customer_id: The customer, whom nobody has seen since.
        state: `waiting` for a runner, `running`, `blocked` by something that somebody has to do, or `done`.
        blocked: What blocks it.
        reason: Why it was asked for.
        origin: Who asked for it.
        requested_at: When.
        done_at: When nothing of the customer was left.
    """

    id: int
    customer_id: int
    state: State
    blocked: list[str]
    reason: str | None
    origin: str
    requested_at: datetime
    done_at: datetime | None


async def request(work: Work, actor: Actor, customer_id: int, reason: str | None = None) -> int:
    """Erase a customer with all who were merged into it: unseen from the commit on, and deleted by jobs.

    Args:
        work: The unit of work.
        actor: Who asks for it.
        customer_id: The customer; one merged away stands for the winner.
        reason: Why.

    Returns:
        The number of the erasure.

    Raises:
        NotFound: If there is no such customer, or it is none that `actor` may erase.
    """
    connection = work.connection
    await connection.execute(_ONE_AT_A_TIME)
    tree = await _lock(connection, actor, customer_id)
    identities = [(row[0], row[1]) for row in await connection.fetch(_TAKE_IDENTITIES, tree)]
    await connection.execute(_KEEP_HASHES, list(identity_hashes(await work.platform.vault.keys(), identities)))
    await connection.execute(_CLEAR, tree, work.now)
    await renew(connection, tree)
    winner = await winner_of(connection, customer_id)
    number: int = await connection.fetchval(_REQUEST, winner, tree, reason, actor.origin, work.now)
    await audit.record(connection, actor, "customer.erase", f"erasure:{number}", {"customer_id": winner})
    work.enqueue(JOB, {"erasure_id": number}, key=str(number))
    return number


async def get(db: Database, actor: Actor, number: int, locale: str) -> Erasure:
    """Return an erasure, which whoever may not erase everybody sees only if they asked for it.

    Raises:
        NotFound: If there is none.
    """
    async with db.connection() as connection:
        row = await connection.fetchrow(_ONE, _asked_by(actor), number)
    if row is None:
        raise NotFound(text("There is no erasure with the id {id}", id=number))
    return _erasure(row, locale)


async def list_(db: Database, actor: Actor, query: PageQuery, locale: str, key: bytes) -> Page[Erasure]:
    """Return a page of erasures, the newest first; who sees which is as in `get`."""
    before = 2**63 - 1 if query.cursor is None else decode_cursor(query.cursor, key, int, scope="erasures")
    rows = await db.fetch(_LIST, _asked_by(actor), before, query.size + 1)
    items = [_erasure(row, locale) for row in rows[: query.size]]
    return Page(items, encode_cursor(items[-1].id, key, scope="erasures") if len(rows) > query.size else None)


async def readmit(connection: Connection, vault: Vault, identities: Iterable[Pair]) -> int:
    """Take events of erased people again, who become customers anew; what was erased stays so.

    Whoever calls this has their new consent, with proof.

    Args:
        connection: In the transaction that stores the consent.
        vault: The deployment's.
        identities: Namespaces and normalised values.

    Returns:
        How many of the identities had been erased.
    """
    done = await connection.execute(_READMIT, list(identity_hashes(await vault.keys(), identities)))
    return int(done.removeprefix("DELETE "))


async def _lock(connection: Connection, actor: Actor, customer_id: int) -> list[int]:
    """Lock a customer and all who were merged into it; nobody is merged into a customer that is locked."""
    locked: list[int] | None = None
    while True:
        winner = await visible_winner(connection, actor, customer_id, CUSTOMERS_ERASE)
        tree: list[int] = await connection.fetchval(TREE, winner)
        if tree == locked:
            return tree
        await connection.execute(_LOCK, tree)
        locked = tree


def _asked_by(actor: Actor) -> str | None:
    return None if actor.scope(CUSTOMERS_ERASE) == "all" else actor.origin


def _erasure(row: Any, locale: str) -> Erasure:
    values = dict(row)
    obstacles = msgspec.json.decode(values["blocked"], type=list[Obstacle])
    told = [
        text(
            "Rows in {table} can be erased only while the plugin {plugin} runs; enable it, or give its data up with "
            "`zhike plugin purge {plugin}`",
            table=each.table,
            plugin=each.plugin,
        )
        for each in obstacles
    ]
    return Erasure(**{**values, "blocked": [each.render(locale) for each in told]})
