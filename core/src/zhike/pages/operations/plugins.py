"""The list of plugins with what is wrong with them, and the page of one."""

from __future__ import annotations

from typing import Any

from zhike.api import PageQuery
from zhike.consumers import service as consumers
from zhike.errors import NotFound
from zhike.i18n import text
from zhike.jobs import service as jobs
from zhike.jobs.schemas import JobsQuery
from zhike.pages.operations import words
from zhike.pages.operations.registered import registered
from zhike.plugins.overview import overview
from zhike.plugins.schemas import PluginEntry
from zhike.ui import Html, PageCall

_FEW = 5
_ORDER = ("quarantined", "missing", "impaired", "pending", "ok", "disabled")


async def listed(call: PageCall) -> Html:
    """List the plugins, those with a problem first."""
    answer = await overview(call.host.platform, call.locale, health=False)
    items = sorted(answer.items, key=lambda each: _ORDER.index(each.state))
    changing = answer.processes.newest < answer.processes.all or any(each.state == "pending" for each in items)
    return await call.render(
        "operations/plugins.html",
        fragment="list",
        items=items,
        registered={each.name: registered(call.host.platform.registry, each.name) for each in items},
        processes=answer.processes,
        changing=changing,
        **_words(),
    )


async def show(call: PageCall) -> Html:
    """Show one plugin: what it registers, its settings, its place in the log, its jobs and schedules."""
    platform, key = call.host.platform, call.host.cursor_key
    plugin = await find(call)
    loaded = platform.hooks.implementers("on_events_recorded")
    states, failed, schedules = [], [], []
    if call.may("consumers.read"):
        states = await consumers.consumers(call.db, loaded=loaded, locale=call.locale)
    if call.may("jobs.read"):
        known = platform.registry.jobs
        query = JobsQuery(plugin=plugin.name, state="failed", limit=_FEW)
        failed = (await jobs.list_(call.db, known, query, key)).items
        schedules = (await jobs.schedules(call.db, PageQuery(limit=1_000), key)).items
    return await call.render(
        "operations/plugin.html",
        plugin=plugin,
        registered=registered(platform.registry, plugin.name),
        consumer=next((each for each in states if each.name == plugin.name), None),
        failed=failed,
        schedules=[each for each in schedules if each.plugin == plugin.name],
        settings=[
            group
            for group in platform.registry.settings_groups.values()
            if platform.registry.owner("settings_groups", group.key) == plugin.name and call.may(group.permission)
        ],
        lasting=words.lasting,
        modes=words.MODES,
        consumer_states=words.CONSUMERS,
        **_words(),
    )


async def health(call: PageCall) -> Html:
    """Show how a plugin says that it is doing."""
    plugin = await find(call, health=True)
    return await call.render("operations/plugin_health.html", plugin=plugin)


async def find(call: PageCall, *, health: bool = False) -> PluginEntry:
    """Return the plugin that the path names.

    Raises:
        NotFound: If there is none.
    """
    name = call.path["name"]
    for each in (await overview(call.host.platform, call.locale, health=health)).items:
        if each.name == name:
            return each
    raise NotFound(text("There is no plugin {name}", name=name))


def _words() -> dict[str, Any]:
    return {"states": words.PLUGINS, "stages": words.STAGES}
