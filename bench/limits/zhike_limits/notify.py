"""Raw LISTEN and NOTIFY: how long one process takes to wake another through PostgreSQL."""

from __future__ import annotations

import asyncio
import time

import asyncpg

CHANNEL = "zhike_limits"


async def wakeups(url: str, count: int, pause: float) -> list[float]:
    """Notify one connection from another again and again.

    Args:
        url: The database.
        count: How often.
        pause: Seconds between two.

    Returns:
        Seconds from sending each NOTIFY to the listener's being called.
    """
    heard = asyncio.Event()
    sender, listener = await asyncpg.connect(url), await asyncpg.connect(url)
    try:
        await listener.add_listener(CHANNEL, lambda *_: heard.set())
        seconds = []
        for _ in range(count):
            await asyncio.sleep(pause)
            heard.clear()
            begun = time.perf_counter()
            await sender.execute(f"NOTIFY {CHANNEL}")
            await heard.wait()
            seconds.append(time.perf_counter() - begun)
        return seconds
    finally:
        await sender.close()
        await listener.close()
