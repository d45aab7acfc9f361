"""Servers under measurement: each a process of its own that prints `ready` when it can be asked."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import psutil

ZHIKE = (sys.executable, "-c", "from zhike._host.cli.main import main; main()")
BARE = (sys.executable, "-m", "zhike_limits.asgi")
READY_SECONDS = 60


class Server(msgspec.Struct, frozen=True):
    """A running server.

    Args:
        port: Its port on the loopback.
        pid: The process that was started.
    """

    port: int
    pid: int

    def web(self) -> psutil.Process:
        """Return the process that listens on the port: the one started, or a child of it."""
        started = psutil.Process(self.pid)
        for process in (*started.children(recursive=True), started):
            if any(one.laddr and one.laddr.port == self.port for one in process.net_connections("tcp")):
                return process
        raise RuntimeError(f"nobody below process {self.pid} listens on port {self.port}")


@asynccontextmanager
async def serving(*command: str) -> AsyncIterator[Server]:
    """Run a server until the block ends; `--port N` is put behind the command.

    Raises:
        RuntimeError: If it ends before it prints `ready`.
    """
    port = free_port()
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            "--port",
            str(port),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env=clean_environment(),
        )
        try:
            await asyncio.wait_for(_ready(process), READY_SECONDS)
            yield Server(port, process.pid)
        except Exception as error:
            log.seek(0)
            error.add_note(f"The server wrote: {log.read()[-2000:].decode(errors='replace')}")
            raise
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


def zhike(data: Path, *arguments: str) -> tuple[str, ...]:
    """Return the command line of a `zhike` command on a data folder."""
    return (*ZHIKE, *arguments, "--data", str(data))


async def run(*command: str) -> str:
    """Run a command to its end and return what it printed.

    Raises:
        RuntimeError: If its exit status is not 0; the message ends with what it wrote to standard error.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=clean_environment(),
    )
    printed, errors = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command[3:])} ended with status {process.returncode}: {errors.decode()[-2000:]}")
    return printed.decode()


async def first_success(url: str) -> None:
    """Ask `url` until it answers 2xx, for at most a minute."""
    until = time.monotonic() + READY_SECONDS
    while not await asyncio.to_thread(_succeeds, url):
        if time.monotonic() > until:
            raise RuntimeError(f"{url} did not answer 2xx within {READY_SECONDS} s")
        await asyncio.sleep(0.005)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def clean_environment() -> dict[str, str]:
    """Return the environment without ZHIKE_* variables: no run can touch the user's data."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ZHIKE_")}


async def _ready(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    while not (line := await process.stdout.readline()).startswith(b"ready "):
        if not line:
            raise RuntimeError(f"the server ended with status {await process.wait()} before it was ready")


def _succeeds(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            status: int = answer.status
            return 200 <= status < 300
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
