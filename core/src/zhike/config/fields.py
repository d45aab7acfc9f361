"""The settings of a group one by one: what each is called, where it may be fixed, and whether it is a secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

from zhike import wire
from zhike.contracts import SettingsGroup
from zhike.errors import Refused
from zhike.i18n import text
from zhike.settings import Settings


class Setting(NamedTuple):
    """One setting.

    Args:
        name: The struct's field.
        type: What a value is.
        title: Name for people, in English; the name when the struct gives none.
        description: What people should know, in English.
        secret: Whether it is sealed and never shown.
        variable: The environment variable that fixes it.
        of: The field of the deployment's settings that it was before it could be changed, or "".
    """

    name: str
    type: Any
    title: str
    description: str
    secret: bool
    variable: str
    of: str


def settings_of(group: SettingsGroup) -> dict[str, Setting]:
    """Return the settings of a group, by name.

    What `zhike.ui.asked` says of a field is shown. In the `extra` of its `Meta`, `secret` has it sealed, and `variable`
    names another environment variable than `ZHIKE_<GROUP>_<FIELD>`.
    """
    info = inspect.type_info(group.struct)
    assert isinstance(info, inspect.StructType)  # noqa: S101  # the registry has made one
    types = dict(zip((field.name for field in info.fields), _types(group.struct), strict=True))
    found = {}
    for field in info.fields:
        meta = field.type if isinstance(field.type, inspect.Metadata) else inspect.Metadata(field.type)
        extra = meta.extra or {}
        found[field.name] = Setting(
            name=field.name,
            type=types[field.name],
            title=extra.get("label") or field.name,
            description=extra.get("help") or "",
            secret=bool(extra.get("secret")),
            variable=extra.get("variable") or f"ZHIKE_{group.key}_{field.name}".upper().replace(".", "_"),
            of=extra.get("of", ""),
        )
    return found


def fixed(group: SettingsGroup, environment: Mapping[str, str], deployment: Settings) -> dict[str, Any]:
    """Return the settings of a group that the environment fixes, with their values.

    Raises:
        Refused: If a variable's value cannot be used; the message names it and what was expected.
    """
    found = {}
    for setting in settings_of(group).values():
        if setting.of:
            value = getattr(deployment, setting.of)
            if setting.variable in environment or value != getattr(group.struct(), setting.name):
                found[setting.name] = value
        elif (given := environment.get(setting.variable)) is not None:
            found[setting.name] = _read(setting, given)
    return found


def _read(setting: Setting, given: str) -> Any:
    try:
        return msgspec.convert(given, setting.type, strict=False)
    except msgspec.ValidationError as error:
        first = error
    try:
        return msgspec.json.decode(given, type=setting.type)
    except (msgspec.DecodeError, RecursionError):
        detail = wire.fault(first, given.encode(), setting.type).detail
        raise Refused(text("{name}: {detail}", name=setting.variable, detail=detail)) from None


def _types(struct: type[msgspec.Struct]) -> list[Any]:
    return [field.type for field in msgspec.structs.fields(struct)]
