"""Doing something to many customers: 500 at a time, in the background, each piece with the rights that hold by then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from zhike import clock, wire
from zhike.access import audit
from zhike.access.actor import Actor
from zhike.access.again import again
from zhike.access.roles import CONDITIONS_COUNT, CUSTOMERS_READ
from zhike.access.scope import visible_ids
from zhike.conditions import service as conditions
from zhike.consumers.faults import is_outage
from zhike.contracts import BulkAction, Job, JobItem
from zhike.desk import progress
from zhike.desk.selection import Rest, Selection, checked, filled, rest_of
from zhike.errors import Forbidden, NotFound, Unavailable, ZhikeError, where
from zhike.i18n import Text, as_text, text
from zhike.wire import Fault
from zhike.work import Work, begin

if TYPE_CHECKING:
    from zhike.platform import Platform

CHUNK = 500
"""Customers of one transaction."""
SECONDS = 60.0
"""How long one may take."""
_JOB = "desk.bulk"
_ROW = "SELECT rest::text, step, cancel_requested FROM progress WHERE id = $1 AND rest IS NOT NULL"
_STEP = "UPDATE progress SET rest = $3::jsonb, step = step + 1 WHERE id = $1 AND step = $2"
_log = logging.getLogger("zhike.desk")


class _Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done; it stands in the progress, and changes in the transaction of each piece.

    Args:
        actor: Who wants it.
        action: The action's key.
        options: As JSON knows them.
        left: To whom.
    """

    actor: Actor
    action: str
    options: Any
    left: Rest


class _Step(msgspec.Struct, frozen=True):
    """Payload of the job.

    Args:
        progress: Where it stands what is to be done.
    """

    progress: int


class _Overtaken(Exception):
    """Another process has done this piece."""


async def start(platform: Platform, actor: Actor, key: str, selection: Selection, options: Any = None) -> int:
    """Begin to do something to many customers, and return the id of its progress.

    Args:
        platform: The process's platform.
        actor: Who wants it; it is done to the customers that they see and hold the action's permission for.
        key: A registered action.
        selection: To whom.
        options: As JSON knows them.

    Raises:
        Forbidden: If the actor does not hold its permission.
        BadRequest: If action, selection or options cannot be used; the message begins with the field.
        BadCondition: If the condition cannot be used, or asks about what the actor does not see.
    """
    action = platform.registry.bulk_actions.get(key)
    if action is None:
        raise wire.refuse(Fault("action", text("there is no action {key}", key=key)))
    actor.require(action.permission)
    _options(action, options)
    left, total = await _begun(platform, actor, selection)
    order = _Order(actor=actor, action=key, options=options, left=left)
    async with begin(platform, origin=actor.origin) as work:
        progress_id = await progress.begin(
            work, actor, as_text(action.label), kind=key, total=total, rest=msgspec.to_builtins(order)
        )
        work.enqueue(_JOB, _Step(progress_id))
        await audit.record(work.connection, actor, "bulk.start", f"progress:{progress_id}", {"action": key})
    return progress_id


async def size(platform: Platform, actor: Actor, selection: Selection) -> int | None:
    """Return how many customers a selection has now, or None if only doing it would tell; raises what `start` does."""
    return (await _begun(platform, actor, selection))[1]


async def _begun(platform: Platform, actor: Actor, selection: Selection) -> tuple[Rest, int | None]:
    await platform.customer_fields.renew()
    left = rest_of(selection, clock.now())
    checked(platform, actor, left)
    total = len(left.ids) or None
    if left.condition is not None and left.q is None and actor.scope(CONDITIONS_COUNT):
        total = await conditions.count(platform, actor, left.condition, at=left.at)
    return left, total


async def run(items: Sequence[JobItem], platform: Platform) -> bool:
    """Do the next piece; return whether there is more."""
    [item] = items
    progress_id = item.payload.progress
    async with platform.db.connection() as connection:
        row = await connection.fetchrow(_ROW, progress_id)
    if row is None:
        return False
    order = msgspec.json.decode(row["rest"], type=_Order)
    if row["cancel_requested"]:
        return await _end(platform, progress_id, order, "cancelled")
    try:
        action, actor = await _now(platform, order)
        async with platform.db.transaction() as connection:
            left = await filled(connection, platform, actor, order.left)
    except ZhikeError as error:
        if is_outage(error):
            raise
        # A statement that took too long is no outage, and would take as long again.
        message = text("It took too long to find the customers") if isinstance(error, Unavailable) else error.message
        return await _end(platform, progress_id, order, "failed", message)
    order = msgspec.structs.replace(order, left=left)
    if left.empty:
        return await _end(platform, progress_id, order, "done")
    return await _piece(platform, progress_id, row["step"], order, action, actor)


