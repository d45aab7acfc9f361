"""Makes a customer, or changes the one who is known by what identifies them."""

from __future__ import annotations

from collections.abc import Sequence

from zhike.access.actor import Actor
from zhike.access.roles import CUSTOMERS_WRITE
from zhike.customers import belonging
from zhike.customers.resolve import Pair
from zhike.customers.said import Said, check_own
from zhike.customers.saving import save
from zhike.customers.target import Overtaken, locked, target_of
from zhike.customers.traits import OWN, Draft
from zhike.errors import Conflict
from zhike.work import Work

_FRESH = "SELECT nextval('customer_id_seq')"


async def upsert(work: Work, actor: Actor, pairs: Sequence[Pair], given: Said) -> tuple[int, bool]:
    """Change the customer with one of some identities, or make one, who gets all of them.

    Returns:
        The customer's id, and whether it is new.

    Raises:
        BadRequest: If owner or team do not exist.
        Conflict: If the identities belong to several customers, or to one that `actor` may not write, or if they are
            an erased customer's.
        Rejected: If a plugin stops it.
        Overtaken: If the work is to be begun again.
    """
    owners = await belonging.owners(work.connection, pairs)
    if len(set(owners.values())) > 1:
        raise await belonging.several(work.connection, actor, set(owners.values()))
    if owners:
        targets = await locked(work, actor, set(owners.values()), given)
        if not targets:
            if await belonging.owners(work.connection, pairs) != owners:
                raise Overtaken
            raise belonging.taken()
        [target] = targets
    else:
        await check_own(work.connection, given.own)
        draft = Draft(await work.connection.fetchval(_FRESH), None)
        own = given.own
        if actor.scope(CUSTOMERS_WRITE) != "all" and not any(own.values()):
            own = own | {"owner": actor.user_id}  # else they would not see whom they have made
        target = target_of(work, actor, draft, dict.fromkeys(OWN), given._replace(own=own))
    try:
        new = await belonging.unowned(work, actor, target.draft.id, pairs)
    except Conflict as error:
        if target.draft.new and error.code == "identities":  # they were nobody's a moment ago
            raise Overtaken from None
        raise
    await save(work, actor, [target], given.source, identities=new)
    return target.draft.id, target.draft.new
