"""What the supervisor tells its processes, and how they tell it to start another one."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from zhike.settings import Settings

RESTART = 75
"""Exit status of a process that has finished its work and wants to be started again, with other plugins."""


class Order(msgspec.Struct, frozen=True):
    """What a process needs to know; it comes as one line on its standard input.

    Args:
        settings: The deployment's settings.
        url: The database's URL.
    """

    settings: Settings
    url: str

    def encode(self) -> bytes:
        """Return the order as one line."""
        return msgspec.json.encode(self, enc_hook=str) + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Order:
        """Return the order written in a line."""
        return msgspec.json.decode(line, type=cls, dec_hook=_path)


def receive() -> Order | None:
    """Wait for the supervisor's order; None if it has died before it gave one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the supervisor as well, which stops us in order
    line = sys.stdin.buffer.readline()
    return Order.decode(line) if line else None


def when_orphaned(stop: Callable[[], object]) -> None:
    """Call `stop` in the running event loop, once, when the pipe that the order came through is closed.

    Nothing else comes through it: the supervisor has told the process to end, or has died, even by kill -9.
    """
    loop = asyncio.get_running_loop()
    pipe = sys.stdin.fileno()

    def closed() -> None:
        loop.remove_reader(pipe)  # it stays readable, and the process may have work to finish
        stop()

    loop.add_reader(pipe, closed)


def _path(type_: type[Any], value: object) -> object:
    return Path(str(value)) if issubclass(type_, Path) else value
