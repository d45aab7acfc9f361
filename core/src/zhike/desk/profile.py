"""What users choose for themselves: language, time zone, colours, and what pages remember of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from zhike import clock, wire
from zhike.access import audit
from zhike.errors import Forbidden
from zhike.events.properties import BadProperties, from_json
from zhike.i18n import text
from zhike.wire import Fault

if TYPE_CHECKING:
    from asyncpg import Record

    from zhike.access.actor import Actor
    from zhike.orm import Connection
    from zhike.platform import Platform

Locale = Literal["zh_CN", "en"]
Theme = Literal["light", "dark", "auto"]
_MAX_PREFERENCES = 16 * 1024
_READ = """
SELECT u.id, u.login, u.name, u.role, u.team_id, t.name AS team, u.locale, u.zone, u.theme, u.preferences::text
FROM app_user AS u LEFT JOIN team AS t ON t.id = u.team_id WHERE u.id = $1
"""
_WRITE = "UPDATE app_user SET locale = $2, zone = $3, theme = $4, preferences = $5::jsonb WHERE id = $1"


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A user, as they see themselves.

    Args:
        id: Their id.
        login: Name to log in with.
        name: Name for people.
        role: What they may do.
        team_id: Their team; null for none.
        team: Its name.
        locale: The language they have chosen; null for that of their browser.
        zone: The IANA zone in which they are shown times; null for the deployment's.
        theme: `light`, `dark`, or `auto` as their device.
        preferences: What pages remember of them, by page or plugin.
    """

    id: int
    login: str
    name: str
    role: str
    team_id: int | None
    team: str | None
    locale: Locale | None
    zone: str | None
    theme: Theme
    preferences: dict[str, Any]


class ProfileChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be another way; what is left out stays as it is.

    Args:
        locale: See `Profile`.
        zone: See `Profile`.
        theme: See `Profile`.
        preferences: Those to be kept; the others stay, and null forgets one.
    """

    locale: Locale | UnsetType | None = UNSET
    zone: Annotated[str, Meta(max_length=100)] | UnsetType | None = UNSET
    theme: Theme | UnsetType = UNSET
    preferences: dict[str, Any] | UnsetType = UNSET


async def get(platform: Platform, actor: Actor) -> Profile:
    """Return the profile of the user who asks.

    Raises:
        Forbidden: If it is no user.
    """
    async with platform.db.connection() as connection:
        return _profile(await _row(connection, actor))


async def change(platform: Platform, actor: Actor, change: ProfileChange) -> Profile:
    """Change one's own profile.

    Raises:
        BadRequest: If the zone is none, or the preferences cannot be stored.
        Forbidden: If it is no user.
    """
    said = {name: value for name, value in msgspec.structs.asdict(change).items() if value is not UNSET}
    if (zone := said.get("zone")) is not None and clock.zone(zone) is None:
        raise wire.refuse(Fault("zone", text("{value!r} is no IANA time zone such as Asia/Shanghai", value=zone)))
    async with platform.db.transaction() as connection:
        before = _profile(await _row(connection, actor, " FOR NO KEY UPDATE OF u"))
        merged = before.preferences | said.get("preferences", {})
        said["preferences"] = {key: value for key, value in merged.items() if value is not None}
        after = msgspec.structs.replace(before, **said)
        try:
            stored = from_json(msgspec.Raw(wire.encode(after.preferences, "json")), _MAX_PREFERENCES)
        except BadProperties as error:
            raise wire.refuse(Fault("preferences", error.message)) from None
        if after != before:
            await connection.execute(_WRITE, after.id, after.locale, after.zone, after.theme, stored)
            names = ("locale", "zone", "theme", "preferences")
            changed = [name for name in names if getattr(after, name) != getattr(before, name)]
            await audit.record(connection, actor, "user.profile", f"user:{after.id}", {"fields": changed})
    platform.directory.forget()
    return after


async def _row(connection: Connection, actor: Actor, lock: str = "") -> Record:
    row = None if actor.user_id is None else await connection.fetchrow(_READ + lock, actor.user_id)
    if row is None:
        raise Forbidden(text("This is for users; the token acts for none"))
    return row


def _profile(row: Record) -> Profile:
    return Profile(**{**row, "preferences": msgspec.json.decode(row["preferences"])})
