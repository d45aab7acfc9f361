"""What people and programs say about a task; `@login` mentions a user."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated

import msgspec
from asyncpg import Record
from msgspec import Meta

from zhike.access import audit
from zhike.access.actor import Actor
from zhike.contracts import Task
from zhike.errors import Forbidden, NotFound
from zhike.i18n import text
from zhike.orm import Database
from zhike.tasks import lists, telling
from zhike.tasks.facts import tell
from zhike.tasks.service import check_words, locked
from zhike.work import Cause, Work

MOST_MENTIONS = 20
_MENTION = re.compile(r"(?<![A-Za-z0-9._@+-])@([A-Za-z0-9][A-Za-z0-9._@+-]{0,99})")
_COLUMNS = "id, author, origin, text, mentions, created_at, edited_at"
_LIST = f"SELECT {_COLUMNS} FROM task_comment WHERE task_id = $1 AND id > $2 ORDER BY id LIMIT $3"
_LATEST = f"SELECT * FROM ({_LIST.replace('ORDER BY id', 'ORDER BY id DESC')}) AS c ORDER BY id"
_ADD = f"""
WITH counted AS (UPDATE task SET comments = comments + 1 WHERE id = $1)
INSERT INTO task_comment (task_id, customer_id, author, origin, text, mentions, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING {_COLUMNS}
"""
_EDIT = f"UPDATE task_comment SET text = $2, mentions = $3, edited_at = $4 WHERE id = $1 RETURNING {_COLUMNS}"
_REMOVE = """
WITH counted AS (UPDATE task SET comments = comments - 1 WHERE id = $1)
DELETE FROM task_comment WHERE id = $2
"""
_ONE = "SELECT author, origin FROM task_comment WHERE task_id = $1 AND id = $2"
_MENTIONABLE = "SELECT login, name FROM app_user WHERE disabled_at IS NULL ORDER BY name, login LIMIT 500"
_USERS = "SELECT id FROM app_user WHERE login = ANY($1::text[]) AND disabled_at IS NULL ORDER BY id"


class CommentText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is said about a task.

    Args:
        text: What is said; `@login` mentions a user.
    """

    text: Annotated[str, Meta(min_length=1, max_length=10_000)]


class Comment(msgspec.Struct, frozen=True, kw_only=True):
    """A comment on a task.

    Args:
        id: Its id.
        author: Id of the user who said it, or None.
        origin: Who said it: `user:7`, `token:3`, `plugin:ticketing` …
        text: What was said.
        mentions: Ids of the users it names.
        created_at: When it was said.
        edited_at: When it was changed last, or None.
    """

    id: int
    author: int | None
    origin: str
    text: str
    mentions: tuple[int, ...]
    created_at: datetime
    edited_at: datetime | None


class CommentRemoved(msgspec.Struct, frozen=True):
    """What was taken back.

    Args:
        id: The comment's id.
    """

    id: int


async def list_(
    db: Database, actor: Actor, task_id: int, *, after: int = 0, limit: int = 50, latest: bool = False
) -> list[Comment]:
    """Return comments on a task, the oldest first.

    Args:
        db: Where they are.
        actor: Who asks.
        task_id: The task.
        after: Only those with a greater id.
        limit: Most of them.
        latest: Whether these are the last ones where there are more.

    Raises:
        NotFound: If there is no such task, or `actor` does not see it.
    """
    await lists.get(db, actor, task_id)
    rows = await db.fetch(_LATEST if latest else _LIST, task_id, after, limit)
    return [_comment(row) for row in rows]


async def mentionable(db: Database) -> list[tuple[str, str]]:
    """Return login and name of those who can be mentioned, by name."""
    return [(row["login"], row["name"]) for row in await db.fetch(_MENTIONABLE)]


async def add(
    work: Work, task_id: int, said: CommentText, *, actor: Actor | None = None, cause: Cause | None = None
) -> Comment:
    """Comment on a task; emits `task.commented` if it has a customer.

    Args:
        work: The unit of work in which it happens.
        task_id: The task.
        said: What is said.
        actor: Who says it, sees the task and is written to the audit trail; the system when absent.
        cause: What made it necessary.

    Raises:
        BadRequest: If the text is blank or cannot be stored.
        NotFound: If there is no such task, or `actor` does not see it.
    """
    check_words("text", said.text)
    task = await locked(work, actor, task_id)
    values = (task.customer_id, actor and actor.user_id, work.origin, said.text, await _mentioned(work, said.text))
    [row] = await work.connection.fetch(_ADD, task.id, *values, work.now)
    comment = _comment(row)
    tell(work, "task.commented", task, cause, comment_id=comment.id)
    return await _told(work, actor, "task.comment", task, comment)


async def edit(work: Work, task_id: int, comment_id: int, said: CommentText, *, actor: Actor | None = None) -> Comment:
    """Say something else instead, which only who said it may.

    Raises:
        BadRequest: If the text is blank or cannot be stored.
        Forbidden: If somebody else said it.
        NotFound: If there is no such comment, or `actor` does not see the task.
    """
    check_words("text", said.text)
    task = await _own(work, actor, task_id, comment_id)
    mentions = await _mentioned(work, said.text)
    [row] = await work.connection.fetch(_EDIT, comment_id, said.text, mentions, work.now)
    return await _told(work, actor, "task.comment.edit", task, _comment(row))


async def remove(work: Work, task_id: int, comment_id: int, *, actor: Actor | None = None) -> None:
    """Take back what was said, which only who said it may; the errors are those of `edit`."""
    task = await _own(work, actor, task_id, comment_id)
    await work.connection.execute(_REMOVE, task.id, comment_id)
    await _audit(work, actor, "task.comment.remove", task, comment_id)


async def _told(work: Work, actor: Actor | None, action: str, task: Task, comment: Comment) -> Comment:
    """Tell those whom a comment names, each once, and write to the audit trail."""
    others = [user for user in comment.mentions if user != comment.author]
    await telling.mentioned(work, others, task, comment.id)
    await _audit(work, actor, action, task, comment.id)
    return comment


async def _own(work: Work, actor: Actor | None, task_id: int, comment_id: int) -> Task:
    """Return the task of a comment that is the actor's own, locked."""
    task = await locked(work, actor, task_id)
    row = await work.connection.fetchrow(_ONE, task_id, comment_id)
    if row is None:
        raise NotFound(text("There is no comment {id} on this task", id=comment_id))
    own = actor is None or row["origin"] == actor.origin or None is not row["author"] == actor.user_id
    if not own:
        raise Forbidden(text("Only who has said it can change a comment"))
    return task


async def _mentioned(work: Work, words: str) -> list[int]:
    """Return the users a text mentions; a login at the end of a sentence may have a full stop behind it."""
    found = [login.lower() for login in _MENTION.findall(words)[:MOST_MENTIONS]]
    if not found:
        return []
    logins = {form for login in found for form in (login, login.rstrip("._@+-"))}
    return [row[0] for row in await work.connection.fetch(_USERS, list(logins))]


async def _audit(work: Work, actor: Actor | None, action: str, task: Task, comment_id: int) -> None:
    if actor is not None:
        await audit.record(work.connection, actor, action, f"task:{task.id}", {"comment_id": comment_id})


def _comment(row: Record) -> Comment:
    return Comment(**{**row, "mentions": tuple(row["mentions"])})
