"""Changing settings, and showing what they are and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from asyncpg import Record

from zhike import wire
from zhike.access import audit
from zhike.access.actor import Actor
from zhike.config.fields import settings_of
from zhike.config.service import context
from zhike.contracts import SettingsGroup
from zhike.errors import BadRequest, Conflict, NotFound
from zhike.events.properties import BadProperties, from_json
from zhike.i18n import Text, say, text
from zhike.orm import Connection
from zhike.platform import Platform
from zhike.vault import Keys
from zhike.wire import Fault
from zhike.work import begin

_LOCK = "SELECT data::text, sealed::text, version FROM setting_group WHERE key = $1 FOR UPDATE"
_WRITE = """
INSERT INTO setting_group (key, data, sealed, version, updated_at) VALUES ($1, $2::jsonb, $3::jsonb, $4, $5)
ON CONFLICT (key) DO UPDATE SET data = $2::jsonb, sealed = $3::jsonb, version = $4, updated_at = $5
WHERE setting_group.version = $4 - 1
RETURNING 1
"""


class ShownSetting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting as people see it.

    Args:
        name: Its name in `values`.
        title: Name for people.
        description: What people should know.
        value: What it is; null for a secret.
        source: Where that comes from. What the `environment` says cannot be changed here.
        secret: Whether it is never shown.
    """

    name: str
    title: str
    description: str
    value: Any
    source: Literal["environment", "database", "default"]
    secret: bool


class ShownGroup(msgspec.Struct, frozen=True, kw_only=True):
    """A group of settings as people see it.

    Args:
        key: Its key.
        label: Name for people.
        version: Counts its changes.
        settings: In the order of the struct.
    """

    key: str
    label: str
    version: int
    settings: list[ShownSetting]


def groups(platform: Platform, actor: Actor) -> list[SettingsGroup]:
    """Return the groups that an actor may see and change."""
    return [group for group in platform.registry.settings_groups.values() if actor.scope(group.permission) is not None]


def find(platform: Platform, actor: Actor, key: str) -> SettingsGroup:
    """Return a group that an actor may see and change.

    Raises:
        NotFound: If there is none of that key.
        Forbidden: If the actor may not.
    """
    group = platform.registry.settings_groups.get(key)
    if group is None:
        raise NotFound(text("There are no settings {key}", key=key))
    actor.require(group.permission)
    return group


def shown(platform: Platform, group: SettingsGroup, locale: str) -> ShownGroup:
    """Return a group as people see it; renew `platform.config` first."""
    config, label = platform.config, group.label
    value, stored = config.get(group.struct), config.stored.get(group.key, {})
    settings = [
        ShownSetting(
            name=name,
            title=Text(each.title).render(locale),
            description=Text(each.description).render(locale),
            value=None if each.secret else getattr(value, name),
            source="environment" if name in config.fixed[group.key] else "database" if name in stored else "default",
            secret=each.secret,
        )
        for name, each in settings_of(group).items()
    ]
    return ShownGroup(
        key=group.key,
        label=say(label, locale),
        version=config.versions.get(group.key, 0),
        settings=settings,
    )


async def save(platform: Platform, actor: Actor, key: str, values: Mapping[str, Any], version: int) -> int:
    """Change settings of a group; every process knows within a moment, and `on_settings_changed` is called there.

    Args:
        platform: The process's platform.
        actor: Who changes them.
        key: The group.
        values: Setting to its value as JSON knows it; the others stay as they are. Null takes a secret away.
        version: The version that was read.

    Returns:
        The version they are at now.

    Raises:
        BadRequest: If a value does not fit, or the environment fixes it; the message begins with the setting.
        NotFound: If there is no such group.
        Forbidden: If the actor may not change it.
        Conflict: If somebody has changed it since, with the code `version`.
        Unavailable: If the deployment's keys cannot be used.
    """
    group = find(platform, actor, key)
    _check_names(platform, group, values)
    try:
        from_json(msgspec.Raw(wire.encode(values, "json")))
    except BadProperties as error:
        raise wire.refuse(Fault("values", error.message)) from None
    keys = await platform.vault.keys()
    async with begin(platform, origin=actor.origin) as work:
        row = await work.connection.fetchrow(_LOCK, key)
        before = 0 if row is None else row["version"]
        if before != version:
            raise _overtaken(before)
        stored = [msgspec.json.encode(part).decode() for part in _changed(group, row, values, keys)]
        if not await work.connection.fetchval(_WRITE, key, *stored, version + 1, work.now):
            raise _overtaken(version + 1)
        secret = {name for name, each in settings_of(group).items() if each.secret}
        told = {name: "…" if name in secret else value for name, value in values.items()}
        await audit.record(work.connection, actor, "settings.change", f"settings:{key}", told)
    await platform.config.renew(now=True)
    platform.announce("plugins")
    return version + 1


def _check_names(platform: Platform, group: SettingsGroup, values: Mapping[str, Any]) -> None:
    known = settings_of(group)
    for name in values:
        if name not in known:
            raise wire.refuse(Fault("", text("there is no field `{field}`", field=name), name))
        if name in platform.config.fixed[group.key]:
            raise BadRequest(
                text("{name}: fixed by the environment variable {variable}", name=name, variable=known[name].variable),
                code="fixed",
            )


def _changed(
    group: SettingsGroup, row: Record | None, values: Mapping[str, Any], keys: Keys
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what is to be stored, plain and sealed: what was, and what is said now; not what is as the struct says."""
    known, default = settings_of(group), group.struct()
    data = {} if row is None else msgspec.json.decode(row["data"], type=dict[str, Any])
    sealed = {} if row is None else msgspec.json.decode(row["sealed"], type=dict[str, str])
    gone = {name for name, value in values.items() if value is None and known[name].secret}
    whole = {name: value for name, value in (data | dict(values)).items() if name in known and name not in gone}
    try:
        checked = msgspec.convert(whole, group.struct)
    except msgspec.ValidationError as error:
        raise wire.refuse(wire.fault(error, b"{}", group.struct)) from None
    for name in values:
        value = getattr(checked, name)
        data.pop(name, None)
        sealed.pop(name, None)
        if value == getattr(default, name):
            continue
        if known[name].secret:
            sealed[name] = keys.seal(msgspec.json.encode(value).decode(), context(group.key, name))
        else:
            data[name] = msgspec.to_builtins(value)
    return data, sealed


async def reseal(connection: Connection, keys: Keys, after: int, limit: int) -> int | None:
    """Seal secret settings with the newest data key, all at once: there are few. See `zhike.vault.Reseal`."""
    for row in await connection.fetch("SELECT key, sealed::text FROM setting_group ORDER BY key FOR UPDATE"):
        sealed = msgspec.json.decode(row["sealed"], type=dict[str, str])
        renewed = {name: keys.reseal(value, context(row["key"], name)) or value for name, value in sealed.items()}
        if renewed != sealed:
            encoded = msgspec.json.encode(renewed).decode()
            await connection.execute("UPDATE setting_group SET sealed = $2::jsonb WHERE key = $1", row["key"], encoded)
    return None


def _overtaken(version: int) -> Conflict:
    return Conflict(
        text("Somebody has changed these settings since; they are at version {version}", version=version),
        code="version",
    )
