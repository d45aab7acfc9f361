"""Routes of what belongs to a task: its comments, its checklist and its history."""

from __future__ import annotations

from functools import partial

from zhike import wire
from zhike.access import paging
from zhike.access.roles import TASKS_READ, TASKS_WRITE
from zhike.api import Call, Page, PageQuery, Route
from zhike.tasks import comments, history, items
from zhike.work import begin


async def list_comments(call: Call, query: PageQuery) -> Page[comments.Comment]:
    """List the comments on a task, the oldest first."""
    task_id = call.id("task_id")
    scope = f"task comments:{task_id}"
    after = paging.start(call, query, scope, 0)
    found = await comments.list_(call.db, call.actor, task_id, after=after, limit=query.size + 1)
    return paging.page(call, query, found, scope)


async def add_comment(call: Call) -> comments.Comment:
    """Comment on a task; `@login` mentions a user."""
    said = wire.decode(call.body, call.body_type, comments.CommentText)
    async with begin(call.host.platform, origin=call.actor.origin) as work:
        return await comments.add(work, call.id("task_id"), said, actor=call.actor)


async def edit_comment(call: Call) -> comments.Comment:
    """Say something else in a comment of one's own."""
    said = wire.decode(call.body, call.body_type, comments.CommentText)
    async with begin(call.host.platform, origin=call.actor.origin) as work:
        return await comments.edit(work, call.id("task_id"), call.id("comment_id"), said, actor=call.actor)


async def remove_comment(call: Call) -> comments.CommentRemoved:
    """Take back a comment of one's own."""
    comment_id = call.id("comment_id")
    async with begin(call.host.platform, origin=call.actor.origin) as work:
        await comments.remove(work, call.id("task_id"), comment_id, actor=call.actor)
    return comments.CommentRemoved(comment_id)


async def list_items(call: Call) -> items.Checklist:
    """Show a task's checklist."""
    return await items.list_(call.db, call.actor, call.id("task_id"))


async def add_item(call: Call) -> items.Checklist:
    """Put something on a task's checklist and show all of it."""
    new = wire.decode(call.body, call.body_type, items.NewItem)
    async with begin(call.host.platform, origin=call.actor.origin) as work:
        return await items.add(work, call.id("task_id"), new, actor=call.actor)


async def change_item(call: Call) -> items.Checklist:
    """Tick something off, change or move it, and show the whole checklist."""
    change = wire.decode(call.body, call.body_type, items.ItemChange)
    async with begin(call.host.platform, origin=call.actor.origin) as work:
        return await items.change(work, call.id("task_id"), call.id("item_id"), change, actor=call.actor)


async def remove_item(call: Call) -> items.Checklist:
    """Take something off a task's checklist and show the rest of it."""
    async with begin(call.host.platform, origin=call.actor.origin) as work:
        return await items.remove(work, call.id("task_id"), call.id("item_id"), actor=call.actor)


async def read_history(call: Call) -> history.TaskHistory:
    """Show what has happened to a task, the latest first, at most 200 things."""
    return await history.history(call.db, call.actor, call.id("task_id"))


_COMMENTS, _ITEMS = "/tasks/{task_id}/comments", "/tasks/{task_id}/items"
_read = partial(Route, method="GET", permission=TASKS_READ)
_write = partial(Route, permission=TASKS_WRITE)
_said = partial(_write, body=comments.CommentText, answer=comments.Comment)
_listed = partial(_write, answer=items.Checklist)

ROUTES = (
    _read(
        path=_COMMENTS,
        handler=list_comments,
        summary="Comments on a task",
        query=PageQuery,
        answer=Page[comments.Comment],
    ),
    _said(method="POST", path=_COMMENTS, handler=add_comment, summary="Comment on a task"),
    _said(
        method="PATCH",
        path=f"{_COMMENTS}/{{comment_id}}",
        handler=edit_comment,
        summary="Change a comment",
    ),
    _write(
        method="DELETE",
        path=f"{_COMMENTS}/{{comment_id}}",
        handler=remove_comment,
        summary="Take back a comment",
        answer=comments.CommentRemoved,
    ),
    _read(path=_ITEMS, handler=list_items, summary="A task's checklist", answer=items.Checklist),
    _listed(method="POST", path=_ITEMS, handler=add_item, summary="Add to a checklist", body=items.NewItem),
    _listed(
        method="PATCH",
        path=f"{_ITEMS}/{{item_id}}",
        handler=change_item,
        summary="Change a checklist",
        body=items.ItemChange,
    ),
    _listed(
        method="DELETE",
        path=f"{_ITEMS}/{{item_id}}",
        handler=remove_item,
        summary="Take something off a checklist",
    ),
    _read(
        path="/tasks/{task_id}/history",
        handler=read_history,
        summary="A task's history",
        answer=history.TaskHistory,
    ),
)
