"""Checklists: what is to be ticked off for a task."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from asyncpg import Record
from msgspec import UNSET, Meta, UnsetType

from zhike.access import audit
from zhike.access.actor import Actor
from zhike.errors import BadRequest, NotFound
from zhike.i18n import text
from zhike.orm import Database
from zhike.tasks import item_rows, lists
from zhike.tasks.schemas import MAX_ITEMS, ItemText
from zhike.tasks.service import check_words, locked
from zhike.work import Work

_Position = Annotated[int, Meta(ge=0, lt=MAX_ITEMS)]


class NewItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One more thing for a checklist.

    Args:
        text: What is to be done.
        position: Its place, from 0; the last when absent.
    """

    text: ItemText
    position: _Position = MAX_ITEMS - 1


class ItemChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be another way with one thing on a checklist; what is left out stays as it is.

    Args:
        text: What is to be done.
        done: Whether it is done.
        position: Its place, from 0; those behind it move on.
    """

    text: ItemText | UnsetType = UNSET
    done: bool | UnsetType = UNSET
    position: _Position | UnsetType = UNSET


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One thing on a checklist.

    Args:
        id: Its id.
        text: What is to be done.
        done: Whether it is done.
        done_at: When that was, or None.
        done_by: Id of the user who did it, or None.
    """

    id: int
    text: str
    done: bool
    done_at: datetime | None
    done_by: int | None


class Checklist(msgspec.Struct, frozen=True):
    """What is to be ticked off for a task.

    Args:
        items: In its order.
    """

    items: list[Item]


async def list_(db: Database, actor: Actor, task_id: int) -> Checklist:
    """Return a task's checklist in its order.

    Raises:
        NotFound: If there is no such task, or `actor` does not see it.
    """
    await lists.get(db, actor, task_id)
    async with db.connection() as connection:
        return _checklist(await item_rows.read(connection, task_id))


async def add(work: Work, task_id: int, new: NewItem, *, actor: Actor | None = None) -> Checklist:
    """Put something on a task's checklist and return all of it.

    Args:
        work: The unit of work in which it happens.
        task_id: The task.
        new: What is put there.
        actor: Who does so, sees the task and is written to the audit trail; the system when absent.

    Raises:
        BadRequest: If the text is blank or cannot be stored, or there is too much on it.
        NotFound: If there is no such task, or `actor` does not see it.
    """
    check_words("text", new.text)
    task = await locked(work, actor, task_id)
    if task.items >= MAX_ITEMS:
        raise BadRequest(text("A checklist has room for {most} things", most=MAX_ITEMS))
    order = [row["id"] for row in await item_rows.read(work.connection, task_id)]
    item_id = await item_rows.add(work.connection, task, new.text)
    order.insert(new.position, item_id)
    return await _settled(work, actor, task_id, "task.item.add", item_id, order)


async def change(
    work: Work, task_id: int, item_id: int, change: ItemChange, *, actor: Actor | None = None
) -> Checklist:
    """Change one thing on a checklist and return all of it; the rest is as with `add`."""
    if change.text is not UNSET:
        check_words("text", change.text)
    await locked(work, actor, task_id)
    rows = {row["id"]: row for row in await item_rows.read(work.connection, task_id)}
    if (row := rows.get(item_id)) is None:
        raise _not_found(item_id)
    words = row["text"] if change.text is UNSET else change.text
    done = (row["done_at"], row["done_by"])
    if change.done is not UNSET and change.done != (row["done_at"] is not None):
        done = (work.now, actor and actor.user_id) if change.done else (None, None)
    await item_rows.write(work.connection, task_id, item_id, words, *done)
    order = [*rows]
    if change.position is not UNSET:
        order.remove(item_id)
        order.insert(change.position, item_id)
    said = {name: value for name, value in msgspec.structs.asdict(change).items() if value is not UNSET}
    given = said | ({"text": "…"} if "text" in said else {})
    return await _settled(work, actor, task_id, "task.item.change", item_id, order, **given)


async def remove(work: Work, task_id: int, item_id: int, *, actor: Actor | None = None) -> Checklist:
    """Take one thing off a checklist and return the rest of it; the errors are as with `add`."""
    await locked(work, actor, task_id)
    if not await item_rows.delete(work.connection, task_id, item_id):
        raise _not_found(item_id)
    order = [row["id"] for row in await item_rows.read(work.connection, task_id)]
    return await _settled(work, actor, task_id, "task.item.remove", item_id, order)


async def _settled(
    work: Work, actor: Actor | None, task_id: int, action: str, item_id: int, order: Sequence[int], **details: object
) -> Checklist:
    await item_rows.settle(work.connection, task_id, order)
    if actor is not None:
        await audit.record(work.connection, actor, action, f"task:{task_id}", {"item_id": item_id, **details})
    return _checklist(await item_rows.read(work.connection, task_id))


def _checklist(rows: Sequence[Record]) -> Checklist:
    return Checklist([Item(done=row["done_at"] is not None, **row) for row in rows])


def _not_found(item_id: int) -> NotFound:
    return NotFound(text("There is nothing with the id {id} on this checklist", id=item_id))
