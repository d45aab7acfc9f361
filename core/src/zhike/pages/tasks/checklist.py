"""The checklist on a task's page: ticking off, adding, taking off and moving, each without a new page."""

from __future__ import annotations

from zhike.access.roles import TASKS_WRITE
from zhike.errors import BadRequest, Conflict
from zhike.i18n import Text, text
from zhike.tasks import items
from zhike.tasks.schemas import MAX_ITEMS
from zhike.ui import Html, PageCall
from zhike.work import begin

_LONGEST = 500


async def show(call: PageCall) -> Html:
    """Show the checklist."""
    found = await items.list_(call.db, call.actor, call.id("task_id"))
    return await _show(call, found)


async def add(call: PageCall) -> Html:
    """Put something on it; what cannot be put there stays typed."""
    words = call.field("text").strip()
    if not words or len(words) > _LONGEST:
        problem = text("This is needed") if not words else text("At most {n} characters", n=_LONGEST)
        return await _refused(call, words, problem, 422)
    try:
        async with begin(call.host.platform, origin=call.actor.origin) as work:
            found = await items.add(work, call.id("task_id"), items.NewItem(text=words), actor=call.actor)
    except BadRequest as error:
        return await _refused(call, words, error.message, 422)
    return await _show(call, found)


async def tick(call: PageCall) -> Html:
    """Tick something off, or take that back."""
    return await _change(call, items.ItemChange(done=call.field("done") == "1"))


async def remove(call: PageCall) -> Html:
    """Take something off it."""
    async with begin(call.host.platform, origin=call.actor.origin) as work:
        found = await items.remove(work, call.id("task_id"), call.id("item_id"), actor=call.actor)
    return await _show(call, found)


async def order(call: PageCall) -> Html:
    """Move the one thing that has another place than before.

    Raises:
        Conflict: If somebody else has changed the checklist, so that there is more to it than one move.
    """
    given = call.field("order").split(",")[:MAX_ITEMS]
    wanted = [int(each) for each in given if each.isascii() and each.isdigit() and len(each) < 19]
    before = [each.id for each in (await items.list_(call.db, call.actor, call.id("task_id"))).items]
    if wanted == before:
        return await show(call)
    for item_id in wanted:
        if [each for each in wanted if each != item_id] == [each for each in before if each != item_id]:
            return await _change(call, items.ItemChange(position=wanted.index(item_id)), item_id)
    raise Conflict(text("Somebody has changed the checklist; load the page again"))


async def _change(call: PageCall, change: items.ItemChange, item_id: int | None = None) -> Html:
    moved = call.id("item_id") if item_id is None else item_id
    async with begin(call.host.platform, origin=call.actor.origin) as work:
        found = await items.change(work, call.id("task_id"), moved, change, actor=call.actor)
    return await _show(call, found)


async def _refused(call: PageCall, typed: str, problem: Text, status: int) -> Html:
    found = await items.list_(call.db, call.actor, call.id("task_id"))
    return await _show(call, found, typed=typed, problem=problem, status=status)


async def _show(
    call: PageCall, found: items.Checklist, typed: str = "", problem: Text | None = None, status: int = 200
) -> Html:
    return await call.render(
        "tasks/checklist.html",
        status=status,
        task_id=call.id("task_id"),
        checklist=found.items,
        typed=typed,
        problem=problem,
        writable=call.may(TASKS_WRITE),
    )
