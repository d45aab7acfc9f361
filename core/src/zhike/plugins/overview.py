"""All that can be said about the plugins of an installation, gathered for people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

from zhike import hookspecs
from zhike.contracts import HealthItem
from zhike.hooks import Failure
from zhike.i18n import Text, text
from zhike.platform import Problem
from zhike.plugins import service
from zhike.plugins.schemas import Health, OpenCircuit, PluginEntry, PluginsAnswer, Processes, State

if TYPE_CHECKING:
    from zhike.platform import Platform

_CIRCUITS = "SELECT plugin, hook, opened_at, last_error AS error FROM circuit WHERE opened_at IS NOT NULL ORDER BY 1, 2"
# A process says every few seconds that it is there.
_PROCESSES = """
SELECT count(*) AS all, count(*) FILTER (WHERE generation >= $1) AS newest
FROM process WHERE seen_at > now() - interval '15 s'
"""


async def overview(platform: Platform, locale: str) -> PluginsAnswer:
    """Return every plugin that is installed or known, by name, in the reader's language."""
    async with platform.db.connection() as connection:
        known = await service.known(connection)
        generation = await service.generation(connection)
        circuits = await connection.fetch(_CIRCUITS)
        [processes] = await connection.fetch(_PROCESSES, generation)
    opened: dict[str, list[OpenCircuit]] = defaultdict(list)
    for row in circuits:
        opened[row["plugin"]].append(OpenCircuit(hook=row["hook"], opened_at=row["opened_at"], error=row["error"]))
    hooks, health = _hooks(platform), await _health(platform, locale)
    items = []
    for name, plugin in known.items():
        problem = trouble(plugin)
        entry = PluginEntry(
            **{field: getattr(plugin, field) for field in ("name", "distribution", "version", "enabled")},
            state=state(plugin),
            stage=problem.stage if problem else None,
            problem=problem.text.render(locale) if problem else None,
            hint=problem.hint.render(locale) if problem else None,
            hooks=hooks[name],
            circuits=opened[name],
            health=health[name],
        )
        items.append(entry)
    return PluginsAnswer(items=items, generation=generation, processes=Processes(**processes))


def state(plugin: service.Known) -> State:
    """Return in one word how a plugin is."""
    if not plugin.installed or not plugin.enabled:
        return "disabled" if plugin.installed else "missing"
    return "quarantined" if plugin.problem else "ok"


def trouble(plugin: service.Known) -> Problem | None:
    """Return why a plugin that is to run does not, or one that is off could not, as far as that is known."""
    if plugin.enabled and not plugin.installed:
        return Problem(
            plugin=plugin.name,
            stage="discover",
            text=text("it is enabled, but not installed"),
            hint=text("Install it again, or give it up with `zhike plugin purge {plugin}`", plugin=plugin.name),
        )
    # Of a plugin that is off only how it was found is up to date.
    seen = plugin.problem is not None and plugin.problem.stage == "discover"
    return plugin.problem if plugin.enabled or (seen and plugin.installed) else None


def _hooks(platform: Platform) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for hook in sorted(name for name, spec in vars(hookspecs).items() if hasattr(spec, "zhike_meta")):
        for plugin in platform.hooks.implementers(hook):
            found[plugin].append(hook)
    return found


async def _health(platform: Platform, locale: str) -> Mapping[str, list[Health]]:
    found: dict[str, list[Health]] = defaultdict(list)
    for plugin, part in await platform.hooks.gather("provide_health"):
        failed = isinstance(part, Failure)
        given = [HealthItem(key=part.hook, ok=False, detail=f"{part.error_type}: {part.message}")] if failed else part
        try:
            found[plugin] = [_shown(item, locale) for item in given]
        except Exception as error:  # values that cannot be shown
            found[plugin] = [Health(key="provide_health", ok=False, detail=type(error).__name__)]
    return found


def _shown(item: HealthItem, locale: str) -> Health:
    detail = item.detail.render(locale) if isinstance(item.detail, Text) else str(item.detail)
    return Health(key=str(item.key), ok=bool(item.ok), detail=detail)
