"""Passwords: what a new one must be, and argon2id hashes that are made and compared beside the event loop."""

from __future__ import annotations

import asyncio
import base64
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from zhike.errors import BadRequest, TooMany
from zhike.i18n import text

if TYPE_CHECKING:
    from collections.abc import Callable

    from argon2 import PasswordHasher

T = TypeVar("T")

MIN_PASSWORD = 10
MAX_PASSWORD = 1000
AT_ONCE = 2
"""Hashes made at one time in a process: each takes 64 MiB."""
MOST_WAITING = 50
"""Hashes that may wait for those; more are refused, since none would be done in time."""
WEAKEST = 2
"""Score of zxcvbn, from 0 to 4, that a password needs: it takes more than a million guesses."""
_WORDS = ("zhike", "知客")
_JUDGED = 100  # characters; the rest of a longer one can only make it stronger, and judging takes time

_threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="password")
_waiting = 0


def check(password: str, *, login: str, name: str, least: int = MIN_PASSWORD) -> None:
    """Refuse a password that is not to be chosen; any characters will do, but nothing that is soon guessed.

    Args:
        password: The password as it was typed.
        login: Whose it is to be; neither this nor `name` may make up the password.
        name: The user's name.
        least: Fewest characters.

    Raises:
        BadRequest: With code `password`.
    """
    try:
        password.encode()
    except UnicodeEncodeError:
        raise BadRequest(text("The password is no text; expected UTF-8"), code="password") from None
    if not least <= len(password) <= MAX_PASSWORD:
        raise BadRequest(
            text("A password has {least} to {most} characters", least=least, most=MAX_PASSWORD), code="password"
        )
    from zxcvbn import zxcvbn  # 12 MB, which only those processes need where passwords are chosen

    words = [*_WORDS, login, *login.split("@"), *login.replace("@", ".").split("."), name, *name.split()]
    if zxcvbn(password[:_JUDGED], user_inputs=words, max_length=_JUDGED)["score"] < WEAKEST:
        raise BadRequest(
            text("The password is too easy to guess: common words, names, or a simple pattern"), code="password"
        )


async def hashed(password: str) -> str:
    """Return the argon2id hash of a password, with the library's present parameters and a fresh salt.

    Raises:
        TooMany: If more than `MOST_WAITING` wait already.
    """
    return await _beside(lambda: _hasher().hash(password))


async def chosen(password: str, *, login: str, name: str, least: int = MIN_PASSWORD) -> str:
    """Return the hash of a new password, if it may be chosen; see `check` and `hashed`."""

    def work() -> str:
        check(password, login=login, name=name, least=least)
        return _hasher().hash(password)

    return await _beside(work)


async def matches(stored: str | None, password: str) -> bool:
    """Tell whether a password is the one behind a hash; as slowly as ever when there is none to compare with.

    Args:
        stored: The user's hash, or None for a user that does not exist.
        password: What was typed.

    Raises:
        TooMany: If more than `MOST_WAITING` wait already.
    """
    return await _beside(lambda: _matches(stored, password))


def outdated(stored: str) -> bool:
    """Tell whether a hash was made with other parameters than the library's present ones."""
    return _hasher().check_needs_rehash(stored)


async def _beside(work: Callable[[], T]) -> T:
    global _waiting  # noqa: PLW0603  # of the process, as the threads are
    if _waiting >= AT_ONCE + MOST_WAITING:
        raise TooMany(text("Too many log in at this moment; try again"), retry_after=2)
    _waiting += 1
    try:
        return await asyncio.get_running_loop().run_in_executor(_threads, work)
    finally:
        _waiting -= 1


def _matches(stored: str | None, password: str) -> bool:
    from argon2.exceptions import VerificationError

    try:
        return _hasher().verify(stored or _nobodys(), password) and stored is not None
    except (VerificationError, UnicodeEncodeError):
        return False


def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher()


def _nobodys() -> str:
    """Return a hash that no password has and that takes as long as any to compare with."""
    hasher = _hasher()
    salt, digest = (base64.b64encode(bytes(size)).rstrip(b"=").decode() for size in (hasher.salt_len, hasher.hash_len))
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${cost}${salt}${digest}"
