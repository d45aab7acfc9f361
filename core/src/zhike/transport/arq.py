"""Wake-ups as arq jobs on Redis: at most one ticket a topic, which wakes one of the runners.

A ticket says only "look into the database", so Redis holds nothing that could be lost. As long as it is away,
runners find work at their ticks.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from zhike.errors import Refused
from zhike.i18n import text
from zhike.transport import TOPICS
from zhike.transport.announcer import Announcer

if TYPE_CHECKING:
    from arq.connections import ArqRedis
    from arq.worker import Worker

BACK_OFF = (0.1, 5.0)
"""Seconds between two attempts to get tickets: the first, and the most."""
QUIET_SECONDS = 60.0
"""Seconds between two log lines about a Redis that is away."""
JOB_SECONDS = 2
_PREFIX = "zhike:"
_log = logging.getLogger("zhike.transport")


async def ticket(ctx: dict[Any, Any], *_args: Any, **_options: Any) -> None:
    """Do nothing: what there is to do is done when the ticket is gone from Redis (`after_job_end`)."""


def make_pool(url: str) -> ArqRedis:
    """Return connections to Redis; none is opened yet.

    Args:
        url: `redis://user:password@host:port/0`, `rediss://…` or `unix://…`.

    Raises:
        Refused: If arq is not installed, or the URL cannot be understood.
    """
    try:
        from arq.connections import ArqRedis
        from redis.asyncio import ConnectionPool
        from redis.asyncio.retry import Retry
        from redis.backoff import ExponentialBackoff
        from redis.exceptions import ConnectionError as Lost
        from redis.exceptions import TimeoutError as Slow
    except ImportError:
        raise Refused(text("ZHIKE_REDIS_URL needs arq; run `pip install zhike[redis]`")) from None
    try:
        connections = ConnectionPool.from_url(
            url,
            socket_connect_timeout=1,
            socket_timeout=5,
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 3),
            retry_on_error=[Lost, Slow, OSError],  # OSError: a connection that is refused
        )
    except ValueError:  # its text may hold a piece of the password
        expected = "redis://user:password@host:port/0"
        raise Refused(text("ZHIKE_REDIS_URL cannot be understood; expected {expected}", expected=expected)) from None
    return ArqRedis(
        connections,
        # Never pickle: whoever may write to Redis could run code here.
        job_serializer=msgspec.msgpack.encode,
        job_deserializer=msgspec.msgpack.decode,
        default_queue_name=f"{_PREFIX}tickets",
    )


class ArqTransport(Announcer):
    """Wakes by tickets; which of several runners gets one does not matter, since all find the same work.

    Args:
        url: Redis's URL.

    Raises:
        Refused: As for `make_pool`.
    """

    def __init__(self, url: str) -> None:
        self._pool = make_pool(url)
        self._told_at = -QUIET_SECONDS
        super().__init__()

    async def listen(self, wake: Callable[[str], None]) -> None:
        """Take tickets and call `wake` with the topic of each, until cancelled; a worker that dies is replaced."""
        delay = BACK_OFF[0]
        while True:
            began = time.monotonic()
            for topic in TOPICS:  # their tickets may be lost
                wake(topic)
            worker = self._worker(wake)
            running = asyncio.create_task(worker.async_run())
            try:
                await asyncio.wait([running])
            finally:
                await _stop({running, *filter(None, [worker.main_task]), *worker.tasks.values()})
            if not running.cancelled() and (error := running.exception()):
                self._tell(error)
            delay = BACK_OFF[0] if time.monotonic() - began > QUIET_SECONDS else min(delay * 2, BACK_OFF[1])
            await asyncio.sleep(delay)

    async def close(self) -> None:
        """Send what was announced, for at most a second, and disconnect."""
        await super().close()
        await self._pool.aclose(close_connection_pool=True)

    async def _send(self, topics: set[str]) -> None:
        try:
            for topic in sorted(topics):
                await self._pool.enqueue_job(ticket.__name__, _job_id=_PREFIX + topic)
        except Exception as error:  # dropped: a lost ticket costs a tick
            self._tell(error)

    def _worker(self, wake: Callable[[str], None]) -> Worker:
        from arq.worker import Worker

        async def gone(ctx: dict[Any, Any]) -> None:
            # Only now can a new ticket of the topic be sent; before, an announcement would have been lost.
            wake(ctx["job_id"].removeprefix(_PREFIX))

        worker = Worker(
            [ticket],
            queue_name=self._pool.default_queue_name,
            redis_pool=self._pool,
            after_job_end=gone,
            handle_signals=False,
            max_jobs=100,
            poll_delay=0.02,
            keep_result=0,
            job_timeout=JOB_SECONDS,
            job_serializer=self._pool.job_serializer,
            job_deserializer=self._pool.job_deserializer,
            log_results=False,
        )
        # arq adds ten seconds, during which nobody could announce what a killed runner was about to take.
        worker.in_progress_timeout_s = JOB_SECONDS
        return worker

    def _tell(self, error: BaseException) -> None:
        if time.monotonic() - self._told_at >= QUIET_SECONDS:
            self._told_at = time.monotonic()
            _log.warning("Redis is out of reach (%s); work is found at the next tick", type(error).__name__)


async def _stop(tasks: set[asyncio.Task[Any]]) -> None:
    # Again and again: under load a call to Redis that is just answered keeps a single cancellation to itself.
    while unfinished := {each for each in tasks if not each.done()}:
        for each in unfinished:
            each.cancel()
        await asyncio.wait(unfinished, timeout=0.1)
    await asyncio.gather(*tasks, return_exceptions=True)
