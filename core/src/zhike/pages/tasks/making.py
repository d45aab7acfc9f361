"""The form for a new task, and how working time becomes a due time."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import msgspec
from msgspec import Meta

from zhike import clock
from zhike.access.roles import CUSTOMERS_READ
from zhike.api import Id
from zhike.customers.service import many
from zhike.i18n import text
from zhike.pages.tasks.forms import BESIDE, NewForm, due_of, recurrence_of, reminders_of
from zhike.pages.tasks.words import called, local
from zhike.tasks import due, service
from zhike.tasks.schemas import NewTask
from zhike.ui import Form, FormError, Html, PageCall, Redirect
from zhike.ui.submitting import submit
from zhike.work import begin


class NewQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The address of the form.

    Args:
        customer_id: Whom the task is about.
        title: What is to be done.
    """

    customer_id: Id | None = None
    title: Annotated[str, Meta(max_length=200)] = ""


class DueQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The address of a due time.

    Args:
        after: Working time from now on, such as `P1D`.
    """

    after: Annotated[str, Meta(max_length=40)]


async def ask(call: PageCall, query: NewQuery) -> Html:
    """Ask for a new task, which is the reader's own unless they say otherwise."""
    given = {"title": query.title, "customer": query.customer_id, "assignee": call.user_id, "priority": "normal"}
    return await _form(call, Form(NewForm, given))


async def make(call: PageCall) -> Html | Redirect:
    """Make the task."""

    async def save(typed: NewForm) -> Redirect:
        given = {name: getattr(typed, name) for name in ("title", "description", "assignee", "team", "priority")}
        given |= {"customer_id": typed.customer, "due_at": due_of(typed, call.zone), "reminders": reminders_of(typed)}
        items = [line.strip() for line in typed.items.splitlines() if line.strip()]
        try:
            new = msgspec.convert({**given, "recurrence": recurrence_of(typed), "items": items}, NewTask)
        except msgspec.ValidationError:
            wrong = {"items": text("At most 100 lines of at most 500 characters")}
            raise FormError(Form(NewForm, typed, wrong)) from None
        async with begin(call.host.platform, origin=call.actor.origin) as work:
            [task] = await service.create(work, [new], actor=call.actor)
        return call.redirect(f"/tasks/{task.id}", toast=text("The task is made"))

    return await submit(call, NewForm, save, partial(_form, call), beside=BESIDE)


async def when(call: PageCall, query: DueQuery) -> Html:
    """Answer with the field of the due time, set to when so much working time will have passed."""
    at = await due.after_working_time(call.host.platform, query.after, clock.now())
    return await call.render("tasks/due.html", f=Form(NewForm, {"due_at": local(at, call.zone)})["due_at"])


async def _form(call: PageCall, form: Form) -> Html:
    chosen = form["customer"].value
    ids = {int(chosen)} if chosen.isascii() and chosen.isdigit() and len(chosen) < 19 else set()
    customers = await many(call.db, call.actor, ids) if call.may(CUSTOMERS_READ) else {}
    names = [(str(key), called(each)) for key, each in customers.items()]
    return await call.render("tasks/new.html", fragment="form", status=form.status, form=form, customers=names)
