"""Changes users: their names, roles, teams and passwords, and whether they may log in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from zhike import clock
from zhike._versions import require_version
from zhike.access import audit, passwords
from zhike.access.actor import Actor
from zhike.access.directory import Directory
from zhike.access.grants import NOTHING, require_grantable
from zhike.access.schemas import User, UserChange
from zhike.access.users import check_name, check_team, find, locked
from zhike.errors import Conflict, NotFound
from zhike.i18n import text

if TYPE_CHECKING:
    from zhike.orm import Database

# In the order of their ids, so that of two who would leave none, one waits for the other and then sees it.
_ADMINS = "SELECT id FROM app_user WHERE role = 'admin' AND disabled_at IS NULL ORDER BY id FOR NO KEY UPDATE"
_UPDATE = """
UPDATE app_user SET name = $2, role = $3, team_id = $4, disabled_at = $5, version = $6,
  password_hash = coalesce($7, password_hash)
WHERE id = $1
"""


async def change(
    db: Database,
    actor: Actor,
    who: int | str,
    change: UserChange,
    *,
    directory: Directory | None = None,
    least: int = passwords.MIN_PASSWORD,
) -> User:
    """Change a user; one active admin at least is left.

    Args:
        db: Where they are.
        actor: Who changes them; they hold all that the user's role grants, before and after.
        who: The user's id, or login.
        change: What is to be another way.
        directory: The process's; it knows what plugins let roles do, and finds everybody anew afterwards.
        least: Fewest characters of a new password.

    Raises:
        BadRequest: If something about the change is wrong.
        Conflict: With code `last_admin`, if no active admin would be left; with code `version`, if somebody has changed
            the user since.
        Forbidden: If a role grants more than `actor` holds.
        NotFound: If there is no such user, or `actor` does not see them.
    """
    directory = directory or Directory(db)
    given = {key: value for key, value in msgspec.structs.asdict(change).items() if value is not UNSET}
    password, version, hashed = given.pop("password", None), given.pop("version", None), None
    if "name" in given:
        check_name(given["name"])
    if password is not None:
        known = await find(db, actor, who)
        hashed = await passwords.chosen(password, login=known.login, name=known.name, least=least)
    async with db.transaction() as connection:
        admins = {row[0] for row in await connection.fetch(_ADMINS)} if {"role", "disabled"} & given.keys() else None
        old = await locked(connection, actor, who)
        require_version(old.version, version)
        new = msgspec.structs.replace(old, **_stored(old, given))
        new = msgspec.structs.replace(new, version=old.version + (new != old))  # a password is nothing one sees
        if new.team_id != old.team_id:
            await check_team(connection, actor, new.team_id)
        granted = await directory.grants(connection, [old.role], archived=True)  # it may be taken up again
        require_grantable(actor, granted.get(old.role, NOTHING), user_id=old.id, team_id=old.team_id)
        if new.role != old.role or new.team_id != old.team_id:
            role = await directory.role(connection, new.role)
            require_grantable(actor, role, user_id=new.id, team_id=new.team_id)
        if admins == {old.id} and (new.role != "admin" or new.disabled_at):
            raise Conflict(text("{login} is the last active admin", login=old.login), code="last_admin")
        values = (new.id, new.name, new.role, new.team_id, new.disabled_at, new.version, hashed)
        await connection.execute(_UPDATE, *values)
        details = {**given, **({} if password is None else {"password": "…"}), "login": old.login}
        await audit.record(connection, actor, "user.change", f"user:{old.id}", details)
    directory.forget()
    return new


async def disable(db: Database, actor: Actor, login: str) -> None:
    """Keep a user from logging in from now on; errors are those of `change`.

    Raises:
        NotFound: If there is no such user who is not disabled yet.
    """
    user = await find(db, actor, login)
    if user.disabled_at is not None:
        raise NotFound(text("There is no active user {login}", login=login))
    await change(db, actor, user.id, UserChange(disabled=True))


def _stored(old: User, given: dict[str, Any]) -> dict[str, Any]:
    """Return what is given as it is stored."""
    stored = {key: value for key, value in given.items() if key != "disabled"}
    if "disabled" in given:
        stored["disabled_at"] = (old.disabled_at or clock.now()) if given["disabled"] else None
    return stored
