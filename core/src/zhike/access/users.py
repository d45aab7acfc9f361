"""Users: made, listed and disabled by commands; passwords are stored as argon2id hashes."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from zhike.access import audit
from zhike.access.actor import Actor
from zhike.access.tokens import require_role
from zhike.errors import BadRequest, Conflict, NotFound
from zhike.i18n import text

if TYPE_CHECKING:
    from zhike.orm import Database

MIN_PASSWORD = 10
MAX_PASSWORD = 1000
_LOGIN = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,99}")
_COLUMNS = "id, login, name, role, created_at, disabled_at"


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A stored user, without the password.

    Args:
        id: The user's id.
        login: Name to log in with, in small letters.
        name: Name for people to read.
        role: One of `ROLES`.
        created_at: When the user was made.
        disabled_at: Since when the user cannot log in, or None.
    """

    id: int
    login: str
    name: str
    role: str
    created_at: datetime
    disabled_at: datetime | None


async def create(db: Database, actor: Actor, *, login: str, name: str, role: str, password: str) -> User:
    """Make a user.

    Args:
        db: Where to store it.
        actor: Who makes it.
        login: Name to log in with; capital letters count as small ones.
        name: Name for people to read, 1 to 200 characters.
        role: One of `ROLES`.
        password: 10 to 1,000 characters.

    Raises:
        BadRequest: If an argument is not as described.
        Conflict: If the login is taken.
    """
    login = login.strip().lower()
    if not _LOGIN.fullmatch(login):
        raise BadRequest(
            text(
                "The login {login!r} is not usable; expected letters, digits and ._@+-, at most 100",
                login=login,
            )
        )
    if not 1 <= len(name) <= 200 or not name.isprintable():
        raise BadRequest(text("The name of a user has 1 to 200 printable characters"))
    require_role(role)
    hashed = hash_password(password)
    async with db.transaction() as connection:
        row = await connection.fetchrow(
            "INSERT INTO app_user (login, name, password_hash, role) VALUES ($1, $2, $3, $4)"
            f" ON CONFLICT (login) DO NOTHING RETURNING {_COLUMNS}",
            login,
            name,
            hashed,
            role,
        )
        if row is None:
            raise Conflict(text("There is a user {login} already", login=login))
        user = User(**row)
        await audit.record(connection, actor, "user.create", f"user:{user.id}", {"login": login, "role": role})
    return user


async def list_(db: Database) -> list[User]:
    """Return all users, disabled ones too, oldest first."""
    async with db.connection() as connection:
        rows = await connection.fetch(f"SELECT {_COLUMNS} FROM app_user ORDER BY id")
    return [User(**row) for row in rows]


async def disable(db: Database, actor: Actor, login: str) -> None:
    """Keep a user from logging in from now on.

    Raises:
        NotFound: If there is no such user who is not disabled yet.
    """
    login = login.strip().lower()
    async with db.transaction() as connection:
        user_id = await connection.fetchval(
            "UPDATE app_user SET disabled_at = now() WHERE login = $1 AND disabled_at IS NULL RETURNING id",
            login,
        )
        if user_id is None:
            raise NotFound(text("There is no active user {login}", login=login))
        await audit.record(connection, actor, "user.disable", f"user:{user_id}", {"login": login.strip().lower()})


def hash_password(password: str) -> str:
    """Return the argon2id hash of a password, with the library's present parameters and a fresh salt.

    Raises:
        BadRequest: If the password is no text, or shorter than 10 or longer than 1,000 characters.
    """
    try:
        password.encode()
    except UnicodeEncodeError:
        raise BadRequest(text("The password is no text; expected UTF-8")) from None
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise BadRequest(text("A password has {least} to {most} characters", least=MIN_PASSWORD, most=MAX_PASSWORD))
    from argon2 import PasswordHasher

    return PasswordHasher().hash(password)
