"""What those who look after the installation are told by itself: of plugins, consumers and hooks that do not run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zhike.access.roles import CONSUMERS_MANAGE, PLUGINS_MANAGE
from zhike.desk.notices import holders, post
from zhike.i18n import text

if TYPE_CHECKING:
    from datetime import datetime

    from zhike.orm import Connection
    from zhike.platform import Problem


async def plugin_left_out(connection: Connection, problem: Problem, generation: int) -> None:
    """Tell that a plugin does not run, once in each generation."""
    message = text("The plugin {plugin} does not run: {what}", plugin=problem.plugin, what=problem.text)
    key = f"plugin:{problem.plugin}:{generation}"
    who = await holders(connection, PLUGINS_MANAGE)
    await post(connection, who, message, kind="plugin.problem", path="/plugins", key=key)


async def hook_switched_off(connection: Connection, plugin: str, hook: str, at: datetime) -> None:
    """Tell that a hook of a plugin was switched off after repeated failures, once."""
    message = text("The hook {hook} of the plugin {plugin} fails and is switched off", hook=hook, plugin=plugin)
    key = f"circuit:{plugin}:{hook}:{at.isoformat()}"
    who = await holders(connection, PLUGINS_MANAGE)
    await post(connection, who, message, kind="plugin.circuit", path="/plugins", key=key)


async def consumer_paused(connection: Connection, name: str) -> None:
    """Tell that a consumer has paused by itself."""
    message = text("The consumer {name} is paused: too many events in a row could not be taken", name=name)
    who = await holders(connection, CONSUMERS_MANAGE)
    await post(connection, who, message, kind="consumer.paused", path="/plugins")
