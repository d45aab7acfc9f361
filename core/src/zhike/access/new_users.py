"""Makes users; passwords are stored as argon2id hashes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from zhike.access import audit, passwords
from zhike.access.actor import Actor
from zhike.access.directory import Directory
from zhike.access.grants import require_grantable
from zhike.access.schemas import User
from zhike.access.users import COLUMNS, check_name, check_team
from zhike.errors import BadRequest, Conflict
from zhike.i18n import text

if TYPE_CHECKING:
    from zhike.orm import Database

_LOGIN = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,99}")


async def create(
    db: Database,
    actor: Actor,
    *,
    login: str,
    name: str,
    role: str,
    password: str,
    team_id: int | None = None,
    directory: Directory | None = None,
    least: int = passwords.MIN_PASSWORD,
) -> User:
    """Make a user.

    Args:
        db: Where to store it.
        actor: Who makes it; they hold all that the role grants.
        login: Name to log in with; capital letters count as small ones.
        name: Name for people to read, 1 to 200 characters.
        role: A shipped role or one of the installation's own.
        password: See `zhike.access.passwords.check`.
        team_id: The user's team, or None.
        directory: The process's; it knows what plugins let roles do.
        least: Fewest characters of the password.

    Raises:
        BadRequest: If an argument is not as described.
        Conflict: If the login is taken.
        Forbidden: If the role would grant more than `actor` holds.
    """
    login = login.strip().lower()
    if not _LOGIN.fullmatch(login):
        raise BadRequest(
            text(
                "The login {login!r} is not usable; expected letters, digits and ._@+-, at most 100",
                login=login,
            ),
            code="login",
        )
    check_name(name)
    hashed = await passwords.chosen(password, login=login, name=name, least=least)
    async with db.transaction() as connection:
        await check_team(connection, actor, team_id)
        granted = await (directory or Directory(db)).role(connection, role)
        require_grantable(actor, granted, team_id=team_id)
        row = await connection.fetchrow(
            "INSERT INTO app_user (login, name, password_hash, role, team_id) VALUES ($1, $2, $3, $4, $5)"
            f" ON CONFLICT (login) DO NOTHING RETURNING {COLUMNS}",
            login,
            name,
            hashed,
            role,
            team_id,
        )
        if row is None:
            raise Conflict(text("There is a user {login} already", login=login))
        user = User(**row)
        details = {"login": login, "role": role, "team_id": team_id}
        await audit.record(connection, actor, "user.create", f"user:{user.id}", details)
    return user
