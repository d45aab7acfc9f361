"""What the import registers: its command."""

from __future__ import annotations

from collections.abc import Sequence

from zhike.contracts import Command
from zhike.hooks import hookimpl

CLAIMS = ("import",)


@hookimpl
def register_commands() -> Sequence[Command]:
    """Register `zhike import`."""
    return [Command(name="import", target="zhike_imports.command:import_", summary="Bring a file of events in.")]
