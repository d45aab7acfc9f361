"""Routes that show tasks, make them and change them."""

from __future__ import annotations

from functools import partial

from zhike import wire
from zhike.access.roles import TASKS_READ, TASKS_WRITE
from zhike.api import Call, Page, Route
from zhike.contracts import Task
from zhike.tasks import board, lists, service
from zhike.tasks.query import TasksQuery
from zhike.tasks.schemas import NewTask, TaskChange
from zhike.work import begin


async def list_tasks(call: Call, query: TasksQuery) -> Page[Task]:
    """List tasks, those of customers out of sight left out; for a customer merged away, the winner's."""
    return await lists.list_(call.db, call.actor, query, zone=call.settings.zone, key=call.host.cursor_key)


async def read_board(call: Call, query: TasksQuery) -> board.Board:
    """Show tasks by their status; of those that are finished, what changed in the last 14 days."""
    return await board.board(call.db, call.actor, query, zone=call.settings.zone)


async def read_counts(call: Call) -> board.TaskCounts:
    """Count one's own tasks and those of one's team that are not finished."""
    return await board.counts(call.db, call.actor, zone=call.settings.zone)


async def read_task(call: Call) -> Task:
    """Show one task."""
    return await lists.get(call.db, call.actor, call.id("task_id"))


async def create_task(call: Call) -> Task:
    """Make a task; with the `key` of one that is there already, show that one."""
    new = wire.decode(call.body, call.body_type, NewTask)
    async with begin(call.host.platform, origin=call.actor.origin) as work:
        [task] = await service.create(work, [new], actor=call.actor)
    return task


async def change_task(call: Call) -> Task:
    """Change a task; what is left out of the body stays as it is."""
    task_id, change = call.id("task_id"), wire.decode(call.body, call.body_type, TaskChange)
    async with begin(call.host.platform, origin=call.actor.origin) as work:
        [task] = await service.change(work, [task_id], change, actor=call.actor)
    return task


_read = partial(Route, method="GET", permission=TASKS_READ)
_write = partial(Route, permission=TASKS_WRITE, answer=Task, statuses=(409,))
_ALL, _ONE = "/tasks", "/tasks/{task_id}"

ROUTES = (
    _read(path=_ALL, handler=list_tasks, summary="Tasks", query=TasksQuery, answer=Page[Task]),
    _read(path="/tasks/board", handler=read_board, summary="Tasks as a board", query=TasksQuery, answer=board.Board),
    _read(path="/tasks/counts", handler=read_counts, summary="Counts of tasks", answer=board.TaskCounts),
    _read(path=_ONE, handler=read_task, summary="One task", answer=Task),
    _write(method="POST", path=_ALL, handler=create_task, summary="Make a task", body=NewTask),
    _write(method="PATCH", path=_ONE, handler=change_task, summary="Change a task", body=TaskChange),
)
