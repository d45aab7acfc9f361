"""What the transports have in common: topics are collected, and one task sends them, not too often."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from abc import ABC, abstractmethod

INTERVAL = 0.01
"""Seconds between two wake-ups of one topic."""
FLUSH_SECONDS = 1.0
"""Seconds that `close` waits for what was announced to be sent."""
IDLE_SECONDS = 10.0
"""Seconds without a wake-up after which the other side is looked for."""


class Announcer(ABC):
    """Sends topics from a task of its own: each at once, but at most every `INTERVAL` seconds."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self._waiting: set[str] = set()
        self._not_before: dict[str, float] = {}
        self._idle_at = 0.0
        self._sending = False
        # In a context of its own, for it must not inherit a transaction of whoever opens the transport.
        self._task = asyncio.create_task(self._run(), context=contextvars.Context())

    def announce(self, topic: str) -> None:
        """Send a wake-up of a topic soon; one that waits to be sent counts for both."""
        if topic not in self._waiting:
            self._waiting.add(topic)
            self._rung.set()

    async def close(self) -> None:
        """Send what waits, for at most `FLUSH_SECONDS`, and end."""
        loop = asyncio.get_running_loop()
        until = loop.time() + FLUSH_SECONDS
        while (self._waiting or self._sending) and loop.time() < until:  # noqa: ASYNC110  # once a process
            await asyncio.sleep(INTERVAL / 4)
        self._task.cancel()
        await asyncio.wait([self._task])

    @abstractmethod
    async def _send(self, topics: set[str]) -> None:
        """Send wake-ups, or with no topic see to it that the other side is there; never raises.

        It may take as long as it likes; meanwhile topics are collected.
        """

    def _look(self) -> None:
        """Have `_send` called soon, with or without a topic."""
        self._idle_at = 0.0
        self._rung.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._rung.clear()
            now = loop.time()
            topics = {topic for topic in self._waiting if self._not_before.get(topic, 0.0) <= now}
            if topics or now >= self._idle_at:
                self._waiting -= topics
                self._not_before |= dict.fromkeys(topics, now + INTERVAL)
                self._idle_at = now + IDLE_SECONDS
                self._sending = True
                await self._send(topics)
                self._sending = False
            next_at = min((self._not_before.get(topic, 0.0) for topic in self._waiting), default=self._idle_at)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(next_at):
                    await self._rung.wait()
