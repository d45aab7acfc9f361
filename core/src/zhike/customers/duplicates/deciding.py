"""Decisions on pairs who may be one: merge them, say that they are two, or put it off; one by one or many at once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from zhike.access import audit
from zhike.access.actor import Actor
from zhike.customers import merging
from zhike.customers.duplicates import queue
from zhike.customers.duplicates.schemas import Acceptance, Accepted, Decided, Decision
from zhike.customers.identities import WEAK
from zhike.errors import BadRequest, Conflict, NotFound, Unavailable, ZhikeError
from zhike.i18n import text
from zhike.orm import Connection
from zhike.platform import Platform
from zhike.work import begin

# Somebody else may have merged them since they were read.
_DECIDE = """
UPDATE duplicate_candidate SET state = $2, decided_by = $3, decided_at = $4 WHERE id = $1 AND state <> 'merged'
RETURNING id
"""
# As the preview of a merge suggests it.
_BETTER_KNOWN = """
SELECT c.id FROM unnest($1::bigint[]) AS c (id) ORDER BY
  (SELECT count(*) FROM identity AS i WHERE i.customer_id = c.id AND i.namespace <> ALL($2::text[])) DESC,
  (SELECT sum(s.count) FROM customer_event_stat AS s WHERE s.customer_id = c.id AND s.name = '*') DESC NULLS LAST,
  c.id
LIMIT 1
"""


async def decide(platform: Platform, actor: Actor, pair_id: int, decision: Decision) -> Decided:
    """Decide on a pair.

    Args:
        platform: The process's platform.
        actor: Who decides; they may merge both.
        pair_id: Which pair.
        decision: What is to become of it.

    Raises:
        NotFound: If there is no such pair, or it is not the actor's to decide on.
        BadRequest: If the winner is none of the two.
        Conflict, Rejected, Unavailable: If they cannot be merged; see `zhike.customers.merging.merge`.
    """
    async with begin(platform, origin=actor.origin) as work:
        *both, _ = await queue.pair_of(work.connection, actor, pair_id)
        if decision.decision != "merge":
            said = (None, None) if decision.decision == "open" else (actor.origin, work.now)
            if await work.connection.fetchval(_DECIDE, pair_id, decision.decision, *said) is None:
                raise queue.no_pair()
            details = {"other": both[1], "decision": decision.decision}
            await audit.record(work.connection, actor, "customer.duplicate", f"customer:{both[0]}", details)
            return Decided(pair_id, decision.decision)
        winner = decision.winner or await better_known(work.connection, both)
        if winner not in both:
            raise BadRequest(text("winner: {id} is none of the two", id=winner), code="winner")
        losers = [each for each in both if each != winner]
        request = merging.MergeRequest(winner=winner, losers=losers, fields=decision.fields, mixed=decision.mixed)
        merge_id, _ = await merging.merge(work, actor, request)
    return Decided(pair_id, "merged", merge_id)


async def better_known(connection: Connection, customers: Sequence[int]) -> int | None:
    """Return who of some customers might better remain of a merge; None if there are none."""
    found: int | None = await connection.fetchval(_BETTER_KNOWN, list(customers), list(WEAK))
    return found


async def accept(platform: Platform, actor: Actor, wanted: Acceptance) -> Accepted:
    """Merge the surest open pairs, each in a transaction of its own; or only count them.

    Args:
        platform: The process's platform.
        actor: Who wants it.
        wanted: Which pairs, and how many there are for all the actor knows.

    Raises:
        Conflict: If there are more than the actor knows.
    """
    async with platform.db.connection() as connection:
        number = await queue.count(connection, actor, wanted.min_score, wanted.rule)
        if wanted.expected is None:
            return Accepted(number, [], [])
        if number > wanted.expected:
            raise Conflict(
                text("There {count:is|are} {count} such {count:pair|pairs} by now; look again", count=number),
                code="changed",
            )
        pairs = await queue.surest(connection, actor, wanted.min_score, wanted.rule, wanted.limit)
    merged: list[int] = []
    put_off: list[int] = []
    for pair in pairs:
        try:
            done = await decide(platform, actor, pair, Decision(decision="merge"))
        except (NotFound, Unavailable):
            continue  # one of the two was merged just before, or is being changed: the next request sees
        except ZhikeError:
            with suppress(NotFound, Unavailable):  # as above
                await decide(platform, actor, pair, Decision(decision="later"))
                put_off.append(pair)
        else:
            merged += [] if done.merge_id is None else [done.merge_id]
    async with platform.db.connection() as connection:
        return Accepted(await queue.count(connection, actor, wanted.min_score, wanted.rule), merged, put_off)
