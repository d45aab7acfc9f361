"""A bare PostgreSQL: initdb and postgres started from given binaries, with no keeper around them."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import asyncpg

INITDB = ("-k", "-A", "trust", "-U", "postgres", "-E", "UTF8")
_BUILTIN_LOCALE = ("--locale-provider=builtin", "--locale=C.UTF-8")
_NOBODY = 65534


class BareCluster:
    """A data folder and the server on it.

    Args:
        binaries: The folder that holds `initdb` and `postgres`.
        folder: An existing empty folder; its path is short enough for a socket.
    """

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries = binaries
        self._folder = folder
        self._prefix, self._user = _unprivileged(folder)
        self._server: subprocess.Popen[bytes] | None = None

    def initdb(self) -> float:
        """Make the data folder and return the seconds it took."""
        command = [*self._prefix, str(self._binaries / "initdb"), "-D", str(self._folder / "data"), *INITDB]
        if _major(self._binaries) >= 17:
            command += _BUILTIN_LOCALE
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, user=self._user, cwd=self._folder)
        return time.perf_counter() - begun

    async def start(self) -> float:
        """Start the server and return the seconds until it answered a query."""
        begun = time.perf_counter()
        options = ("-c", "listen_addresses=", "-k", str(self._folder))
        self._server = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs while a start is timed
            [*self._prefix, str(self._binaries / "postgres"), "-D", str(self._folder / "data"), *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=self._user,
            cwd=self._folder,
        )
        while True:
            try:
                connection = await asyncpg.connect(host=str(self._folder), user="postgres", database="postgres")
                break
            except (OSError, asyncpg.PostgresError):
                if self._server.poll() is not None:
                    raise RuntimeError(f"postgres ended with status {self._server.returncode}") from None
                await asyncio.sleep(0.005)
        await connection.fetchval("SELECT 1")
        seconds = time.perf_counter() - begun
        await connection.close()
        return seconds

    def stop(self) -> None:
        """Stop the server, if it runs, and wait for its end."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            self._server.wait(60)
            self._server = None


def _unprivileged(folder: Path) -> tuple[list[str], int | None]:
    """Return the command prefix and the uid that let a root start PostgreSQL, which refuses root."""
    if os.geteuid() != 0:
        return [], None
    namespace = ["unshare", "--user", f"--map-user={_NOBODY}", f"--map-group={_NOBODY}"]
    if (
        shutil.which("unshare")
        and subprocess.run([*namespace, "true"], check=False, capture_output=True).returncode == 0
    ):
        return namespace, None
    os.chown(folder, _NOBODY, _NOBODY)
    return [], _NOBODY


def _major(binaries: Path) -> int:
    shown = subprocess.run([binaries / "postgres", "--version"], check=True, capture_output=True, text=True).stdout
    return int(shown.split()[2].split(".")[0])
