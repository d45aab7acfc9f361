"""Changes one's own password: what is compared, counted and written down."""

from __future__ import annotations

from zhike import clock
from zhike.access import passwords, throttle
from zhike.access.actor import Actor
from zhike.access.login import USER, begin, refused, wrong
from zhike.api import Browser, Host
from zhike.config.groups import Security


async def change(host: Host, browser: Browser, actor: Actor, old: str, new: str) -> tuple[Actor, str]:
    """Change a user's own password: all their sessions end, and one begins.

    Args:
        host: The process.
        browser: Where the user is.
        actor: The user.
        old: The present password; wrong ones are counted with those of logins.
        new: The one that takes its place.

    Returns:
        The user, and the new session's token.

    Raises:
        BadRequest: If the new password is not to be chosen.
        Unauthorized: If the old password is wrong.
        TooMany: If there were too many attempts.
    """
    async with host.db.connection() as connection:
        user = await connection.fetchrow(f"{USER} id = $1", actor.user_id)
    if user is None:
        raise wrong()
    least = host.platform.config.get(Security).password_length
    hashed = await passwords.chosen(new, login=user["login"], name=user["name"], least=least)
    attempt = await throttle.attempt(host.db, user["login"], browser.address, clock.now())
    if not await passwords.matches(user["password_hash"], old):
        raise await refused(host, attempt, user)
    return await begin(host, browser, attempt, user, "user.password", hashed)
