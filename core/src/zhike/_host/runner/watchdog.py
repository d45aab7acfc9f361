"""Ends a process whose event loop is blocked: its supervisor starts another one, which knows what to leave out."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

BLOCKED = 70
"""Exit status of a process that ended itself."""
CHECKS = 20
STDERR = 2
_log = logging.getLogger("zhike.runner")


class Watchdog:
    """Watches the event loop of the thread it is made in, from a thread of its own.

    Code that never lets another thread run, such as a regular expression that goes astray, is caught by the
    interpreter's own timer, somewhat later; it writes the stack to standard error.

    Args:
        seconds: How long the loop may be blocked.
        owners: Plugins by the name of their module.
    """

    def __init__(self, seconds: float, owners: Mapping[str, str]) -> None:
        self._seconds = seconds
        self._owners = owners
        self._watched = threading.get_ident()
        self._ended = threading.Event()
        # Checks are counted, not seconds: while the whole process stands still nobody is to blame.
        self._missed = 0

    async def run(self) -> None:
        """Watch until cancelled."""
        thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        thread.start()
        try:
            while True:
                self._missed = 0
                faulthandler.dump_traceback_later(self._seconds * 1.5, exit=True, file=STDERR)
                await asyncio.sleep(self._seconds / CHECKS)
        finally:
            faulthandler.cancel_dump_traceback_later()
            self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(self._seconds / CHECKS):
            self._missed += 1
            if self._missed > CHECKS:
                places, plugin = self._where()
                _log.critical(
                    "blocked for %.0f s by %s in %s; the process ends", self._seconds, plugin or "the core", places
                )
                os._exit(BLOCKED)

    def _where(self) -> tuple[str, str | None]:
        """Return the places on the blocked stack, the innermost first, and the plugin whose code is there."""
        frame: FrameType | None = sys._current_frames().get(self._watched)
        places: list[str] = []
        plugin: str | None = None
        while frame is not None and len(places) < 20:
            module = frame.f_globals.get("__name__", "")
            plugin = plugin or self._owner(module)
            places.append(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}")
            frame = frame.f_back
        return " < ".join(places), plugin

    def _owner(self, module: str) -> str | None:
        while module and module not in self._owners:
            module = module.rpartition(".")[0]
        return self._owners.get(module)
