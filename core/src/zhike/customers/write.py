"""Changes customers in a unit of work, by the same drafts as ingest."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from zhike.access.actor import Actor
from zhike.customers import belonging
from zhike.customers.resolve import Pair
from zhike.customers.said import Said
from zhike.customers.saving import save
from zhike.customers.service import COLUMNS, Customer, customer_of, not_found, winner_of
from zhike.customers.target import Overtaken, locked
from zhike.errors import Conflict
from zhike.i18n import text
from zhike.work import Work

_ONE = f"SELECT {COLUMNS} FROM customer AS c WHERE c.id = $1"


async def change(
    work: Work,
    actor: Actor,
    customer_id: int,
    given: Said,
    *,
    add: Sequence[Pair] = (),
    remove: Sequence[Pair] = (),
    if_updated_at: datetime | None = None,
) -> int:
    """Change a customer; for one who was merged away, the winner.

    Args:
        work: The unit of work in which it happens.
        actor: Who changes them.
        customer_id: Whom.
        given: What is said.
        add: Identities that the customer gets.
        remove: Identities that it loses.
        if_updated_at: When it must have been changed last.

    Returns:
        Their id.

    Raises:
        NotFound: If there is no such customer, or `actor` may not write it.
        BadRequest: If owner or team do not exist, or the customer has not the identities that it is to lose.
        Conflict: If somebody has changed it since, an identity is another's, or no strong one would be left.
        Rejected: If a plugin stops it.
        Overtaken: If the work is to be begun again.
    """
    winner = await winner_of(work.connection, customer_id)
    targets = await locked(work, actor, [] if winner is None else [winner], given)
    if not targets:
        if await winner_of(work.connection, customer_id) != winner:  # who was merged away in between
            raise Overtaken
        raise not_found(customer_id)
    [target] = targets
    if if_updated_at is not None:
        at = await work.connection.fetchval("SELECT updated_at FROM customer WHERE id = $1", winner)
        if at != if_updated_at:
            raise Conflict(text("Somebody has changed the customer since, at {at}", at=at.isoformat()), code="changed")
    new = await belonging.unowned(work, actor, target.draft.id, add)
    await save(work, actor, [target], given.source, identities=new, removed=remove)
    return target.draft.id


async def read(work: Work, actor: Actor, customer_id: int) -> Customer:
    """Return a customer that `actor` has just written, also if they do not see it any more."""
    row = await work.connection.fetchrow(_ONE, customer_id)
    if row is None:
        raise not_found(customer_id)
    return work.platform.customer_fields.opened(customer_of(row, actor))
