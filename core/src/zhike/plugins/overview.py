"""All that can be said about the plugins of an installation, gathered for people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import islice

from msgspec.structs import replace

from zhike import hookspecs
from zhike._shown import printable
from zhike.consumers.service import pause_reason
from zhike.contracts import HealthItem
from zhike.hooks import Failure
from zhike.i18n import Text, say, text
from zhike.orm import Connection
from zhike.platform import Platform, Problem
from zhike.plugins import service
from zhike.plugins.schemas import Health, OpenCircuit, PluginEntry, PluginsAnswer, Processes, State

MOST_HEALTH = 50
"""Items of one plugin's health that are shown."""
MOST_PROBLEM = 5000
"""Characters of a problem or hint that are shown; a hint may name long paths."""
_CIRCUITS = "SELECT plugin, hook, opened_at, last_error AS error FROM circuit WHERE opened_at IS NOT NULL ORDER BY 1, 2"
_PAUSED = "SELECT name, pause_reason FROM consumer WHERE state = 'paused'"


async def overview(platform: Platform, locale: str, *, health: bool = True) -> PluginsAnswer:
    """Return every plugin that is installed or known, by name, in the reader's language.

    Args:
        platform: The process's platform.
        locale: The reader's language.
        health: Whether the plugins are asked how they are doing, which may take any of them a while.
    """
    look = await service.look(platform)
    async with platform.db.connection() as connection:
        items = await entries(connection, look, locale)
        generation = await service.generation(connection)
        processes = [len(await service.running(connection, since)) for since in (generation, 0)]
    hooks, told = _hooks(platform), await _health(platform, locale) if health else {}
    items = [replace(each, hooks=hooks.get(each.name, []), health=told.get(each.name, [])) for each in items]
    return PluginsAnswer(items=items, generation=generation, processes=Processes(newest=processes[0], all=processes[1]))


async def entries(connection: Connection, look: service.Look, locale: str) -> list[PluginEntry]:
    """Return what is known of every plugin and what a look at this machine shows, by name."""
    known = look.over(await service.known(connection))
    running = await service.running(connection)
    paused = {row["name"]: row["pause_reason"] for row in await connection.fetch(_PAUSED)}
    circuits: dict[str, list[OpenCircuit]] = defaultdict(list)
    for row in await connection.fetch(_CIRCUITS):
        error = printable(row["error"], MOST_PROBLEM)
        circuits[row["plugin"]].append(OpenCircuit(hook=row["hook"], opened_at=row["opened_at"], error=error))
    items = []
    for name, plugin in known.items():
        state, problem = _judge(plugin, look, running)
        if state == "ok" and (problem := _impaired(name, circuits[name], pause_reason(paused.get(name)))):
            state = "impaired"
        entry = PluginEntry(
            **{field: getattr(plugin, field) for field in ("name", "distribution", "version", "enabled")},
            state=state,
            stage=problem.stage or None if problem else None,
            problem=printable(problem.text.render(locale), MOST_PROBLEM) if problem else None,
            hint=printable(problem.hint.render(locale), MOST_PROBLEM) if problem else None,
            circuits=circuits[name],
        )
        items.append(entry)
    return items


def _judge(
    plugin: service.Known, look: service.Look, running: Sequence[service.Running]
) -> tuple[State, Problem | None]:
    """Return whether a plugin is loaded, in one word, and if not what mends that."""
    name, code = plugin.name, look.code(plugin.name)
    found = look.problems.get(name)
    if not plugin.installed:
        hint = text("Install it again, or give it up with `zhike plugin purge {plugin}`", plugin=name)
        gone = Problem(plugin=name, stage="discover", text=text("it is enabled, but not installed"), hint=hint)
        return "missing", gone if plugin.enabled else None
    if not plugin.enabled:
        return "disabled" if code else "quarantined", found
    load = text("Start the server, or have it load this with `zhike plugin enable {plugin}`", plugin=name)
    lacking = any(process.lacks(name, code) for process in running)
    if problem := found or plugin.problem:
        if lacking and not found:
            what = text("{what}; what is there by now has not been tried", what=problem.text)
            problem = Problem(plugin=name, stage=problem.stage, text=what, hint=load)
        return "quarantined", problem
    if lacking or (not running and (plugin.fingerprint or "").removeprefix("!") != code):
        what = text("not every running process has its present code")
        return "pending", Problem(plugin=name, stage="", text=what, hint=load)
    return "ok", None


def _impaired(name: str, circuits: Sequence[OpenCircuit], paused: Text | None) -> Problem | None:
    """Return what a plugin that is loaded is kept from doing."""
    if paused:
        what = text("it gets no events: {why}", why=paused)
        hint = text("Mend the plugin if need be, then run `zhike consumers resume {plugin}`", plugin=name)
    elif circuits:
        hooks = ", ".join(each.hook for each in circuits)
        what = text("switched off after repeated failures: {hooks}", hooks=hooks)
        hint = text("Mend the plugin, then have them called again with `zhike plugin retry {plugin}`", plugin=name)
    else:
        return None
    return Problem(plugin=name, stage="run", text=what, hint=hint)


def _hooks(platform: Platform) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for hook in sorted(name for name, spec in vars(hookspecs).items() if hasattr(spec, "zhike_meta")):
        for plugin in platform.plugins.keys() & set(platform.hooks.implementers(hook)):
            found[plugin].append(hook)
    return found


async def _health(platform: Platform, locale: str) -> Mapping[str, list[Health]]:
    found: dict[str, list[Health]] = defaultdict(list)
    for plugin, part in await platform.hooks.gather("provide_health"):
        failed = isinstance(part, Failure)
        given = [HealthItem(key=part.hook, ok=False, detail=f"{part.error_type}: {part.message}")] if failed else part
        try:
            found[plugin] = [_shown(item, locale) for item in islice(given, MOST_HEALTH)]
        except Exception as error:  # values that cannot be shown
            found[plugin] = [Health(key="provide_health", ok=False, detail=printable(type(error).__name__))]
    return found


def _shown(item: HealthItem, locale: str) -> Health:
    return Health(key=printable(item.key, 100), ok=bool(item.ok), detail=printable(say(item.detail, locale)))
