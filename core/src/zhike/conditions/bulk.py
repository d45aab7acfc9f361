"""Changing owner, team or stage of many customers at once; `zhike.desk.bulk` does it to any number, piece by piece."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET

from zhike import wire
from zhike.access.actor import Actor
from zhike.access.roles import CUSTOMERS_WRITE
from zhike.access.scope import visible_customers
from zhike.conditions import service as conditions
from zhike.conditions.schema import Condition
from zhike.conditions.turns import turn
from zhike.customers.said import said_of
from zhike.customers.saving import save
from zhike.customers.schemas import MAX_AT_ONCE, BulkChange, BulkDone, BulkSet
from zhike.customers.target import locked
from zhike.i18n import text
from zhike.platform import Platform
from zhike.wire import Fault
from zhike.work import Work, begin


async def change_many(platform: Platform, actor: Actor, change: BulkChange, condition: Condition | None) -> BulkDone:
    """Change many customers, as far as `actor` may write them.

    Args:
        platform: The process's platform.
        actor: Who changes them.
        change: What they get, and who they are, if that is not said by a condition.
        condition: The condition of `change`, decoded.

    Raises:
        BadRequest: If something about the change is wrong, or it is about more than can be changed at once.
        BadCondition: If the condition cannot be used.
        Rejected: If a plugin stops it.
    """
    if (change.ids is UNSET) is (condition is None):
        raise wire.refuse(Fault("", text("expected either ids or condition")))
    ids: Sequence[int] = () if change.ids is UNSET else change.ids
    if condition is not None:
        checked = conditions.check(platform, condition, actor=actor)
        visible, moment = visible_customers(actor, permission=CUSTOMERS_WRITE), conditions.moment(platform.settings)
        async with turn(platform.db, checked) as connection:
            ids = await conditions.members_after(
                connection, checked, moment, visible=visible, after=0, limit=MAX_AT_ONCE + 1
            )
    if len(ids) > MAX_AT_ONCE:
        message = text("more than {n} customers are changed by POST /desk/bulk", n=MAX_AT_ONCE)
        raise wire.refuse(Fault("condition", message))
    async with begin(platform, origin=actor.origin) as work:
        return BulkDone(await change_these(work, actor, ids, change.set))


async def change_these(work: Work, actor: Actor, ids: Sequence[int], given: BulkSet) -> int:
    """Change customers in the caller's transaction, as far as `actor` may write them; return how many these are."""
    said = said_of(work.platform, actor, given)
    if not said.own and not said.traits:
        raise wire.refuse(Fault("set", text("expected at least one of owner, team and stage")))
    targets = await locked(work, actor, ids, said)
    if targets:
        await save(work, actor, targets, said.source)
    return len(targets)
