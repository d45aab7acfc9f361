"""Notices: what users should know, each shown in the reader's language.

text_ = text("{name} has given you a task: {title}", name=actor.name, title=task.title)
await notices.notify(work, [task.assignee], text_, path=f"/tasks/{task.id}", key=f"task.assigned:{task.id}")
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from zhike import clock
from zhike.access.roles import ROLES
from zhike.api import MAX_ID, Page, PageQuery
from zhike.contracts import Job, JobItem, Schedule
from zhike.desk.texts import encode_text, rendered
from zhike.i18n import Text, text
from zhike.ids import decode_cursor, encode_cursor

if TYPE_CHECKING:
    from zhike.orm import Connection, Database
    from zhike.work import Work

KEPT = timedelta(days=90)
"""How long notices are kept, read or not."""
_CHUNK = 5_000
_INSERT = """
INSERT INTO notice (user_id, kind, key, text, path, created_at)
SELECT u.id, $2, $3, $4::jsonb, $5, $6 FROM app_user AS u
WHERE u.id = ANY($1::bigint[]) AND u.disabled_at IS NULL ORDER BY u.id
ON CONFLICT (user_id, key) WHERE key IS NOT NULL DO NOTHING
"""
_HOLDERS = """
SELECT u.id FROM app_user AS u WHERE u.disabled_at IS NULL AND (
  u.role = ANY($2::text[])
  OR EXISTS (SELECT FROM role_permission AS p WHERE p.role = u.role AND p.permission = $1)
)
"""
_LIST = """
SELECT id, kind, text::text, path, created_at, read_at FROM notice
WHERE user_id = $1 AND id < $2 AND (read_at IS NULL OR NOT $4) ORDER BY id DESC LIMIT $3
"""
_READ = """
UPDATE notice SET read_at = $2 WHERE user_id = $1 AND read_at IS NULL AND ($3::bigint[] IS NULL OR id = ANY($3))
"""
_OLD = "DELETE FROM notice WHERE id IN (SELECT id FROM notice WHERE created_at < $1 ORDER BY created_at LIMIT $2)"


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """A notice as its reader sees it.

    Args:
        id: Its id.
        kind: What it is about, such as `task.assigned`.
        text: In the reader's language.
        path: The page that shows more; empty when there is none.
        created_at: Since when it is there.
        read_at: When it was read; null while it is not.
    """

    id: int
    kind: str
    text: str
    path: str
    created_at: datetime
    read_at: datetime | None


async def notify(
    work: Work, user_ids: Collection[int], message: Text, *, kind: str, path: str = "", key: str | None = None
) -> None:
    """Tell users something, once the work commits; disabled ones are left out.

    Work on events that are not live, such as those of an import, has nobody told.

    Args:
        work: The unit of work in which it comes to be known.
        user_ids: Whom.
        message: What; its params are shown to the user, who must be allowed to see them.
        kind: What it is about, such as `task.assigned`.
        path: The page that shows more.
        key: Whoever has a notice of this key, read or not, gets no second one.
    """
    if work.mode in {"live", "replay"}:
        await post(work.connection, user_ids, message, kind=kind, path=path, key=key, now=work.now)


async def post(
    connection: Connection,
    user_ids: Collection[int],
    message: Text,
    *,
    kind: str,
    path: str = "",
    key: str | None = None,
    now: datetime | None = None,
) -> None:
    """Do as `notify` in a transaction that is no unit of work."""
    if user_ids:
        stored = encode_text(message)
        await connection.execute(_INSERT, list(user_ids), kind, key, stored, path, now or clock.now())


async def holders(connection: Connection, permission: str) -> list[int]:
    """Return the users who hold a permission of the core's, whatever its scope."""
    shipped = [role for role, granted in ROLES.items() if permission in granted]
    return [row[0] for row in await connection.fetch(_HOLDERS, permission, shipped)]


async def list_(
    db: Database, user_id: int, query: PageQuery, locale: str, *, unread: bool = False, key: bytes = b""
) -> Page[Notice]:
    """Return a page of a user's notices, the newest first.

    Args:
        db: Where they are.
        user_id: Whose.
        query: Which page.
        locale: The reader's.
        unread: Only those that are not read.
        key: The deployment's secret that signs cursors.

    Raises:
        BadRequest: If the cursor was not made for this list.
    """
    scope = f"notices:{user_id}:{unread}"
    before = MAX_ID if query.cursor is None else decode_cursor(query.cursor, key, int, scope=scope)
    async with db.connection() as connection:
        rows = await connection.fetch(_LIST, user_id, before, query.size + 1, unread)
    items = [Notice(**{**row, "text": rendered(row["text"], locale) or ""}) for row in rows[: query.size]]
    return Page(items, encode_cursor(items[-1].id, key, scope=scope) if len(rows) > query.size else None)


async def unread(db: Database, user_id: int) -> int:
    """Return how many notices a user has not read."""
    async with db.connection() as connection:
        number: int = await connection.fetchval(
            "SELECT count(*) FROM notice WHERE user_id = $1 AND read_at IS NULL", user_id
        )
    return number


async def path(db: Database, user_id: int, notice_id: int) -> str | None:
    """Return the page that one of a user's notices leads to, "" if there is none; None if there is no such notice."""
    async with db.connection() as connection:
        found: str | None = await connection.fetchval(
            "SELECT path FROM notice WHERE id = $1 AND user_id = $2", notice_id, user_id
        )
    return found


async def mark_read(db: Database, user_id: int, ids: Collection[int] | None = None) -> None:
    """Note that a user has read notices: some of their own, or all."""
    async with db.connection() as connection:
        await connection.execute(_READ, user_id, clock.now(), None if ids is None else list(ids))


async def clean(items: Sequence[JobItem], work: Work) -> None:
    """Delete the oldest notices that are kept no longer."""
    done = await work.connection.execute(_OLD, work.now - KEPT, _CHUNK)
    if done == f"DELETE {_CHUNK}":
        work.enqueue("desk.clean_notices", cause=items[0])


JOBS = (Job(name="desk.clean_notices", run=clean, label=text("Delete old notices")),)
SCHEDULES = (Schedule(name="desk.clean_notices", job="desk.clean_notices", cron="23 3 * * *"),)
