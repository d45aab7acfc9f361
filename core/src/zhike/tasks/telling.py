"""Tells users of tasks: what they are given, where they are mentioned, and what they are to be reminded of."""

from __future__ import annotations

from collections.abc import Collection

from zhike.access import finding
from zhike.access.actor import Actor
from zhike.contracts import Task
from zhike.desk.notices import notify
from zhike.i18n import Text, text
from zhike.tasks import sql
from zhike.work import Work

_SEEN = "SELECT EXISTS (SELECT FROM task AS t WHERE t.id = $1 AND {visible})"


async def given(work: Work, actor: Actor | None, task: Task) -> None:
    """Tell a user that a task is theirs now, unless they took it themselves."""
    if task.assignee is not None and (actor is None or actor.user_id != task.assignee):
        message = text("You have been given a task: {title}", title=task.title)
        await _tell(work, [task.assignee], message, "task.assigned", task, task.version)


async def mentioned(work: Work, users: Collection[int], task: Task, comment_id: int) -> None:
    """Tell users that a comment names them, and its title only those who see the task."""
    for user in users:
        actor, _ = await finding.load(work.connection, user, work.platform.directory)
        message = text("You have been mentioned in a comment on task {id}", id=task.id)
        if actor and await work.connection.fetchval(_SEEN.format(visible=sql.visible(actor)), task.id):
            message = text("You have been mentioned in a comment on a task: {title}", title=task.title)
        await _tell(work, [user], message, "task.mentioned", task, comment_id)


async def reminded(work: Work, task: Task, *, overdue: bool) -> None:
    """Tell the user whose task it is that its time is near, or has come."""
    if task.assignee is not None:
        message = text("Overdue: {title}", title=task.title) if overdue else text("Reminder: {title}", title=task.title)
        kind = "task.overdue" if overdue else "task.reminded"
        await _tell(work, [task.assignee], message, kind, task, work.now.isoformat())


async def _tell(work: Work, users: Collection[int], message: Text, kind: str, task: Task, which: int | str) -> None:
    await notify(work, users, message, kind=kind, path=f"/tasks/{task.id}", key=f"{kind}:{task.id}:{which}")
