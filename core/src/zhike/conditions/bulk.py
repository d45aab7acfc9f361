"""Changing owner, team or stage of many customers: at once, or, if there are too many for that, by a job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from zhike import wire
from zhike.access.actor import Actor
from zhike.access.roles import CUSTOMERS_WRITE
from zhike.access.scope import visible_customers
from zhike.conditions import service as conditions
from zhike.conditions.schema import Condition
from zhike.conditions.turns import turn
from zhike.contracts import Job, JobItem
from zhike.customers.said import Said, said_of
from zhike.customers.saving import save
from zhike.customers.schemas import MAX_AT_ONCE, BulkChange, BulkDone, BulkSet
from zhike.customers.target import locked
from zhike.i18n import text
from zhike.wire import Fault
from zhike.work import Work, begin

if TYPE_CHECKING:
    from zhike.conditions.checked import Checked
    from zhike.orm import Connection
    from zhike.platform import Platform

JOB = "customers.change_many"
_CHUNK = 1_000
"""Customers of one run of the job: nothing writes in one transaction for more than 2 seconds."""


class Rest(msgspec.Struct, frozen=True):
    """Payload of the job.

    Args:
        actor: Who wants it; it sees and may write what it did then.
        condition: Of which customers, in JSON.
        set: What they get.
        after: The id of the last one who was looked at.
    """

    actor: Actor
    condition: Any
    set: dict[str, Any]
    after: int = 0


async def change_many(platform: Platform, actor: Actor, change: BulkChange, condition: Condition | None) -> BulkDone:
    """Change many customers, as far as `actor` may write them.

    Args:
        platform: The process's platform.
        actor: Who changes them.
        change: What they get, and who they are, if that is not said by a condition.
        condition: The condition of `change`, decoded.

    Raises:
        BadRequest: If something about the change is wrong.
        BadCondition: If the condition cannot be used.
        Rejected: If a plugin stops it.
    """
    if (change.ids is UNSET) is (condition is None):
        raise wire.refuse(Fault("", text("expected either ids or condition")))
    given = said_of(platform, actor, change.set)
    if not given.own and not given.traits:
        raise wire.refuse(Fault("set", text("expected at least one of owner, team and stage")))
    ids: Sequence[int] = () if change.ids is UNSET else change.ids
    if condition is not None:
        checked = conditions.check(platform, condition, actor=actor)
        async with turn(platform.db, checked) as connection:
            ids = await _matching(connection, platform, actor, checked, limit=MAX_AT_ONCE + 1)
    async with begin(platform, origin=actor.origin) as work:
        if len(ids) > MAX_AT_ONCE:
            said = {name: value for name, value in msgspec.structs.asdict(change.set).items() if value is not UNSET}
            _enqueue(work, Rest(actor, msgspec.json.decode(wire.encode(condition, "json")), said), None)
            return BulkDone(None, queued=True)
        return BulkDone(await _change(work, actor, ids, given), queued=False)


async def run(items: Sequence[JobItem], work: Work) -> None:
    """Change the next customers, and enqueue the rest."""
    for item in items:
        rest: Rest = item.payload
        given = said_of(work.platform, rest.actor, msgspec.convert(rest.set, BulkSet))
        checked = conditions.check(work.platform, rest.condition, actor=rest.actor)
        ids = await _matching(work.connection, work.platform, rest.actor, checked, after=rest.after, limit=_CHUNK)
        await _change(work, rest.actor, ids, given)
        if len(ids) == _CHUNK:
            _enqueue(work, msgspec.structs.replace(rest, after=ids[-1]), item)


async def _matching(
    connection: Connection, platform: Platform, actor: Actor, checked: Checked, *, after: int = 0, limit: int
) -> list[int]:
    """Return the ids of the next customers for whom a condition holds and whom `actor` may write."""
    visible, moment = visible_customers(actor, permission=CUSTOMERS_WRITE), conditions.moment(platform.settings)
    return await conditions.members_after(connection, checked, moment, visible=visible, after=after, limit=limit)


def _enqueue(work: Work, rest: Rest, cause: JobItem | None) -> None:
    work.enqueue(JOB, rest, cause=cause)


async def _change(work: Work, actor: Actor, ids: Sequence[int], given: Said) -> int:
    targets = await locked(work, actor, ids, given)
    if targets:
        await save(work, actor, targets, given.source)
    return len(targets)


JOBS = [Job(name=JOB, run=run, payload=Rest, label=text("Change many customers"))]
