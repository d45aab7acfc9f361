"""Logging in: what is compared, counted and written down."""

from __future__ import annotations

from asyncpg import Record

from zhike import clock
from zhike.access import audit, passwords, sessions, throttle
from zhike.access.actor import Actor
from zhike.access.throttle import Attempt
from zhike.api import Browser, Host
from zhike.errors import Unauthorized
from zhike.i18n import text

USER = "SELECT id, login, name, password_hash FROM app_user WHERE disabled_at IS NULL AND "
# Whoever disables the user, or changes the password, at the same time waits, and then ends the session.
_UNCHANGED = "SELECT true FROM app_user WHERE id = $1 AND password_hash = $2 AND disabled_at IS NULL FOR NO KEY UPDATE"


async def log_in(host: Host, browser: Browser, login: str, password: str) -> tuple[Actor, str]:
    """Begin a session; nobody can tell from the answer, or its time, whether a login exists.

    Args:
        host: The process.
        browser: Where the user is.
        login: As it was typed.
        password: As it was typed.

    Returns:
        The user, and the session's token.

    Raises:
        Unauthorized: If there is no active user with this login and password.
        TooMany: If there were too many attempts.
    """
    login = login.strip().lower().replace("\0", "")  # which PostgreSQL does not take, and no login has
    attempt = await throttle.attempt(host.db, login, browser.address, clock.now())
    async with host.db.connection() as connection:
        user = await connection.fetchrow(f"{USER} login = $1", login)
    right = await passwords.matches(None if user is None else user["password_hash"], password)
    if user is None or not right:
        raise await refused(host, attempt, user)
    new = await passwords.hashed(password) if passwords.outdated(user["password_hash"]) else None
    return await begin(host, browser, attempt, user, "session.create", new)


async def begin(
    host: Host, browser: Browser, attempt: Attempt, user: Record, action: str, new: str | None
) -> tuple[Actor, str]:
    """Begin a session of a user whose password was right, and store the new password if there is one."""
    async with host.db.transaction() as connection:
        if not await connection.fetchval(_UNCHANGED, user["id"], user["password_hash"]):
            raise wrong()
        if new is not None:
            await connection.execute("UPDATE app_user SET password_hash = $2 WHERE id = $1", user["id"], new)
        await throttle.succeed(connection, attempt, clock.now())
        session_id, token = await sessions.begin(connection, host.sessions, user["id"], browser)
        host.platform.directory.forget()  # the user may have been enabled a moment ago
        actor = await host.platform.directory.user(user["id"])
        if actor is None:
            raise wrong()
        subject = f"session:{session_id}" if action == "session.create" else f"user:{user['id']}"
        await audit.record(connection, actor, action, subject, {"address": browser.address})
    host.sessions.forget()
    return actor, token


async def refused(host: Host, attempt: Attempt, user: Record | None) -> Unauthorized:
    """Write down that a password was wrong; of a login that nobody has, which may be a password, one letter only."""
    subject = f"login:{attempt.login[:1]}***" if user is None else f"user:{user['id']}"
    action = "session.throttle" if attempt.wait else "session.refuse"
    async with host.db.transaction() as connection:
        details = {"address": attempt.address, "wait": attempt.wait}
        await audit.record(connection, Actor.system(), action, subject, details)
    return wrong()


def wrong() -> Unauthorized:
    """Return what is raised whatever is wrong."""
    return Unauthorized(text("There is no active user with this login and password"), code="wrong_password")
