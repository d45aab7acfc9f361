"""Slows down the guessing of passwords: growing delays that all processes share, since PostgreSQL keeps them.

Attempts are counted in buckets, and the count is taken before a password is compared, so that guesses sent at the same
time are counted too:

- of an address from which the user has logged in within 90 days: a bucket of this user and address alone. So no
  stranger elsewhere can keep a user from logging in where they usually do;
- of any other address: a bucket of the login and one of the address.

After some attempts that are free, each one that fails makes the next wait twice as long, up to a quarter of an hour. An
attempt during the wait is refused without looking at the password, and does not make the wait longer. A login that
succeeds empties the user's bucket; all are forgotten after a day without attempts.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
from datetime import datetime, timedelta

import msgspec

from zhike.errors import TooMany
from zhike.i18n import text
from zhike.orm import Connection, Database

FREE_OF_LOGIN = 5
FREE_OF_ADDRESS = 50
"""Attempts without a delay: many people may share an address."""
LONGEST = timedelta(minutes=15)
FORGET = timedelta(days=1)
KNOWN = timedelta(days=90)

# Of two attempts at the same time, the one that read the clock first may be counted last: `until` = `at` is no wait.
_COUNT = """
INSERT INTO login_throttle AS t (key, failures, at, until) VALUES ($1, 1, $2, $2)
ON CONFLICT (key) DO UPDATE SET (failures, at, until) = (
  SELECT n, $2, $2 + LEAST($4, interval '1 second' * CASE WHEN n > $3 THEN 2 ^ LEAST(n - $3 - 1, 20) ELSE 0 END)
  FROM (SELECT CASE WHEN t.at < $2 - $5::interval THEN 1 ELSE t.failures + 1 END AS n) AS counted
)
WHERE t.until <= GREATEST($2, t.at) RETURNING until
"""


class Attempt(msgspec.Struct, frozen=True):
    """An attempt to log in that was let through.

    Args:
        login: As it was given.
        address: Where it came from.
        wait: Seconds after which the next one is let through if this one fails.
    """

    login: str
    address: str
    wait: int


async def attempt(db: Database, login: str, address: str, now: datetime) -> Attempt:
    """Count an attempt, as if it failed.

    Args:
        db: Where attempts are counted.
        login: Who wants to log in.
        address: The client's address.
        now: The present instant.

    Raises:
        TooMany: If it has to wait; the error says how long.
    """
    pair = _key("known", login, address)
    async with db.transaction() as connection:
        if await connection.fetchval("SELECT true FROM login_throttle WHERE key = $1", pair):
            buckets = [(pair, FREE_OF_LOGIN)]
        else:
            buckets = [(_key("login", login), FREE_OF_LOGIN), (_key("address", "", address), FREE_OF_ADDRESS)]
        waits = [await _count(connection, key, free, now) for key, free in buckets]
    return Attempt(login, address, max(waits))


async def succeed(connection: Connection, made: Attempt, now: datetime) -> None:
    """Take back that an attempt was counted, and know its address from now on.

    Args:
        connection: In the transaction that makes the session.
        made: The attempt, whose password was right.
        now: The present instant.
    """
    await connection.execute("DELETE FROM login_throttle WHERE key = $1", _key("login", made.login))
    await connection.execute(
        "UPDATE login_throttle SET failures = failures - 1, until = at WHERE key = $1 AND failures > 0",
        _key("address", "", made.address),
    )
    await connection.execute(
        "INSERT INTO login_throttle (key, failures, at, until) VALUES ($1, 0, $2, $2)"
        " ON CONFLICT (key) DO UPDATE SET failures = 0, at = $2, until = $2",
        _key("known", made.login, made.address),
        now,
    )
    await connection.execute("DELETE FROM login_throttle WHERE at < $1", now - KNOWN)


def subscriber(address: str) -> str:
    """Return what stands for a client in counts: an IPv4 address, or the 64 bits of IPv6 that a customer is given."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(parsed) if parsed.version == 4 else str(ipaddress.ip_network((parsed, 64), strict=False))


async def _count(connection: Connection, key: bytes, free: int, now: datetime) -> int:
    until: datetime | None = await connection.fetchval(_COUNT, key, now, free, LONGEST, FORGET)
    if until is not None:
        return math.ceil((until - now).total_seconds())
    until = await connection.fetchval("SELECT until FROM login_throttle WHERE key = $1", key)
    wait = max(1, math.ceil(((until or now) - now).total_seconds()))
    raise TooMany(
        text("Too many attempts to log in; try again in {seconds} s", seconds=wait), code="throttled", retry_after=wait
    )


def _key(kind: str, login: str, address: str = "") -> bytes:
    return hashlib.sha256(f"{kind}\0{login}\0{subscriber(address)}".encode()).digest()
