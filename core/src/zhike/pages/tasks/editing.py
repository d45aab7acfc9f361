"""Changing what a task says; who has been overtaken sees both, and loses nothing that was typed."""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from zhike.contracts import Task
from zhike.i18n import text
from zhike.pages.tasks.changing import change
from zhike.pages.tasks.forms import BESIDE, EditForm, due_of, filled, recurrence_of, reminders_of
from zhike.tasks import lists
from zhike.tasks.schemas import TaskChange
from zhike.ui import Form, Html, PageCall, Redirect, submit


async def edit(call: PageCall) -> Html | Redirect:
    """Show a task as a form, and change it, unless somebody else has meanwhile."""
    task = await lists.get(call.db, call.actor, call.id("task_id"))

    async def save(typed: EditForm) -> Redirect:
        await change(call, task.id, _change(call, typed, task))
        return call.redirect(f"/tasks/{task.id}", toast=text("Saved"))

    async def show(form: Form) -> Html:
        return await call.render("tasks/edit.html", fragment="form", status=form.status, task=task, form=form)

    return await submit(call, EditForm, save, show, filled(task, call.zone), beside=BESIDE)


def _change(call: PageCall, typed: EditForm, task: Task) -> TaskChange:
    """Return what was typed as a change; what the form shows as it was stays to the second."""
    rule, before = recurrence_of(typed), task.recurrence
    same_rule = before is not None and rule == msgspec.structs.replace(before, start=None)
    return TaskChange(
        title=typed.title,
        description=typed.description,
        assignee=typed.assignee,
        team=typed.team,
        priority=typed.priority,
        due_at=UNSET if typed.due_at == filled(task, call.zone)["due_at"] else due_of(typed, call.zone),
        reminders=reminders_of(typed, task),
        recurrence=UNSET if same_rule or rule is before else rule,
        version=max(call.version, 1),
    )
