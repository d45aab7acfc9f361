"""Asking by a form, doing what it says, and showing it again with all that was typed and what stands against it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec

from zhike.errors import BadRequest, Conflict, Forbidden, NotFound, ZhikeError
from zhike.i18n import Text, as_text
from zhike.ui.call import Html, PageCall, Redirect
from zhike.ui.forms import Form, FormError, decode

Struct = TypeVar("Struct", bound=msgspec.Struct)
Refusal = BadRequest | Conflict | Forbidden | NotFound


async def submit(
    call: PageCall,
    struct: type[Struct],
    do: Callable[[Struct], Awaitable[Html | Redirect]],
    show: Callable[[Form], Awaitable[Html]],
    stored: msgspec.Struct | Mapping[str, Any] | None = None,
    *,
    beside: Mapping[str, str] | None = None,
) -> Html | Redirect:
    """Show a form or, if it was sent, do what it says; what is refused is said in the form, where nothing is lost.

    Args:
        call: The request; GET asks, POST does.
        struct: What is asked for.
        do: Has a service write what was typed, and goes on to another page. The service refuses by `Conflict` with
            the code `version` what is of another version than `call.version`.
        show: Draws a form, with its `status` and `version`. Of one with `theirs` it shows both; sending that once more
            replaces what the other has written.
        stored: What there is already, as the form's fields; its `version`, if it has one, goes into the form.
        beside: The place that a refusal names, or its code, to the field that it is about, where that is not the field
            of the same name; any other concerns the whole form.
    """
    if not call.posted:
        return await show(_of(Form(struct, stored), stored))
    try:
        typed = decode(struct, call.form)
    except FormError as error:
        return await _again(call, error.form, show)
    try:
        return await do(typed)
    except FormError as error:
        return await _again(call, error.form, show)
    except (BadRequest, Conflict, Forbidden, NotFound) as error:
        if error.code == "version" and stored is not None:
            form = _of(Form(struct, typed, status=409), stored)
            form.theirs = Form(struct, stored)
            return await show(form)
        return await _again(call, refused(typed, error, beside), show)


def refused(typed: msgspec.Struct, error: Refusal, beside: Mapping[str, str] | None = None) -> Form:
    """Return a form with what was typed, and what a service has against it; see `submit`."""
    status = 409 if isinstance(error, Conflict) else 422
    where, detail = about(error)
    for place, said in ((where, detail), (error.code, error.message)):
        field = (beside or {}).get(place, place)
        if field in typed.__struct_fields__:
            return Form(type(typed), typed, {field: said}, status=status)
    return Form(type(typed), typed, problem=error.message, status=status)


def about(error: ZhikeError) -> tuple[str, Text]:
    """Return the place that a refusal names, "" if none, and what is wrong there, which stands beside its field."""
    where, said = "", error.message
    while said.params.keys() == {"where", "detail"}:
        where, said = where or str(said.params["where"]), as_text(said.params["detail"])
    return where, said


async def _again(call: PageCall, form: Form, show: Callable[[Form], Awaitable[Html]]) -> Html:
    form.version = call.version or ""
    return await show(form)


def _of(form: Form, stored: msgspec.Struct | Mapping[str, Any] | None) -> Form:
    form.version = stored.get("version", "") if isinstance(stored, Mapping) else getattr(stored, "version", "")
    return form
