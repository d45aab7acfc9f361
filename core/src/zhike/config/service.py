"""What the settings are: environment before database before what the struct says, the same in every process."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from zhike.config.fields import fixed, settings_of
from zhike.config.groups import General
from zhike.errors import Unavailable, where

if TYPE_CHECKING:
    from asyncpg import Record

    from zhike.contracts import SettingsGroup
    from zhike.platform import Platform

FRESH = 5.0
"""Seconds after which a process looks for what another one has changed."""
S = TypeVar("S", bound=msgspec.Struct)
_ROWS = "SELECT key, data::text, sealed::text, version FROM setting_group"
_log = logging.getLogger("zhike.config")


class Config:
    """The settings as this process knows them: as they were at most `FRESH` seconds ago.

    Args:
        platform: The process's platform; its registry has the groups.
        environment: Where variables are read from.

    Attributes:
        versions: Group to the version it is at; those of which nothing was said are left out.
        stored: Group to what was said of it, opened; what does not fit the struct any more is left out.
        fixed: Group to what the environment fixes.

    Raises:
        Refused: If a variable's value cannot be used.
    """

    def __init__(self, platform: Platform, environment: Mapping[str, str] = os.environ) -> None:
        self._platform = platform
        groups = platform.registry.settings_groups.values()
        self.fixed = {group.key: fixed(group, environment, platform.settings) for group in groups}
        self.versions: dict[str, int] = {}
        self.stored: dict[str, dict[str, Any]] = {}
        self._values = {group.struct: self._value(group, {}) for group in groups}
        self._until = 0.0
        self._told: dict[str, int] | None = None
        self._news = asyncio.Event()

    def get(self, struct: type[S]) -> S:
        """Return the settings of the group with this struct; costs nothing.

        Args:
            struct: As it was registered.
        """
        found = self._values[struct]
        assert isinstance(found, struct)  # noqa: S101  # by construction
        return found

    @property
    def locale(self) -> str:
        """The language of those who have chosen none and whose browser asks for none."""
        return self.get(General).locale

    async def renew(self, *, now: bool = False) -> Config:
        """Look at the database again if that was not done lately; return the same object.

        Args:
            now: Whether to look in any case.

        Raises:
            Unavailable: If the database cannot be used.
        """
        if not now and self._until >= time.monotonic():
            return self
        until = time.monotonic() + FRESH
        rows = {row["key"]: row for row in await self._platform.db.fetch(_ROWS)}
        versions = {key: row["version"] for key, row in rows.items()}
        if versions != self.versions:
            for group in self._platform.registry.settings_groups.values():
                if versions.get(group.key) != self.versions.get(group.key):
                    said = await self._opened(group, rows[group.key]) if group.key in rows else {}
                    self.stored[group.key], self._values[group.struct] = said, self._value(group, said)
            self.versions = versions
            self._news.set()
        if self._told is None:  # what holds when a process starts is no news
            self._told = versions
        self._until = until
        return self

    async def run(self) -> None:
        """Tell the plugins of this process of changes until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            await self.tell()

    async def tell(self) -> None:
        """Tell the plugins of this process of changes since it was done last."""
        before, self._told = self._told or {}, self.versions
        changed = [key for key, version in self.versions.items() if before.get(key) != version]
        for plugin in self._platform.hooks.implementers("on_settings_changed") if changed else ():
            try:
                await self._platform.hooks.notify(plugin, "on_settings_changed", groups=changed)
            except Exception as error:  # the plugin's; the others are told all the same
                _log.error("on_settings_changed of plugin %s failed: %s", plugin, where(error))

    async def _opened(self, group: SettingsGroup, row: Record) -> dict[str, Any]:
        """Return what was said of a group; of a setting that cannot be used, what the struct says counts."""
        said = msgspec.json.decode(row["data"], type=dict[str, Any])
        sealed = msgspec.json.decode(row["sealed"], type=dict[str, str])
        found = {}
        for name, setting in settings_of(group).items():
            try:
                if setting.secret and name in sealed:
                    opened = await self._platform.vault.open(sealed[name], context(group.key, name))
                    found[name] = msgspec.json.decode(opened, type=setting.type)
                elif not setting.secret and name in said:
                    found[name] = msgspec.convert(said[name], setting.type)
            except (Unavailable, msgspec.ValidationError) as error:
                if isinstance(error, Unavailable) and error.code == Unavailable.default_code:
                    raise  # the database is away, and the next look finds the setting
                _log.error("the setting %s.%s cannot be used (%s)", group.key, name, type(error).__name__)
        return found

    def _value(self, group: SettingsGroup, said: Mapping[str, Any]) -> msgspec.Struct:
        try:
            return group.struct(**{**said, **self.fixed[group.key]})
        except (TypeError, ValueError) as error:  # its __post_init__ has been made stricter meanwhile
            _log.error("the settings %s cannot be used together (%s)", group.key, type(error).__name__)
            return group.struct()


def context(group: str, name: str) -> str:
    """Return what a secret setting is sealed for."""
    return f"setting:{group}.{name}"
