"""The panel of the home page that says how the platform is doing: what waits, what failed, what does not run."""

from __future__ import annotations

from typing import Any

from zhike.consumers import service as consumers
from zhike.i18n import Text, text
from zhike.jobs import service as jobs
from zhike.pages.operations.words import lasting
from zhike.plugins import service as plugins
from zhike.plugins.overview import entries
from zhike.ui import PageCall
from zhike.ui.formats import label_of_plugin, listed

SLOW = 60.0
"""Seconds behind the log, or behind what is due, from which something is called slow."""
_WELL = {"ok", "disabled"}


async def load(call: PageCall) -> dict[str, Any]:
    """Return what the panel says: for each thing whether it is well, and where more is to be seen."""
    items = [*await _plugins(call)]
    if call.may("consumers.read"):
        items += await _consumers(call)
    if call.may("jobs.read"):
        items += await _jobs(call)
    return {"items": items, "well": all(item["ok"] for item in items)}


async def _plugins(call: PageCall) -> list[dict[str, Any]]:
    look = await plugins.look(call.host.platform)
    async with call.db.connection() as connection:
        found = await entries(connection, look, call.locale)
    bad = [each.name for each in found if each.state not in _WELL]
    value = _names(call, bad) if bad else text("{n} in order", n=len(found))
    return [_item(text("Plugins"), value, "/plugins", ok=not bad)]


async def _consumers(call: PageCall) -> list[dict[str, Any]]:
    loaded = call.host.platform.hooks.implementers("on_events_recorded")
    states = await consumers.consumers(call.db, loaded=loaded, locale=call.locale)
    running = [each for each in states if each.state == "running"]
    paused = [each.name for each in states if each.state == "paused"]
    items = []
    if paused:
        items.append(_item(text("Paused consumers"), _names(call, paused), "/consumers", ok=False))
    if running:
        last = max(running, key=lambda each: each.lag_seconds)
        behind = lasting(last.lag_seconds) if last.lag_events else text("up to date")
        items.append(_item(text("Events to be worked on"), behind, "/consumers", ok=last.lag_seconds < SLOW))
    letters = sum(each.dead_letters for each in states)
    items.append(_item(text("Dead letters"), letters, "/deadletters", ok=not letters))
    return items


async def _jobs(call: PageCall) -> list[dict[str, Any]]:
    figures = await jobs.figures(call.db, call.host.platform.registry.jobs)
    late = lasting(figures.lag) if figures.lag else text("on time")
    return [
        _item(text("Failed jobs"), figures.failed, "/jobs?state=failed", ok=not figures.failed),
        _item(text("Jobs that are due"), late, "/jobs?state=waiting", ok=figures.lag < SLOW),
    ]


def _names(call: PageCall, plugins: list[str]) -> Text:
    return listed(label_of_plugin(call.host.platform, each) for each in plugins[:3])


def _item(label: Text, value: Text | str | int, path: str, *, ok: bool) -> dict[str, Any]:
    return {"label": label, "value": value, "path": path, "ok": ok}
