"""What a plugin registers, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zhike.i18n import Text, text

if TYPE_CHECKING:
    from zhike.registry import Registry

_KINDS = {
    "event_types": text("Event types"),
    "jobs": text("Jobs"),
    "schedules": text("Schedules"),
    "condition_fields": text("Fields of conditions"),
    "panels": text("Panels"),
    "columns": text("Columns"),
    "bulk_actions": text("Bulk actions"),
    "actions": text("Actions"),
    "commands": text("Commands"),
    "permissions": text("Permissions"),
    "settings_groups": text("Settings"),
}


def registered(registry: Registry, plugin: str) -> list[tuple[Text, list[str]]]:
    """Return what a plugin that runs has registered: the kind, and the names; kinds of which it has none are left out.

    Args:
        registry: What is registered.
        plugin: The plugin.
    """
    found: list[tuple[Text, list[str]]] = [
        (text("Pages"), [f"{page.method} {page.path}" for owner, page in registry.pages if owner == plugin]),
        (text("API routes"), [f"{route.method} {route.path}" for owner, route in registry.routes if owner == plugin]),
        (text("Consumers"), [", ".join(registry.consumers[plugin].events)] if plugin in registry.consumers else []),
    ]
    for kind, label in _KINDS.items():
        found.append((label, [name for name in getattr(registry, kind) if registry.owner(kind, name) == plugin]))
    return [(label, names) for label, names in found if names]
