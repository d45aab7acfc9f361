"""Who may use the tokens of kind `collect` that stand in web pages; `zhike.events.collecting` says what for."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from zhike.access.actor import Actor
from zhike.access.directory import CACHE_SECONDS
from zhike.access.throttle import subscriber
from zhike.errors import BadRequest, Forbidden, TooMany
from zhike.i18n import text
from zhike.orm import Database
from zhike.settings import is_origin

MOST_BYTES = 256 * 1024
"""Of one request's body."""
MOST_ORIGINS = 50
_ADDRESSES = 100
"""How many times the limit of one address a token may be used altogether."""
_BURST = 10.0
"""Seconds of the limit that may be used at once."""
_REMEMBERED = 20_000
_ORIGINS = """
SELECT DISTINCT unnest(origins) FROM api_token
WHERE kind = 'collect' AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
"""


def check_origins(origins: Iterable[str]) -> list[str]:
    """Return the origins a token is to be listed with.

    Raises:
        BadRequest: If one is none, or there are more than `MOST_ORIGINS`, or none at all.
    """
    given = list(dict.fromkeys(origins))
    if not 1 <= len(given) <= MOST_ORIGINS:
        raise BadRequest(text("A token of kind collect needs 1 to {most} origins", most=MOST_ORIGINS), code="origins")
    if wrong := [origin for origin in given if not is_origin(origin)]:
        told = text("{origin!r} is no origin; expected one such as {example}", origin=wrong[0], example="https://a.cn")
        raise BadRequest(told, code="origins")
    return given


class Gate:
    """Lets requests with tokens of kind `collect` in, of this process; every other route refuses them.

    Args:
        db: Where the tokens are stored.
        limit: Tells the requests a minute of one address with one token.
    """

    def __init__(self, db: Database, limit: Callable[[], int]) -> None:
        self._db = db
        self._limit = limit
        self._used: OrderedDict[tuple[int | None, str], tuple[float, float]] = OrderedDict()
        self._origins: tuple[float, frozenset[str]] = (0.0, frozenset())

    def admit(self, actor: Actor, origin: str, address: str) -> None:
        """Let one request in.

        Args:
            actor: Behind the token.
            origin: The header's value.
            address: The client's.

        Raises:
            Forbidden: If the token is not listed with the origin.
            TooMany: If there were too many from the address, or with the token.
        """
        if origin not in actor.origins:
            found = text("This token is not for pages of {origin}", origin=repr(origin))
            none = text("The header Origin is missing: a token of the kind collect is for web pages only")
            raise Forbidden(found if origin else none, code="origin")
        rate = self._limit() / 60
        self._take((actor.id, subscriber(address)), rate)
        self._take((actor.id, ""), rate * _ADDRESSES)

    async def origins(self) -> frozenset[str]:
        """Return the origins of all tokens that are valid, as they were within the last five seconds."""
        if self._origins[0] < time.monotonic():
            until = time.monotonic() + CACHE_SECONDS
            self._origins = until, frozenset(row[0] for row in await self._db.fetch(_ORIGINS))
        return self._origins[1]

    def _take(self, key: tuple[int | None, str], rate: float) -> None:
        """Use one of what a bucket holds, which is refilled by `rate` a second (the token bucket algorithm)."""
        most, now = max(1.0, rate * _BURST), time.monotonic()
        left, at = self._used.pop(key, (most, now))
        left = min(most, left + (now - at) * rate)
        if len(self._used) >= _REMEMBERED:
            self._used.popitem(last=False)
        self._used[key] = (left - 1 if left >= 1 else left), now
        if left < 1:
            raise TooMany(text("More events are sent than this token is for"), retry_after=int((1 - left) / rate) + 1)
