"""A raw HTTP client in a process of its own, fast enough not to be what is measured.

It reads one `Run` a line from standard input and answers one `Result` a line. Requests are made before
its clock starts.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, cast

import msgspec

from zhike_limits.events import Load, bodies


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement.

    Args:
        port: The server's port on the loopback.
        connections: Connections that send by turns, each one request at a time.
        token: The bearer token, or None to send none.
        path: The path batches are posted to.
        load: The batches to post, one a request.
        paths: Paths to get instead, one a request.
    """

    port: int
    connections: int
    token: str | None = None
    path: str = "/"
    load: Load | None = None
    paths: list[str] = []


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What one run gave.

    Args:
        seconds: From the first byte sent to the last answer.
        requests: Answers read.
        accepted: Events the answers call accepted.
        duplicate: Events they call duplicate.
        size: Bytes of the answers' bodies.
        failure: The first answer that was not a 2xx, as text, or None.
    """

    seconds: float
    requests: int
    accepted: int = 0
    duplicate: int = 0
    size: int = 0
    failure: str | None = None


class Client:
    """The client process, seen from the bench."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def run(self, run: Run) -> Result:
        """Do one run.

        Raises:
            RuntimeError: If an answer was not a 2xx.
        """
        if self._process is None:
            pipe = asyncio.subprocess.PIPE
            command = (sys.executable, "-m", "zhike_bench.client")
            self._process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(run) + b"\n")
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the client process ended with status {await self._process.wait()}")
        result = msgspec.json.decode(line, type=Result)
        if result.failure:
            raise RuntimeError(f"the server answered: {result.failure}")
        return result

    async def close(self) -> None:
        """End the process."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            await self._process.wait()


class _Connection(asyncio.Protocol):
    """One keep-alive connection: sends a request, reads the answer, takes the next."""

    def __init__(self, requests: Iterator[bytes], answers: list[bytes], done: asyncio.Future[None]) -> None:
        self._requests = requests
        self._answers = answers
        self._done = done
        self._buffer = b""
        self._expected = 0  # length of the answer being read, 0 while its head is incomplete
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclasses

    def next(self) -> None:
        assert self._transport is not None
        request = next(self._requests, None)
        if request is None:
            self._finish()
        else:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if not self._expected:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            self._expected = end + 4 + _length(self._buffer[:end].lower())
        if len(self._buffer) < self._expected:
            return
        self._answers.append(self._buffer)
        failed = self._buffer[9:10] != b"2"
        self._buffer, self._expected = b"", 0
        if failed:
            self._finish()
        else:
            self.next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(ConnectionError(f"the server closed the connection: {exc}"))

    def _finish(self) -> None:
        assert self._transport is not None
        if not self._done.done():
            self._done.set_result(None)
        self._transport.close()


def _length(head: bytes) -> int:
    marker = b"\r\ncontent-length:"
    start = head.find(marker)
    if start < 0:
        raise ValueError(f"an answer without content-length: {head!r}")
    return int(head[start + len(marker) :].split(b"\r\n", 1)[0])


def _requests(run: Run) -> list[bytes]:
    authorization = f"authorization: Bearer {run.token}\r\n" if run.token else ""
    common = f"host: 127.0.0.1:{run.port}\r\n{authorization}accept: application/json\r\n"
    if run.load is None:
        return [f"GET {path} HTTP/1.1\r\n{common}\r\n".encode() for path in run.paths]
    head = f"POST {run.path} HTTP/1.1\r\n{common}content-type: application/json\r\ncontent-length: "
    return [f"{head}{len(body)}\r\n\r\n".encode() + body for body in bodies(run.load)]


async def _do(run: Run) -> Result:
    loop = asyncio.get_running_loop()
    requests = _requests(run)
    queue = iter(requests)
    answers: list[bytes] = []
    ends: list[asyncio.Future[None]] = [loop.create_future() for _ in range(run.connections)]
    opened = [
        await loop.create_connection(partial(_Connection, queue, answers, end), "127.0.0.1", run.port) for end in ends
    ]
    begun = time.perf_counter()
    for _, connection in opened:
        connection.next()
    await asyncio.gather(*ends)
    seconds = time.perf_counter() - begun
    failure = next((answer for answer in answers if answer[9:10] != b"2"), None)
    return _result(seconds, answers, failure)


def _result(seconds: float, answers: list[bytes], failure: bytes | None) -> Result:
    if failure is not None:
        return Result(seconds=seconds, requests=len(answers), failure=failure[:1000].decode(errors="replace"))
    bodies = [answer.split(b"\r\n\r\n", 1)[1] for answer in answers]
    counted: list[dict[str, Any]] = [msgspec.json.decode(body) for body in bodies if body[:11] == b'{"accepted"']
    return Result(
        seconds=seconds,
        requests=len(answers),
        accepted=sum(answer["accepted"] for answer in counted),
        duplicate=sum(answer.get("duplicate", 0) for answer in counted),
        size=sum(map(len, bodies)),
    )


def main() -> None:
    """Serve runs until standard input ends."""
    import uvloop

    for line in sys.stdin.buffer:
        run = msgspec.json.decode(line, type=Run)
        try:
            result = uvloop.run(_do(run))
        except Exception as error:  # the bench gets every failure as text
            result = Result(seconds=0, requests=0, failure=f"{type(error).__name__}: {error}")
        sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
