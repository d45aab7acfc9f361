"""Customers that are being written: locked, with what is said applied to them."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from zhike.access.actor import Actor
from zhike.access.roles import CUSTOMERS_WRITE
from zhike.access.scope import visible_customers
from zhike.customers.said import Said, check_own
from zhike.customers.traits import OWN, Cause, Draft
from zhike.work import Work

_LOCK = """
SELECT c.id, c.kind, c.name, c.phone, c.email, c.company, c.stage, c.attributes::text, c.provenance::text, c.owner,
  c.team
FROM customer AS c WHERE c.id = ANY($1::bigint[]) AND {visible} ORDER BY c.id FOR NO KEY UPDATE
"""


class Overtaken(Exception):
    """Somebody else has stored an identity meanwhile; the unit of work is to be begun again."""


class Target(NamedTuple):
    """A customer that is being written.

    Args:
        draft: What changes of it.
        own: `owner` and `team` as they are going to be.
    """

    draft: Draft
    own: dict[str, int | None]


async def locked(work: Work, actor: Actor, ids: Collection[int], said: Said) -> list[Target]:
    """Return those of some customers that `actor` may write, locked, with what is said applied to them."""
    visible = visible_customers(actor, "c", CUSTOMERS_WRITE)
    rows = await work.connection.fetch(_LOCK.format(visible=visible), list(ids))
    await check_own(work.connection, said.own)
    return [target_of(work, actor, Draft(row["id"], row), {name: row[name] for name in OWN}, said) for row in rows]


def target_of(work: Work, actor: Actor, draft: Draft, before: dict[str, int | None], given: Said) -> Target:
    """Return a customer that is locked or new with what is said applied to it; `before` are owner and team."""
    cause = Cause(actor.origin, live=True)
    draft.apply(given.traits, given.source, work.now, cause, work.platform.customer_fields.ranked)
    own = before | given.own
    draft.moved = {name: {"old": old, "new": own[name]} for name, old in before.items() if own[name] != old}
    return Target(draft, own)
