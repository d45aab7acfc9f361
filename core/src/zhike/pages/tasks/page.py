"""The page of one task."""

from __future__ import annotations

from typing import Any

from zhike.access.roles import CUSTOMERS_READ, TASKS_WRITE
from zhike.customers.service import many
from zhike.i18n import Text, text
from zhike.pages.tasks import talk
from zhike.pages.tasks.words import PRIORITIES, STATUSES, called, repeats, who
from zhike.tasks import history, items, lists
from zhike.ui import Html, PageCall, formats

_BEFORE: dict[str, Text] = {
    "PT30M": text("30 minutes before"),
    "PT2H": text("2 hours before"),
    "P1D": text("A day before"),
    "P3D": text("3 days before"),
}
_DONE: dict[str, tuple[Text, str, str]] = {
    "task.create": (text("Made"), "plus", "blue"),
    "task.change": (text("Changed"), "pencil", "gray"),
    "task.comment": (text("Commented"), "message", "azure"),
    "task.comment.edit": (text("Changed a comment"), "message", "gray"),
    "task.comment.remove": (text("Took back a comment"), "message-off", "gray"),
    "task.item.add": (text("Added to the checklist"), "list-check", "gray"),
    "task.item.change": (text("Changed the checklist"), "list-check", "gray"),
    "task.item.remove": (text("Took something off the checklist"), "list-check", "gray"),
    "task.created": (text("Made"), "plus", "blue"),
    "task.assigned": (text("Assigned"), "user-check", "gray"),
    "task.started": (text("Begun"), "player-play", "purple"),
    "task.completed": (text("Done"), "check", "green"),
    "task.cancelled": (text("Cancelled"), "ban", "gray"),
    "task.reopened": (text("Opened again"), "rotate", "blue"),
    "task.commented": (text("Commented"), "message", "azure"),
    "task.reminded": (text("Reminded"), "bell", "yellow"),
    "task.overdue": (text("Overdue"), "alarm", "red"),
}
_FIELDS: dict[str, Text] = {
    **{"title": text("Title"), "description": text("Description"), "result": text("Result"), "team": text("Team")},
    **{"assignee": text("Assignee"), "priority": text("Priority"), "status": text("Status"), "due_at": text("Due")},
    **{"reminders": text("Remind"), "recurrence": text("Repeat"), "customer_id": text("Customer")},
}


async def show(call: PageCall) -> Html:
    """Show a task, its checklist and what is said about it."""
    task = await lists.get(call.db, call.actor, call.id("task_id"))
    ids = {task.customer_id} if task.customer_id is not None and call.may(CUSTOMERS_READ) else set()
    customer = (await many(call.db, call.actor, ids)).get(task.customer_id or 0)
    return await call.render(
        "tasks/task.html",
        task=task,
        customer=customer,
        customer_name=called(customer),
        standing=STATUSES[task.status],
        priority=PRIORITIES[task.priority],
        again=repeats(task.recurrence, call.locale) if task.recurrence else "",
        reminders=[_BEFORE.get(each, each) for each in task.reminders],
        made_by=who(call, task.origin),
        checklist=(await items.list_(call.db, call.actor, task.id)).items if task.items else [],
        comments=await talk.shown(call, task.id) if task.comments else [],
        most=talk.MOST,
        writable=call.may(TASKS_WRITE),
    )


async def past(call: PageCall) -> Html:
    """Show what has happened to a task."""
    found = await history.history(call.db, call.actor, call.id("task_id"))
    entries = [_entry(call, each) for each in found.events]
    return await call.render("tasks/past.html", fragment="past", entries=entries, task_id=call.id("task_id"))


def _entry(call: PageCall, event: history.TaskEvent) -> dict[str, Any]:
    title, icon, color = _DONE.get(event.what, (text("{what}", what=event.what), "point", "gray"))
    details = event.details or {}
    status = str(details.get("status"))
    if event.what == "task.change" and status in STATUSES:
        title, color = STATUSES[status].label, STATUSES[status].color
    names = [label.render(call.locale) for name, label in _FIELDS.items() if name in details and name != "status"]
    return {
        "at": event.at,
        "icon": icon,
        "color": color,
        "title": title,
        "by": who(call, event.origin),
        "text": formats.listed(names).render(call.locale) if event.what == "task.change" else "",
    }
