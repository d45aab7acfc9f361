"""arq on a Redis of its own: the rate of jobs that do nothing, with the worker tuned for it."""

from __future__ import annotations

import asyncio
import shutil
import time
import uuid
from pathlib import Path
from typing import Any

import msgspec
from arq.connections import ArqRedis
from arq.constants import default_queue_name, job_key_prefix
from arq.jobs import serialize_job
from arq.worker import Worker
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

READY_SECONDS = 10
KEPT_MS = 3_600_000
SIDE_BY_SIDE = 100  # jobs; with 500 and 1000 arq is no faster
PIPELINE = 1000


class RedisServer:
    """A redis-server that stores nothing on disk.

    Args:
        folder: An existing empty folder; its path is short enough for a socket.
    """

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "redis.sock"
        self._server: asyncio.subprocess.Process | None = None

    @staticmethod
    def program() -> str | None:
        """Return the path of the installed redis-server, or None."""
        return shutil.which("redis-server")

    async def start(self) -> ArqRedis:
        """Start it and return connections to it."""
        options = ("--port", "0", "--unixsocket", str(self._socket), "--save", "", "--appendonly", "no")
        quiet = asyncio.subprocess.DEVNULL
        self._server = await asyncio.create_subprocess_exec(
            self.program() or "redis-server", *options, stdin=quiet, stdout=quiet, stderr=quiet
        )
        pool = ConnectionPool.from_url(f"unix://{self._socket}", retry_on_error=[OSError])
        redis = ArqRedis(pool, job_serializer=msgspec.msgpack.encode, job_deserializer=msgspec.msgpack.decode)
        until = time.monotonic() + READY_SECONDS
        while True:
            try:
                await redis.ping()
                return redis
            except (RedisError, OSError):
                if self._server.returncode is not None or time.monotonic() > until:
                    raise
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Stop it, if it runs, and wait for its end."""
        if self._server is not None:
            self._server.terminate()
            await self._server.wait()
            self._server = None


async def nothing(ctx: dict[Any, Any], *_args: Any, **_options: Any) -> None:
    """Be the job."""


async def noop_rate(redis: ArqRedis, count: int) -> float:
    """Let one arq worker do `count` jobs that are in the queue already, and return jobs per second."""
    await _enqueue(redis, count)
    worker = Worker(
        [nothing],
        redis_pool=redis,
        burst=True,
        max_jobs=SIDE_BY_SIDE,
        poll_delay=0.01,
        keep_result=0,
        job_timeout=5,
        handle_signals=False,
        log_results=False,
        job_serializer=redis.job_serializer,
        job_deserializer=redis.job_deserializer,
    )
    begun = time.perf_counter()
    await worker.async_run()
    seconds = time.perf_counter() - begun
    assert worker.jobs_complete == count
    assert await redis.zcard(default_queue_name) == 0
    return count / seconds


async def _enqueue(redis: ArqRedis, count: int) -> None:
    """Put jobs into the queue in arq's own format, many at a time, which arq itself cannot."""
    now = int(time.time() * 1000)
    job = serialize_job(nothing.__name__, (), {}, None, now, serializer=redis.job_serializer)
    for start in range(0, count, PIPELINE):
        ids = [uuid.uuid4().hex for _ in range(min(PIPELINE, count - start))]
        async with redis.pipeline(transaction=False) as pipe:
            for each in ids:
                pipe.psetex(job_key_prefix + each, KEPT_MS, job)
            pipe.zadd(default_queue_name, dict.fromkeys(ids, now))
            await pipe.execute()
