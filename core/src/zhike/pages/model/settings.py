"""The settings of the installation and of plugins: a form of each group's struct."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from zhike.config import saving
from zhike.config.fields import settings_of
from zhike.errors import BadRequest, Conflict, NotFound, Unavailable
from zhike.i18n import Text, text
from zhike.ui import FormError, Html, PageCall, Redirect, formats, spans
from zhike.ui.forms import Form, Shown, decode

if TYPE_CHECKING:
    from zhike.contracts import SettingsGroup

_PREFIX = "setting."
_FORGET = "forget."


async def first(call: PageCall) -> Html:
    """Show the first group that the reader may change."""
    found = saving.groups(call.host.platform, call.actor)
    if not found:
        return await call.render("model/settings.html", groups=[], group=None)
    return await _page(call, found[0])


async def show(call: PageCall) -> Html:
    """Show a group of settings."""
    return await _page(call, _group(call))


async def change(call: PageCall) -> Html | Redirect:
    """Change what was typed to be another way."""
    group, platform = _group(call), call.host.platform
    await platform.config.renew(now=True)
    version = call.field("version")
    if not (version.isascii() and version.isdigit() and len(version) < 10):
        raise BadRequest(text("The form is not readable; open it again"))
    try:
        typed = decode(group.struct, call.form, prefix=_PREFIX)
    except FormError as error:
        return await _page(call, group, error.form, status=422)
    try:
        await saving.save(platform, call.actor, group.key, _said(call, group, typed), int(version))
    except Conflict as error:
        return await _page(call, group, _overtaken(call, group, typed, error.message), status=409)
    except (BadRequest, Unavailable) as error:
        return await _page(call, group, Form(group.struct, typed, problem=error.message, prefix=_PREFIX), status=422)
    return call.redirect(f"/settings/groups/{group.key}", toast=text("Saved; it holds from now on"))


def _group(call: PageCall) -> SettingsGroup:
    return saving.find(call.host.platform, call.actor, call.path["group"])


def _said(call: PageCall, group: SettingsGroup, typed: msgspec.Struct) -> dict[str, Any]:
    """Return what the form says: not what the environment fixes, and secrets only where one was typed."""
    values: dict[str, Any] = {}
    for name, setting in settings_of(group).items():
        if name in call.host.platform.config.fixed[group.key]:
            continue
        if not setting.secret:
            values[name] = msgspec.to_builtins(getattr(typed, name))
        elif call.field(_FORGET + name):
            values[name] = None
        elif call.field(_PREFIX + name):
            values[name] = msgspec.to_builtins(getattr(typed, name))
    return values


def _overtaken(call: PageCall, group: SettingsGroup, typed: msgspec.Struct, problem: Text) -> Form:
    """Return the form with what was typed, and beside it what somebody else has said meanwhile."""
    now = call.host.platform.config.get(group.struct)
    secret = {name for name, setting in settings_of(group).items() if setting.secret}
    labels = _labels(Form(group.struct, now))
    errors = {
        name: text("Now {value}, by somebody else; what stands here replaces it", value=labels[name])
        for name in group.struct.__struct_fields__
        if name not in secret and getattr(now, name) != getattr(typed, name)
    }
    return Form(group.struct, typed, errors, problem=problem, prefix=_PREFIX)


def _labels(form: Form) -> dict[str, Text | str]:
    """Return what fields hold, in words."""
    said: dict[str, Text | str] = {}
    for field in form.fields:
        value: Any = dict(field.options).get(str(field.value), field.value)
        if field.kind == "switch":
            value = text("on") if field.value else text("off")
        if field.kind == "duration" and value:
            value = spans.said(value)
        said[field.name] = formats.listed(value) if isinstance(value, list) else value if value != "" else "—"
    return said


async def _page(call: PageCall, group: SettingsGroup, form: Form | None = None, status: int = 200) -> Html:
    platform = call.host.platform
    await platform.config.renew(now=True)
    config = platform.config
    value, known = config.get(group.struct), settings_of(group)
    form = form or Form(group.struct, value, prefix=_PREFIX)
    fixed, secrets = config.fixed[group.key], _secrets(config.stored.get(group.key, {}), form, known)
    labels = _labels(Form(group.struct, value))
    open_ = [secrets.get(name, field) for name, field in _named(form) if name not in fixed]
    if not known:
        raise NotFound(text("There are no settings {key}", key=group.key))
    return await call.render(
        "model/settings.html",
        fragment="group",
        status=status,
        groups=saving.groups(platform, call.actor),
        group=group,
        form=form,
        fields=open_,
        forget={
            field.name: _FORGET + name for name, field in secrets.items() if name in config.stored.get(group.key, {})
        },
        fixed=[
            (field.label, text("a secret") if known[name].secret else labels[name], known[name].variable)
            for name, field in _named(form)
            if name in fixed
        ],
        version=config.versions.get(group.key, 0),
    )


def _named(form: Form) -> list[tuple[str, Shown]]:
    return [(field.name.removeprefix(form.prefix), field) for field in form.fields]


def _secrets(stored: Mapping[str, Any], form: Form, known: Mapping[str, Any]) -> dict[str, Shown]:
    """Return the fields of secrets: what is stored is never shown, and stays where nothing is typed."""
    return {
        name: msgspec.structs.replace(
            field,
            kind="password",
            value="",
            required=False,
            placeholder=text("Stored; stays as it is if nothing is typed") if name in stored else field.placeholder,
        )
        for name, field in _named(form)
        if known[name].secret
    }
