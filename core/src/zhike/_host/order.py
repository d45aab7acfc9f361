"""What the supervisor tells its processes, and how they tell it to start another one."""

from __future__ import annotations

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


def _path(type_: type[Any], value: object) -> object:
    return Path(str(value)) if issubclass(type_, Path) else value
