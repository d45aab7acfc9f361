"""Doing something to many customers: what it needs to know, what will happen, and the start."""

from __future__ import annotations

from typing import Any

import msgspec

from zhike.contracts import BulkAction
from zhike.desk import bulk
from zhike.desk.selection import Selection
from zhike.errors import BadRequest, NotFound
from zhike.i18n import Text, text
from zhike.pages.customers.listing import ListQuery
from zhike.ui import FormError, Html, PageCall
from zhike.ui.forms import Form, decode

_PREFIX = "option_"


async def ask(call: PageCall) -> Html:
    """Ask for what the action needs, and say what will happen."""
    action = _action(call)
    form = Form(action.form, prefix=_PREFIX) if action.form is not None else None
    return await _dialog(call, action, form)


async def start(call: PageCall) -> Html:
    """Begin it, and show how far it is."""
    action = _action(call)
    try:
        options = decode(action.form, call.form, prefix=_PREFIX) if action.form is not None else None
    except FormError as error:
        return await _dialog(call, action, error.form, status=422)
    progress_id = await bulk.start(
        call.host.platform, call.actor, action.key, _selection(call), msgspec.to_builtins(options)
    )
    return await call.render("customers/started.html", action=action, progress_id=progress_id)


async def _dialog(call: PageCall, action: BulkAction, form: Form | None, status: int = 200) -> Html:
    confirm = action.confirm
    if isinstance(confirm, Text):
        number = await bulk.size(call.host.platform, call.actor, _selection(call))
        confirm = Text(confirm.msgid, {**confirm.params, "n": text("all matching") if number is None else number})
    kept = {name: values for name, values in call.form.items() if name in {"ids", "all", *ListQuery.__struct_fields__}}
    return await call.render("customers/bulk.html", status=status, action=action, form=form, confirm=confirm, kept=kept)


def _action(call: PageCall) -> BulkAction:
    action: BulkAction | None = call.host.platform.registry.bulk_actions.get(call.path["action"])
    if action is None:
        raise NotFound(text("There is no action {key}", key=call.path["action"]))
    call.actor.require(action.permission)
    return action


def _selection(call: PageCall) -> Selection:
    """Return whom the form means: those picked, or all that the list's filters find."""
    if not call.field("all"):
        if not call.form.get("ids"):
            raise BadRequest(text("Nobody is picked"))
        try:
            return msgspec.convert({"ids": call.form["ids"]}, Selection, strict=False)
        except msgspec.ValidationError:
            raise BadRequest(text("Those who are picked cannot be told; pick them again")) from None
    given: dict[str, Any] = {
        name: call.field(name) for name in ListQuery.__struct_fields__ if name not in {"columns", "cursor", "sort"}
    }
    try:
        query = msgspec.convert({name: value for name, value in given.items() if value}, ListQuery, strict=False)
    except msgspec.ValidationError:
        raise BadRequest(text("Those who are picked cannot be told; pick them again")) from None
    condition = msgspec.Raw(msgspec.json.encode(query.narrowing))
    if not query.q.strip():
        return Selection(condition=condition)
    return Selection(q=query.q, condition=condition) if query.narrowing["of"] else Selection(q=query.q)
