"""Enabling and disabling plugins, with what will happen said before; calling hooks again that were switched off."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from zhike.consumers import service as consumers
from zhike.errors import Conflict
from zhike.i18n import text
from zhike.pages.operations.plugins import find
from zhike.plugins import circuits, service, switching
from zhike.ui import FormError, Html, PageCall, Redirect, asked
from zhike.ui.formats import label_of_plugin
from zhike.ui.forms import Form, decode


class Resuming(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a plugin that has read the log before.

    Args:
        resume: Where it goes on.
    """

    resume: Annotated[
        Literal["continue", "from_now"],
        asked(
            "What happened meanwhile",
            help="Taking it up may start automations for events that are old by now.",
            options={"continue": "Take it up where it stopped", "from_now": "Leave it out, begin with what comes now"},
        ),
    ]


async def ask_enabling(call: PageCall) -> Html:
    """Ask whether a plugin is to run."""
    plugin = await find(call)
    states = await consumers.consumers(call.db, locale=call.locale)
    read = not plugin.enabled and any(each.name == plugin.name for each in states)
    return await _dialog(call, plugin.name, Form(Resuming) if read else None)


async def enable(call: PageCall) -> Html | Redirect:
    """Have a plugin run, or its present code loaded."""
    name, resume = call.path["name"], None
    if "resume" in call.form:
        try:
            resume = decode(Resuming, call.form).resume
        except FormError as error:
            return await _dialog(call, name, error.form, 422)
    look = await service.look(call.host.platform)
    try:
        await switching.enable(call.db, call.actor, name, resume, look)
    except Conflict:
        return await _dialog(call, name, Form(Resuming), 409)
    call.host.platform.announce("plugins")
    return call.redirect(
        "/plugins", toast=text("{plugin} is being loaded", plugin=label_of_plugin(call.host.platform, name))
    )


async def ask_disabling(call: PageCall) -> Html:
    """Ask whether a plugin is to run no longer."""
    return await call.render("operations/disable.html", plugin=await find(call))


async def disable(call: PageCall) -> Redirect:
    """Have a plugin run no longer."""
    name = call.path["name"]
    await switching.disable(call.db, call.actor, name)
    call.host.platform.announce("plugins")
    return call.redirect(
        "/plugins", toast=text("{plugin} is being switched off", plugin=label_of_plugin(call.host.platform, name))
    )


async def retry(call: PageCall) -> Redirect:
    """Have a hook called again that was switched off."""
    name, hook = call.path["name"], call.path["hook"]
    await circuits.close_circuit(call.db, call.actor, name, hook)
    call.host.platform.announce("plugins")
    return call.redirect(f"/plugins/{name}", toast=text("{hook} is called again", hook=hook))


async def _dialog(call: PageCall, name: str, form: Form | None, status: int = 200) -> Html:
    return await call.render("operations/enable.html", status=status, name=name, form=form)