async def _piece(
    platform: Platform, progress_id: int, step: int, order: _Order, action: BulkAction, actor: Actor
) -> bool:
    ids, left = order.left.ids[:CHUNK], msgspec.structs.replace(order.left, ids=order.left.ids[CHUNK:])
    after, plugin = msgspec.structs.replace(order, left=left), platform.registry.owner("bulk_actions", action.key) or ""
    try:
        async with begin(platform, origin=actor.origin, plugin=plugin, seconds=SECONDS) as work:
            seen = await visible_ids(work.connection, actor, ids, CUSTOMERS_READ, action.permission)
            async with asyncio.timeout(SECONDS):
                if seen:
                    await action.run(work, actor, seen, _options(action, order.options))
            gone = len(ids) - len(seen)
            message = (
                text("{n} {n:customer is|customers are} not there, or out of your sight", n=gone) if gone else None
            )
            await progress.advance(work, progress_id, done=len(seen), failed=gone, message=message)
            await _keep(work, progress_id, step, after)
    except _Overtaken:
        return False
    except (Exception, SystemExit) as error:  # a plugin may raise anything
        if isinstance(error, Exception) and is_outage(error):
            raise
        _log.warning("%s failed for %d customers: %s", action.key, len(ids), where(error))
        told = error.message if isinstance(error, ZhikeError) else Text(type(error).__name__)
        message = text("{n} {n:customer was|customers were} left out: {detail}", n=len(ids), detail=told)
        async with begin(platform, origin=actor.origin) as work:
            await progress.advance(work, progress_id, failed=len(ids), message=message)
            await _keep(work, progress_id, step, after)
    return True if not left.empty else await _end(platform, progress_id, after, "done")


async def go_on(items: Sequence[JobItem], more: bool, work: Work) -> None:
    """Have the next piece done."""
    if more:
        work.enqueue(_JOB, items[0].payload, cause=items[0])


async def _now(platform: Platform, order: _Order) -> tuple[BulkAction, Actor]:
    """Return the action, and who wants it with the rights they have by now.

    Raises:
        NotFound: If the action is there no more.
        Forbidden: If they may not do it any more.
    """
    action = platform.registry.bulk_actions.get(order.action)
    if action is None:
        raise NotFound(text("There is no action {key}", key=order.action))
    actor = await again(platform.db, platform.directory, order.actor)
    if actor is None:
        raise Forbidden(text("{name} is not active any more", name=order.actor.name))
    actor.require(action.permission)
    await platform.customer_fields.renew()
    return action, actor


async def _keep(work: Work, progress_id: int, step: int, order: _Order) -> None:
    stored = wire.encode(msgspec.to_builtins(order), "json").decode()
    if await work.connection.execute(_STEP, progress_id, step, stored) == "UPDATE 0":
        raise _Overtaken


async def _end(
    platform: Platform, progress_id: int, order: _Order, state: progress.State, message: Text | None = None
) -> bool:
    """Note that it has ended; return that there is no more."""
    async with begin(platform, origin=order.actor.origin) as work:
        await progress.finish(work, progress_id, state, message=message)
    return False


def _options(action: BulkAction, options: Any) -> Any:
    if action.form is None:
        if options:
            raise wire.refuse(Fault("options", text("this action takes none")))
        return None
    try:
        return msgspec.convert({} if options is None else options, action.form)
    except msgspec.ValidationError as error:
        found = wire.fault(error, b"{}", action.form)
        raise wire.refuse(found._replace(path=".".join(filter(None, ("options", found.path))))) from None


JOBS = (
    Job(
        name=_JOB,
        run=run,
        done=go_on,
        failed=progress.give_up,
        external=True,
        payload=_Step,
        timeout=4 * SECONDS,
        queue="bulk",
        label=text("Do something to many customers"),
    ),
)
