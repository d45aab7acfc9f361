"""Wake-ups between processes: PostgreSQL carries them, or Redis when there is one.

A wake-up says that there may be work on a topic, never which: whoever gets it looks into the database, and all
that waits is found at the next tick anyway. So nothing is lost with a wake-up but a moment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from zhike.settings import Settings

TOPICS = ("log", "jobs", "plugins")
"""What there may be news of: events, jobs that are due, and what processes remember: plugins, fields, settings."""


class Transport(Protocol):
    """Carries wake-ups between the processes of one installation."""

    def announce(self, topic: str) -> None:
        """Wake who listens; returns at once and never raises.

        Args:
            topic: One of `TOPICS`. Its wake-ups go out at once, but at most every 10 ms.
        """

    async def listen(self, wake: Callable[[str], None]) -> None:
        """Call `wake` with the topic of each wake-up, until cancelled.

        What may have been missed while the other side was out of reach is made up for by a call for every topic.
        """

    async def close(self) -> None:
        """Send what was announced, for at most a second, and disconnect."""


async def open_transport(settings: Settings, url: str) -> Transport:
    """Return the deployment's transport; it connects on its own, and again whenever it must.

    Args:
        settings: `redis_url` chooses Redis.
        url: The database's URL.

    Raises:
        Refused: If Redis is wanted and cannot be used from here.
    """
    if settings.redis_url is None:
        from zhike.transport.postgres import PostgresTransport

        return PostgresTransport(url)
    from zhike.transport.arq import ArqTransport

    return ArqTransport(settings.redis_url)


def check(settings: Settings) -> None:
    """Refuse settings that no transport can be opened with, before any process needs one.

    Raises:
        Refused: If Redis is wanted, but arq is not installed or the URL is none.
    """
    if settings.redis_url is not None:
        from zhike.transport.arq import make_pool

        make_pool(settings.redis_url)
