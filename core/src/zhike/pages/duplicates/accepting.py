"""Merging the surest pairs at once: how many they are, and then a few at a time while one looks on."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from zhike.api import MAX_ID
from zhike.customers.duplicates import deciding, queue
from zhike.customers.duplicates.schemas import Acceptance
from zhike.errors import BadRequest, Conflict
from zhike.i18n import Text, text
from zhike.pages.duplicates.review import SCORES
from zhike.ui import Html, PageCall

_Number = Annotated[int, Meta(ge=0, le=MAX_ID)]


class AcceptForm(msgspec.Struct, frozen=True, kw_only=True):
    """What the steps of the dialog hand on.

    Args:
        score: The least score.
        rule: Only pairs for which this rule holds.
        expected: How many there were when the last step was shown.
        total: How many there were when it began; 0 until it has.
        failed: How many were put off, since they cannot be merged just like that.
    """

    score: Annotated[int, Meta(ge=50, le=99)] = 90
    rule: Annotated[str, Meta(max_length=50)] = ""
    expected: _Number | None = None
    total: _Number = 0
    failed: _Number = 0


async def ask(call: PageCall, query: AcceptForm) -> Html:
    """Ask from which score on, and say how many pairs that are."""
    return await _ask(call, query)


async def accept(call: PageCall) -> Html:
    """Merge the next of the pairs that were counted, and say how far it is."""
    try:
        given = {name: value for name in AcceptForm.__struct_fields__ if (value := call.field(name))}
        form = msgspec.convert(given, AcceptForm, strict=False)
    except msgspec.ValidationError:
        raise BadRequest(text("The form is not readable; open it again")) from None
    if form.expected is None:
        return await _ask(call, form)
    wanted = Acceptance(min_score=form.score, rule=form.rule or None, expected=form.expected)
    try:
        done = await deciding.accept(call.host.platform, call.actor, wanted)
    except Conflict as error:
        return await _ask(call, form, error.message, 409)
    total = form.total or form.expected
    going_on = bool(done.left and (done.merged or done.put_off))
    failed = form.failed + len(done.put_off)
    progress: dict[str, Any] = {
        "label": text("Merging"),
        "done": max(total - done.left, 0),
        "total": total,
        "state": "running" if going_on else "done",
    }
    next_ = msgspec.structs.replace(form, expected=done.left, total=total, failed=failed)
    return await call.render(
        "duplicates/accepting.html",
        progress=progress,
        going_on=going_on,
        merged=total - done.left - failed,
        failed=failed,
        left=done.left,
        form=msgspec.to_builtins(next_),
    )


async def _ask(call: PageCall, form: AcceptForm, problem: Text | None = None, status: int = 200) -> Html:
    async with call.db.connection() as connection:
        number = await queue.count(connection, call.actor, form.score, form.rule or None)
    return await call.render(
        "duplicates/accept.html", status=status, form=form, number=number, scores=SCORES, problem=problem
    )
