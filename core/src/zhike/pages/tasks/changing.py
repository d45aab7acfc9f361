"""Changing a task from a page: its status, by buttons, by ticking it off, and in a dialog that asks for the result."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET

from zhike.contracts import Task
from zhike.i18n import text
from zhike.pages.tasks.words import repeats, shown
from zhike.tasks import lists, service
from zhike.tasks.schemas import TaskChange
from zhike.ui import FormError, Html, PageCall, Redirect, asked
from zhike.ui.forms import Form, decode
from zhike.work import begin

_SAID = {
    "open": text("The task is open again"),
    "in_progress": text("The task is begun"),
    "done": text("The task is done"),
    "cancelled": text("The task is cancelled"),
}


class EndQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The address of the dialog that ends a task.

    Args:
        status: How it ends.
    """

    status: Literal["done", "cancelled"] = "done"


class DoneForm(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for when a task is done.

    Args:
        result: What came of it.
    """

    result: Annotated[
        str,
        asked(
            "Result", kind="textarea", placeholder="What came of it, for whoever reads this later", max_length=10_000
        ),
    ] = ""


class CancelledForm(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for when a task is not to be done.

    Args:
        result: Why.
    """

    result: Annotated[str, asked("Why is it not needed?", kind="textarea", max_length=10_000)] = ""


class StatusForm(msgspec.Struct, frozen=True, kw_only=True):
    """What the buttons and the dialog send.

    Args:
        status: The new status.
        result: What came of it.
    """

    status: Annotated[Literal["open", "in_progress", "done", "cancelled"], asked("Status", kind="hidden")]
    result: Annotated[str, asked("Result", kind="textarea", max_length=10_000)] = ""


async def change(call: PageCall, task_id: int, said: TaskChange) -> Task:
    """Change a task in a unit of work of its own."""
    async with begin(call.host.platform, origin=call.actor.origin) as work:
        [task] = await service.change(work, [task_id], said, actor=call.actor)
    return task


async def ask_end(call: PageCall, query: EndQuery) -> Html:
    """Ask for the result, or the reason."""
    task = await lists.get(call.db, call.actor, call.id("task_id"))
    form = Form(DoneForm if query.status == "done" else CancelledForm)
    return await _dialog(call, task, query.status, form)


async def set_status(call: PageCall) -> Html | Redirect:
    """Give a task another status."""
    task_id = call.id("task_id")
    try:
        typed = decode(StatusForm, call.form)
    except FormError as error:
        task = await lists.get(call.db, call.actor, task_id)
        return await _dialog(call, task, call.field("status"), error.form, 422)
    result = typed.result.strip() if typed.status in {"done", "cancelled"} else ""
    await change(call, task_id, TaskChange(status=typed.status, result=result or UNSET))
    return call.redirect(f"/tasks/{task_id}", toast=_SAID[typed.status])


async def tick(call: PageCall) -> Html:
    """Tick a task off in a list, or take that back, and show its line."""
    done = call.field("done") == "1"
    task = await change(call, call.id("task_id"), TaskChange(status="done" if done else "open"))
    [line] = await shown(call, [task])
    return await call.render("tasks/line.html", line=line, customers=call.field("customers") == "1")


async def _dialog(call: PageCall, task: Task, status: str, form: Form, code: int = 200) -> Html:
    again = repeats(task.recurrence, call.locale) if task.recurrence else ""
    return await call.render("tasks/end.html", status=code, task=task, wanted=status, form=form, again=again)
