"""Undoing a merge: everybody is again whom they were, with what came for them since."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from asyncpg import Record

from zhike.access import audit
from zhike.access.actor import Actor
from zhike.access.roles import CUSTOMERS_MERGE
from zhike.customers import merge as sql
from zhike.customers import settled
from zhike.customers.departing import Departure, depart
from zhike.customers.facts import CustomerMerged
from zhike.customers.merging import Id, lock_all
from zhike.customers.past import Past
from zhike.customers.places import homes_of
from zhike.customers.search import index
from zhike.customers.service import Customer, visible_winner
from zhike.customers.stats import rebuild_stats
from zhike.customers.traits import Cause, decode_taken
from zhike.errors import Conflict, NotFound
from zhike.events.facts import tell
from zhike.i18n import text
from zhike.orm import Connection
from zhike.plugins.moved_rows import put_back
from zhike.work import Work

_MERGES = """
SELECT id, winner_id, loser_id, reason, taken::text, unmerged_at FROM customer_merge WHERE merge_id = $1 ORDER BY id
"""
_INTO = "SELECT merge_id FROM customer_merge WHERE loser_id = $1 AND unmerged_at IS NULL"
_ERASED = "SELECT id FROM customer WHERE id = ANY($1::bigint[]) AND erased_at IS NOT NULL"

_PART = "UPDATE customer SET merged_into = NULL WHERE id = ANY($1::bigint[])"
_IDENTITIES = """
UPDATE identity AS i SET customer_id = h.root_id FROM unnest($2::bigint[], $3::bigint[]) AS h (home_id, root_id)
WHERE i.customer_id = $1 AND i.home_customer_id = h.home_id
"""
_UNDO = "UPDATE customer_merge SET unmerged_at = $2, unmerged_by = $3, settled_at = NULL WHERE merge_id = $1"
# Of pairs who became one only because both became a third nobody has said anything.
_REOPEN = """
UPDATE duplicate_candidate SET state = 'open', decided_by = NULL, decided_at = NULL
WHERE state = 'merged' AND low_id = ANY($1::bigint[]) AND high_id = ANY($1::bigint[])
"""
# Who has been parted is not merged again by ingest, nor proposed.
_SEPARATE = """
INSERT INTO duplicate_candidate (low_id, high_id, reason, created_at, state, decided_by, decided_at)
SELECT least($1, loser), greatest($1, loser), 'unmerged', $3, 'distinct', $4, $3 FROM unnest($2::bigint[]) AS loser
ON CONFLICT (low_id, high_id) DO UPDATE SET state = 'distinct', decided_by = $4, decided_at = $3
"""


class UnmergeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which merge is to be undone.

    Args:
        merge_id: As `POST /customers/merge` and `GET /customers/{id}/merges` tell it.
    """

    merge_id: Id


class Unmerged(msgspec.Struct, frozen=True, kw_only=True):
    """A merge that was undone.

    Args:
        merge_id: Which.
        customer: The winner as it is now.
        loser_ids: Those who are customers of their own again.
        settling: Whether events are still being moved, which shows nowhere but in derived figures.
    """

    merge_id: int
    customer: Customer
    loser_ids: list[int]
    settling: bool


async def unmerge(work: Work, actor: Actor, merge_id: int, *, said: bool = True) -> tuple[int, list[int]]:
    """Undo a merge inside a unit of work.

    Args:
        work: The unit of work.
        actor: Who wants it.
        merge_id: Which merge.
        said: Whether somebody has said that they are two; else what has merged them is undone, and may come again.

    Returns:
        The winner, and those who were losers.

    Raises:
        NotFound: If there is no such merge, or `actor` may not merge its winner.
        Conflict: If it is undone, its winner was merged away since, or one of them was erased.
    """
    connection = work.connection
    merges = await _merges(connection, actor, merge_id)
    winner, losers = merges[0]["winner_id"], [row["loser_id"] for row in merges]
    everybody = [winner, *losers]
    drafts = await lock_all(connection, everybody)
    merges = await _merges(connection, actor, merge_id)
    await _check(connection, merges)
    await sql.lose(connection, everybody)
    homes = await homes_of(connection, losers)
    await connection.execute(_PART, losers)
    await connection.execute(_UNDO, merge_id, work.now, work.origin)
    await connection.execute(_IDENTITIES, winner, list(homes), list(homes.values()))
    ids = {row["loser_id"]: row["id"] for row in merges}
    departures = [Departure(winner, home, loser, ids[loser]) for home, loser in homes.items()]
    left = await depart(work, departures)
    await rebuild_stats(connection, everybody)
    past = await Past.load(connection, {winner: drafts[winner]}, Cause(work.origin, live=True))
    for row in reversed(merges):
        past.take_back(winner, decode_taken(row["taken"]))
    await past.save(connection, work.now)
    for row in reversed(merges):
        await put_back(connection, row["id"], winner, row["loser_id"])
    await connection.execute(_REOPEN, everybody)
    if said:
        await connection.execute(_SEPARATE, winner, losers, work.now, work.origin)
    await index.renew(connection, everybody)
    for row in merges:
        parted = CustomerMerged(loser_id=row["loser_id"], reason=row["reason"], merge_id=merge_id)
        for customer in (winner, row["loser_id"]):
            work.emit("customer.unmerged", customer, properties=parted)
    tell(work, drafts[winner])
    await settled.close(work, everybody, left)
    if said:
        details = {"merge_id": merge_id, "losers": losers}
        await audit.record(connection, actor, "customer.unmerge", f"customer:{winner}", details)
    return winner, losers


async def _merges(connection: Connection, actor: Actor, merge_id: int) -> Sequence[Record]:
    merges = await connection.fetch(_MERGES, merge_id)
    try:
        await visible_winner(connection, actor, merges[0]["winner_id"] if merges else 0, CUSTOMERS_MERGE)
    except NotFound:
        raise NotFound(text("There is no merge {id}", id=merge_id)) from None
    return merges


async def _check(connection: Connection, merges: Sequence[Record]) -> None:
    """Raise `Conflict` if locked customers cannot be parted."""
    winner, losers = merges[0]["winner_id"], [row["loser_id"] for row in merges]
    if merges[0]["unmerged_at"] is not None:
        raise Conflict(text("This merge was undone before"), code="unmerged")
    if (later := await connection.fetchval(_INTO, winner)) is not None:
        raise Conflict(text("Undo the merge {id} first: it has the winner as loser", id=later), code="merged_later")
    if await connection.fetch(_ERASED, losers):
        raise Conflict(text("One of these customers was erased"), code="erased")
