"""The names of everything that the embedded PostgreSQL keeps in one data folder."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

ROLE = "zhike"
DATABASE = "zhike"
PORT = 5432


class Folder:
    """One data folder.

    Args:
        data: The folder; it need not exist.
    """

    def __init__(self, data: Path) -> None:
        self.data = data.resolve()
        self.cluster = self.data / "postgres"
        self.clients_lock = self.data / "clients.lock"
        self.keeper_lock = self.data / "keeper.lock"
        self.serve_lock = self.data / "serve.lock"
        self.keeper_log = self.data / "keeper.log"
        self.server_log = self.data / "postgres.log"
        self.socket_record = self.data / "socket"
        self.postmaster_pid = self.cluster / "postmaster.pid"

    def has_cluster(self) -> bool:
        """Tell whether initdb has once finished here."""
        return (self.cluster / "PG_VERSION").exists()

    def postmaster(self) -> Postmaster | None:
        """Read what the postmaster last wrote about itself, or None."""
        try:
            lines = os.fsdecode(self.postmaster_pid.read_bytes()).split("\n")
            pid = int(lines[0])
        except (OSError, ValueError):  # absent, or just being written
            return None
        _, _, _, port, place, _, _, status, *_ = [*lines, *[""] * 8]
        socket = Path(place) / f".s.PGSQL.{port}" if place else None
        return Postmaster(pid, socket, ready=status.strip() == "ready")


class Postmaster:
    """What postmaster.pid tells (PostgreSQL: src/include/utils/pidfile.h).

    Args:
        pid: Its process id.
        socket: Its Unix socket, or None if it has none.
        ready: Whether it said that it takes connections.
    """

    def __init__(self, pid: int, socket: Path | None, *, ready: bool) -> None:
        self.pid = pid
        self.socket = socket
        self.ready = ready


def url(socket: Path) -> str:
    """Return the URL of the database behind `socket`.

    It names everything that a PG* variable of the environment would otherwise decide.
    """
    port = socket.name.rpartition(".")[2]
    host = quote(os.fsencode(socket.parent), safe="")
    return f"postgresql://{ROLE}@/{DATABASE}?host={host}&port={port}&sslmode=disable&target_session_attrs=any"
