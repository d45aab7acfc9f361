"""What settings register: the core's own groups, and the routes of all."""

from __future__ import annotations

from collections.abc import Sequence

from zhike.access.roles import SETTINGS_MANAGE
from zhike.config.api import ROUTES
from zhike.config.groups import General, Security
from zhike.contracts import Route, SettingsGroup
from zhike.hooks import hookimpl
from zhike.i18n import text


@hookimpl
def register_routes() -> Sequence[Route]:
    """Register the API of settings."""
    return ROUTES


@hookimpl
def register_settings_groups() -> Sequence[SettingsGroup]:
    """Register what can be changed about the core while it runs."""
    return [
        SettingsGroup(key="general", label=text("General"), struct=General, permission=SETTINGS_MANAGE),
        SettingsGroup(key="security", label=text("Security"), struct=Security, permission=SETTINGS_MANAGE),
    ]
