"""Routes that show plugins and switch them on and off."""

from __future__ import annotations

from functools import partial

from zhike import wire
from zhike.access.roles import PLUGINS_MANAGE, PLUGINS_READ
from zhike.api import Call, PageQuery, Route
from zhike.plugins import circuits, overview, service, switching
from zhike.plugins.schemas import Changed, EnableRequest, PluginsAnswer

_PLACES = {"name": "The plugin's name", "hook": "The hook's name"}


async def list_plugins(call: Call, _: PageQuery) -> PluginsAnswer:
    """List all plugins: which are well, and of the others what is wrong and what mends it."""
    return await overview.overview(call.host.platform, call.locale)


async def enable_plugin(call: Call) -> Changed:
    """Enable a plugin, or have its present code loaded; the processes do that when they have started anew."""
    request = wire.decode(call.body, call.body_type, EnableRequest)
    look = await service.look(call.host.platform)
    changed = await switching.enable(call.db, call.actor, call.path["name"], request.resume, look)
    call.host.platform.announce("plugins")
    return Changed(changed)


async def disable_plugin(call: Call) -> Changed:
    """Disable a plugin; its tables and its place in the log stay."""
    changed = await switching.disable(call.db, call.actor, call.path["name"])
    call.host.platform.announce("plugins")
    return Changed(changed)


async def close_circuit(call: Call) -> Changed:
    """Have a hook that was switched off after repeated failures called again."""
    await circuits.close_circuit(call.db, call.actor, call.path["name"], call.path["hook"])
    call.host.platform.announce("plugins")
    return Changed(True)


_change = partial(Route, method="POST", permission=PLUGINS_MANAGE, answer=Changed, places=_PLACES)

ROUTES = (
    Route(
        method="GET",
        path="/plugins",
        handler=list_plugins,
        permission=PLUGINS_READ,
        summary="Plugins and what is wrong with them",
        query=PageQuery,
        answer=PluginsAnswer,
    ),
    _change(
        path="/plugins/{name}/enable",
        handler=enable_plugin,
        summary="Enable a plugin",
        body=EnableRequest,
        statuses=(409,),
    ),
    _change(path="/plugins/{name}/disable", handler=disable_plugin, summary="Disable a plugin"),
    _change(
        path="/plugins/{name}/circuits/{hook}/close",
        handler=close_circuit,
        summary="Call a hook again that was switched off",
    ),
)
