"""Users: argon2 passwords, logins that are taken once, and that a disabled user stays listed."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher

from zhike.access import new_users, user_changes, users
from zhike.access.actor import Actor
from zhike.access.schemas import User
from zhike.errors import BadRequest, Conflict, NotFound
from zhike.orm import Database

OPERATOR = Actor.command("user")
PASSWORD = "正确的马电池订书钉"[:8] + "!!"


async def create(database: Database, **changed: str) -> User:
    arguments = {"login": "li.na", "name": "李娜", "role": "agent", "password": PASSWORD, **changed}
    return await new_users.create(database, OPERATOR, **arguments)


async def test_a_user_has_an_argon2_password_and_an_audit_row(database: Database) -> None:
    user = await create(database, login=" Li.Na ")

    assert user.login == "li.na"
    async with database.connection() as connection:
        stored = await connection.fetchval("SELECT password_hash FROM app_user")
        audit = await connection.fetchrow("SELECT actor, action, object, details::text FROM audit")
    assert stored.startswith("$argon2id$")
    assert PasswordHasher().verify(stored, PASSWORD)
    assert audit is not None
    assert tuple(audit)[:3] == ("command:user", "user.create", f"user:{user.id}")
    assert PASSWORD not in audit["details"]


async def test_a_login_is_taken_once(database: Database) -> None:
    await create(database)
    with pytest.raises(Conflict, match=r"li\.na"):
        await create(database, login="LI.NA")
    assert len(await users.list_(database)) == 1


async def test_a_disabled_user_stays_listed(database: Database) -> None:
    await create(database)
    await user_changes.disable(database, OPERATOR, "Li.Na")

    (user,) = await users.list_(database)
    assert user.disabled_at is not None
    with pytest.raises(NotFound):
        await user_changes.disable(database, OPERATOR, "li.na")
    with pytest.raises(NotFound):
        await user_changes.disable(database, OPERATOR, "nobody")


@pytest.mark.parametrize(
    "changed",
    [
        {"login": ""},
        {"login": "two words"},
        {"login": "a" * 101},
        {"login": "'; DROP TABLE app_user; --"},
        {"name": ""},
        {"name": " \u3000"},
        {"name": "a\x00b"},
        {"role": "root"},
        {"password": "123456789"},
        {"password": "x" * 1001},
        {"password": "half a \ud83d surrogate"},
    ],
)
async def test_bad_input_is_refused(database: Database, changed: dict[str, str]) -> None:
    with pytest.raises(BadRequest):
        await create(database, **changed)
    assert await users.list_(database) == []
