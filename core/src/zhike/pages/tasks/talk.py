"""What is said about a task: comments with mentions, changing one's own, and taking it back."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated

import msgspec
from markupsafe import Markup, escape

from zhike.access.roles import TASKS_WRITE
from zhike.errors import BadRequest, NotFound
from zhike.i18n import Text, text
from zhike.pages.tasks.words import who
from zhike.tasks import comments
from zhike.ui import Form, FormError, Html, PageCall, asked
from zhike.ui.forms import decode
from zhike.work import begin

MOST = 200
"""Comments that are shown, the latest ones."""
_MENTION = re.compile(r"(?<![A-Za-z0-9._@+-])@[A-Za-z0-9][A-Za-z0-9._@+-]*[A-Za-z0-9]")


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A comment as it is shown.

    Args:
        id: Its id.
        by: Who said it.
        at: When.
        edited: Whether it was changed since.
        html: What was said, mentions marked.
        own: Whether the reader said it.
    """

    id: int
    by: Text | str
    at: datetime
    edited: bool
    html: Markup
    own: bool


class CommentForm(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for.

    Args:
        text: What is said.
    """

    text: Annotated[str, asked("Comment", kind="textarea", min_length=1, max_length=10_000)]


async def shown(call: PageCall, task_id: int) -> list[Said]:
    """Return the comments on a task, the oldest first."""
    found = await comments.list_(call.db, call.actor, task_id, limit=MOST, latest=True)
    return [
        Said(
            id=each.id,
            by=who(call, each.origin if each.author is None else f"user:{each.author}"),
            at=each.created_at,
            edited=each.edited_at is not None,
            html=_marked(each.text, bool(each.mentions)),
            own=each.author is not None and each.author == call.user_id,
        )
        for each in found
    ]


async def show(call: PageCall) -> Html:
    """Show the comments."""
    return await _show(call)


async def add(call: PageCall) -> Html:
    """Comment on a task."""
    try:
        typed = decode(CommentForm, call.form)
        async with begin(call.host.platform, origin=call.actor.origin) as work:
            await comments.add(work, call.id("task_id"), comments.CommentText(typed.text), actor=call.actor)
    except FormError as error:
        return await _show(call, call.field("text"), error.form["text"].error, 422)
    except BadRequest as error:
        return await _show(call, call.field("text"), error.message, 422)
    return await _show(call)


async def ask_edit(call: PageCall) -> Html:
    """Show a comment of one's own as a form."""
    task_id, comment_id = call.id("task_id"), call.id("comment_id")
    found = await comments.list_(call.db, call.actor, task_id, after=comment_id - 1, limit=1)
    if not found or found[0].id != comment_id:
        raise NotFound(text("There is no comment {id} on this task", id=comment_id))
    return await _dialog(call, Form(CommentForm, {"text": found[0].text}))


async def edit(call: PageCall) -> Html:
    """Say something else instead."""
    try:
        typed = decode(CommentForm, call.form)
    except FormError as error:
        return await _dialog(call, error.form, 422)
    said = comments.CommentText(typed.text)
    async with begin(call.host.platform, origin=call.actor.origin) as work:
        await comments.edit(work, call.id("task_id"), call.id("comment_id"), said, actor=call.actor)
    call.event("close-dialog")
    call.headers += [(b"hx-retarget", b"#task-comments"), (b"hx-reswap", b"outerHTML")]
    return await _show(call)


async def remove(call: PageCall) -> Html:
    """Take a comment back."""
    async with begin(call.host.platform, origin=call.actor.origin) as work:
        await comments.remove(work, call.id("task_id"), call.id("comment_id"), actor=call.actor)
    return await _show(call)


async def colleagues(call: PageCall) -> Html:
    """Offer whom a comment can mention."""
    return await call.render("tasks/colleagues.html", people=await comments.mentionable(call.db))


async def _show(call: PageCall, typed: str = "", problem: Text | None = None, status: int = 200) -> Html:
    return await call.render(
        "tasks/comments.html",
        status=status,
        task_id=call.id("task_id"),
        comments=await shown(call, call.id("task_id")),
        most=MOST,
        typed=typed,
        problem=problem,
        writable=call.may(TASKS_WRITE),
    )


async def _dialog(call: PageCall, form: Form, status: int = 200) -> Html:
    task_id, comment_id = call.id("task_id"), call.id("comment_id")
    return await call.render(
        "tasks/comment_edit.html", status=status, form=form, task_id=task_id, comment_id=comment_id
    )


def _marked(words: str, mentions: bool) -> Markup:
    """Return a text as HTML with its mentions marked, if it has any that somebody was told of."""
    if not mentions:
        return escape(words)
    pieces, at = [], 0
    for found in _MENTION.finditer(words):
        pieces += [escape(words[at : found.start()]), Markup('<span class="zk-mention">{}</span>').format(found[0])]
        at = found.end()
    return Markup("").join([*pieces, escape(words[at:])])
