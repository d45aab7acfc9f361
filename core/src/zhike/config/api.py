"""Routes of settings."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from zhike import wire
from zhike.access.roles import SETTINGS_OPEN
from zhike.api import Call, Route
from zhike.config import saving
from zhike.config.saving import ShownGroup


class SettingsAnswer(msgspec.Struct, frozen=True):
    """The groups of settings.

    Args:
        items: Those that the caller may see and change.
    """

    items: list[ShownGroup]


class SettingsChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be another way in a group of settings.

    Args:
        values: Setting to its value; the others stay as they are. Null takes a secret away.
        version: The version that was read; if the group is at another one by now, nothing is changed (409).
    """

    values: dict[str, Any]
    version: int


async def list_settings(call: Call) -> SettingsAnswer:
    """List the groups of settings that the caller may see and change."""
    platform = call.host.platform
    await platform.config.renew()
    groups = saving.groups(platform, call.actor)
    return SettingsAnswer([saving.shown(platform, group, call.locale) for group in groups])


async def get_settings(call: Call) -> ShownGroup:
    """Return a group of settings; secrets are never shown."""
    platform = call.host.platform
    group = saving.find(platform, call.actor, call.path["group"])
    await platform.config.renew(now=True)
    return saving.shown(platform, group, call.locale)


async def change_settings(call: Call) -> ShownGroup:
    """Change settings of a group; they hold at once, in every process."""
    said = wire.decode(call.body, call.body_type, SettingsChange)
    platform = call.host.platform
    await saving.save(platform, call.actor, call.path["group"], said.values, said.version)
    return await get_settings(call)


_group = partial(
    Route,
    path="/settings/{group}",
    permission=SETTINGS_OPEN,
    answer=ShownGroup,
    places={"group": "The group's key, such as `general`"},
)

ROUTES = (
    Route(
        method="GET",
        path="/settings",
        handler=list_settings,
        permission=SETTINGS_OPEN,
        summary="Settings",
        answer=SettingsAnswer,
    ),
    _group(method="GET", handler=get_settings, summary="A group of settings"),
    _group(
        method="PATCH",
        handler=change_settings,
        summary="Change settings of a group",
        body=SettingsChange,
        statuses=(409,),
    ),
)
