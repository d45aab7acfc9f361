"""Making and changing tasks inside a unit of work, for routes and plugins alike.

A plugin calls these with its `work`, in `on_events_recorded` or a job: the tasks are there exactly if the work commits.

    call = NewTask(title="Call them", customer_id=event.customer_id, due_in="P1D")
    await service.create(work, [call], causes=[event])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, TypedDict, Unpack

import msgspec
from msgspec import UNSET

from zhike import wire
from zhike.access import audit
from zhike.access.actor import Actor
from zhike.access.roles import TASKS_WRITE
from zhike.contracts import Task
from zhike.errors import BadRequest, Conflict, NotFound
from zhike.events.emit import hold
from zhike.i18n import text
from zhike.tasks import due, item_rows, recurrence, repeating, sql, telling
from zhike.tasks.facts import causation, tell
from zhike.tasks.jobs import plan, schedule
from zhike.tasks.schemas import NewTask, TaskChange
from zhike.work import Cause, Work

__all__ = ["NewTask", "TaskChange", "cancel", "change", "complete", "create", "reopen"]

_VISIBLE = "SELECT c.id FROM customer AS c WHERE c.id = ANY($1::bigint[]) AND {visible}"
_USERS = "SELECT id FROM app_user WHERE id = ANY($1::bigint[]) AND disabled_at IS NULL"
# Nobody removes a team before the work has ended.
_TEAMS = "SELECT id FROM team WHERE id = ANY($1::bigint[]) ORDER BY id FOR KEY SHARE"
_EVENTS = {"in_progress": "task.started", "done": "task.completed", "cancelled": "task.cancelled"}
_WORDS = ("title", "description", "result")
_AUDITED = (*_WORDS, "customer_id", "assignee", "team", "priority", "status", "due_at", "reminders", "recurrence")


class By(TypedDict, total=False):
    """Who changes tasks, and why: see `change`."""

    actor: Actor | None
    cause: Cause | None


async def create(
    work: Work, tasks: Sequence[NewTask], *, actor: Actor | None = None, causes: Sequence[Cause | None] = ()
) -> list[Task]:
    """Make tasks.

    Emits `task.created` for each that has a customer, and `task.assigned` if it is somebody's.

    Args:
        work: The unit of work they are made in; its origin is theirs.
        tasks: What is to be made.
        actor: Who makes them, may see their customers, and is written to the audit trail; the system when absent.
        causes: What made each of them necessary, in the same order.

    Returns:
        The tasks in the same order; for a key that a task has already, that one as it is.

    Raises:
        BadRequest: If something about one is wrong; the message begins with the field.
        Conflict: If a key is that of a task which `actor` does not see.
        Rejected: If a plugin stops it.
    """
    wanted: dict[str | int, tuple[dict[str, Any], Cause | None]] = {}
    for place, (task, cause) in enumerate(zip_longest(tasks, causes)):
        wanted.setdefault(task.key or place, (_given(task), cause))
    found = await _known(work, actor, [name for name in wanted if isinstance(name, str)])
    new = {name: pair for name, pair in wanted.items() if name not in found}
    await _settle(work, actor, [given for given, _ in new.values()])
    ids = await sql.new_ids(work.connection, len(new))
    made = {name: _new(work, task_id, *new[name]) for name, task_id in zip(new, ids, strict=True)}
    if made:
        stored = await _store(work, actor, [(task, new[name][1]) for name, task in made.items()])
        items = {made[name].id: given["items"] for name, (given, _) in new.items()}
        await item_rows.insert(work.connection, [task for task in made.values() if task.id in stored], items)
        # Whose key somebody else was quicker to store.
        keys = [task.key for task in made.values() if task.key and task.id not in stored]
        found |= made | await _known(work, actor, keys)
    return [found[task.key or place] for place, task in enumerate(tasks)]


async def change(
    work: Work, ids: Sequence[int], change: TaskChange, *, actor: Actor | None = None, cause: Cause | None = None
) -> list[Task]:
    """Change tasks, all in the same way; none of them if one cannot be changed so.

    Emits `task.assigned`, `task.started`, `task.completed`, `task.cancelled` and `task.reopened` for those that have a
    customer. With one that comes again and is done or cancelled by this, the next is made.

    Args:
        work: The unit of work in which it happens.
        ids: The tasks; they are locked in the order of their ids.
        change: What is to be another way.
        actor: Who changes them, sees them and is written to the audit trail; the system when absent.
        cause: What made it necessary.

    Returns:
        The tasks as they are now, in the order of their ids.

    Raises:
        BadRequest: If something about the change is wrong; the message begins with the field.
        NotFound: If there is no such task, or `actor` does not see it.
        Conflict: If it is at another version, or closed in another way.
        Rejected: If a plugin stops it.
    """
    given = _given(change)
    before = [sql.task_of(row, work.now) for row in await sql.lock(work.connection, actor, ids)]
    if missing := set(ids) - {task.id for task in before}:
        raise not_found(min(missing))
    version = given.pop("version", None)
    for task in before:
        if version not in {None, task.version}:
            what = text("Somebody has changed the task since; it is at version {version}", version=task.version)
            raise Conflict(what, code="version")
    await _settle(work, actor, [given])
    after = [_changed(work, task, given) for task in before]
    after, again = await repeating.passed_on(work, after, cause)
    pairs = [(old, new) for old, new in zip(before, after, strict=True) if new is not old]
    if completed := tuple(new for old, new in pairs if new.status == "done" != old.status):
        await work.platform.hooks.veto("before_tasks_complete", actor=actor or Actor.system(), tasks=completed)
    if pairs:
        await _write(work, actor, pairs, cause)
    if again:
        await _store(work, actor, [(task, cause) for task in again.values()])
        await item_rows.copy(work.connection, again)
    return after


async def complete(work: Work, ids: Sequence[int], result: str | None = None, **by: Unpack[By]) -> list[Task]:
    """Mark tasks as done, `result` saying what came of it. The rest is as with `change`."""
    return await change(work, ids, TaskChange(status="done", result=result or UNSET), **by)


async def cancel(work: Work, ids: Sequence[int], result: str | None = None, **by: Unpack[By]) -> list[Task]:
    """Mark tasks as not to be done, `result` saying why. The rest is as with `change`."""
    return await change(work, ids, TaskChange(status="cancelled", result=result or UNSET), **by)


async def reopen(work: Work, ids: Sequence[int], **by: Unpack[By]) -> list[Task]:
    """Take up tasks again that were done or cancelled. The rest is as with `change`."""
    return await change(work, ids, TaskChange(status="open"), **by)


async def locked(work: Work, actor: Actor | None, task_id: int) -> Task:
    """Return a task that `actor` may change, which nobody else does until the work ends.

    Raises:
        NotFound: If there is no such task, or `actor` does not see it.
    """
    rows = await sql.lock(work.connection, actor, [task_id])
    if not rows:
        raise not_found(task_id)
    return sql.task_of(rows[0], work.now)


def not_found(task_id: int) -> NotFound:
    """Return the error for a task that does not exist or is out of sight; nobody can tell which."""
    return NotFound(text("There is no task {id}", id=task_id))


def _given(said: NewTask | TaskChange) -> dict[str, Any]:
    """Return what is said of a task; a plugin may have put anything into it, and JSON may hold a NUL."""
    try:
        wire.decode(wire.encode(said, "json"), "json", type(said))
    except (TypeError, ValueError) as error:
        raise BadRequest(text("no JSON can be made of it ({kind})", kind=type(error).__name__)) from None
    given = {name: value for name, value in msgspec.structs.asdict(said).items() if value is not UNSET}
    for name, value in given.items():
        for words in value if name == "items" else (value,):
            if isinstance(words, str):
                check_words(name, words, blank=name not in {"title", "items"})
    return given


def check_words(field: str, words: str, *, blank: bool = False) -> None:
    """Raise `BadRequest` for text that cannot be stored, or that has nothing but blanks unless that is allowed."""
    if "\0" in words:
        raise wire.refuse(wire.Fault(field, text("the character NUL (\\u0000) cannot be stored")))
    if not (blank or words.strip()):
        raise wire.refuse(wire.Fault(field, text("expected more than blanks")))


async def _settle(work: Work, actor: Actor | None, given: Sequence[dict[str, Any]]) -> None:
    """Check what is said of tasks against what there is, and replace it by what is stored."""
    winners = await _winners(work, actor, {each["customer_id"] for each in given if each.get("customer_id")})
    users = {each["assignee"] for each in given if each.get("assignee")}
    if users and (missing := users - {row[0] for row in await work.connection.fetch(_USERS, list(users))}):
        raise wire.refuse(wire.Fault("assignee", text("there is no active user {id}", id=min(missing))))
    teams = {each["team"] for each in given if each.get("team")}
    if teams and (missing := teams - {row[0] for row in await work.connection.fetch(_TEAMS, list(teams))}):
        raise wire.refuse(wire.Fault("team", text("there is no team {id}", id=min(missing))))
    for each in given:
        if each.get("customer_id"):
            each["customer_id"] = winners[each["customer_id"]]
        due_in, due_at = each.pop("due_in", None), each.get("due_at")
        if due_in is not None and due_at is not None:
            raise BadRequest(text("due_in: expected either this or due_at, not both"))
        if due_in is not None:
            each["due_at"] = await due.after_working_time(work.platform, due_in, work.now)
        elif due_at is not None:
            each["due_at"] = due.instant("due_at", due_at, work.platform.settings.zone, work.now)


async def _winners(work: Work, actor: Actor | None, customers: set[int]) -> Mapping[int, int]:
    """Return who customers are now; none is merged away before the work has ended, which would leave tasks behind."""
    if not customers:
        return {}
    try:
        winners = await hold(work.connection, customers)
        sight = _VISIBLE.format(visible=sql.customers(actor, TASKS_WRITE))
        rows = await work.connection.fetch(sight, [*winners.values()])
        seen = {row[0] for row in rows}
        if unseen := [customer for customer in customers if winners.get(customer) not in seen]:
            raise NotFound(text("There is no customer with the id {id}", id=min(unseen)))
    except NotFound as error:
        raise wire.refuse(wire.Fault("customer_id", error.message)) from None
    return winners


async def _known(work: Work, actor: Actor | None, keys: Sequence[str]) -> dict[str | int, Task]:
    rows = await sql.by_key(work.connection, actor, keys)
    if hidden := [row["key"] for row in rows if not row["visible"]]:
        raise Conflict(text("key: {key!r} is that of another task", key=hidden[0]), code="key")
    return {row["key"]: sql.task_of(row, work.now) for row in rows}


def _new(work: Work, task_id: int, given: Mapping[str, Any], cause: Cause | None) -> Task:
    now, due_at, rule = work.now, given["due_at"], given["recurrence"]
    zone = work.platform.settings.zone
    made: dict[str, Any] = {
        **{"id": task_id, "origin": work.origin, "version": 1, "created_at": now, "updated_at": now},
        **{"status": "open", "result": None, "completed_at": None, "overdue": due_at is not None and due_at <= now},
        **{"items": len(given["items"]), "items_done": 0, "comments": 0, "series": rule and task_id},
        "causation_id": causation(cause),
        "reminders": due.checked(given["reminders"], due_at, zone, now),
        "recurrence": rule and recurrence.settled(rule, due_at, zone, now),
    }
    return Task(**{**given, **made})


async def _store(work: Work, actor: Actor | None, tasks: Sequence[tuple[Task, Cause | None]]) -> set[int]:
    """Store tasks, unless a plugin stops it; return the ids of those whose key nobody else has stored meanwhile."""
    drafts = tuple(task for task, _ in tasks)
    await work.platform.hooks.veto("before_tasks_create", actor=actor or Actor.system(), tasks=drafts)
    stored = await sql.insert(work.connection, drafts)
    for task, cause in tasks:
        if task.id in stored:
            await _made(work, actor, task, cause)
    return stored


async def _made(work: Work, actor: Actor | None, task: Task, cause: Cause | None) -> None:
    tell(work, "task.created", task, cause)
    if task.assignee is not None or task.team is not None:
        tell(work, "task.assigned", task, cause)
        await telling.given(work, actor, task)
    plan(work, task, cause)
    await _audit(work, actor, "task.create", task, _AUDITED)


def _changed(work: Work, old: Task, given: Mapping[str, Any]) -> Task:
    """Return a task as it is to be; the same object if that is as it was."""
    now, fields, zone = work.now, dict(given), work.platform.settings.zone
    status, due_at = given.get("status", old.status), given.get("due_at", old.due_at)
    unfinished = status in sql.UNFINISHED
    if status != old.status:
        if not unfinished and old.status not in sql.UNFINISHED:
            raise Conflict(text("The task {id} is {status}; open it again first", id=old.id, status=old.status))
        fields |= {"completed_at": now if status == "done" else None, "result": given.get("result")}
    if unfinished and given.get("result") is not None:
        raise BadRequest(text("result: an open task has none"))
    if "due_at" in given or "reminders" in given:
        reminders = given.get("reminders", old.reminders)
        fields["reminders"] = due.checked(reminders, due_at, zone, now)
    if (rule := given.get("recurrence", old.recurrence)) is not None:
        if not unfinished and status == old.status:
            raise wire.refuse(wire.Fault("recurrence", text("a task that is done or cancelled does not come again")))
        fields |= {"recurrence": recurrence.settled(rule, due_at, zone, now), "series": old.series or old.id}
    fields["overdue"] = unfinished and due_at is not None and due_at <= now
    new = msgspec.structs.replace(old, **fields)
    return old if new == old else msgspec.structs.replace(new, version=old.version + 1, updated_at=now)


async def _write(work: Work, actor: Actor | None, pairs: Sequence[tuple[Task, Task]], cause: Cause | None) -> None:
    changes = {new.id: [name for name in _AUDITED if getattr(old, name) != getattr(new, name)] for old, new in pairs}
    moved = [new for _, new in pairs if {"due_at", "reminders", "status"}.intersection(changes[new.id])]
    await sql.update(work.connection, [new for _, new in pairs], [task.id for task in moved])
    await schedule(work, moved, cause)
    for old, new in pairs:
        if {"assignee", "team"}.intersection(changes[new.id]):
            tell(work, "task.assigned", new, cause)
        if "assignee" in changes[new.id]:
            await telling.given(work, actor, new)
        if "status" in changes[new.id] and (name := _event(old, new)) is not None:
            tell(work, name, new, cause)
        await _audit(work, actor, "task.change", new, changes[new.id])


def _event(old: Task, new: Task) -> str | None:
    """Return what it is called that a task gets another status; it is nothing when work on it stops."""
    if new.status in sql.UNFINISHED and old.status not in sql.UNFINISHED:
        return "task.reopened"
    return _EVENTS.get(new.status)


async def _audit(work: Work, actor: Actor | None, action: str, task: Task, names: Sequence[str]) -> None:
    """Write what is new about a task to the audit trail; words, which may be about people, only by name."""
    if actor is not None:
        details = {name: "…" if name in _WORDS else getattr(task, name) for name in names}
        await audit.record(work.connection, actor, action, f"task:{task.id}", details)
