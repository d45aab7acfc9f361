"""The words of PostgreSQL's protocol 3.0 (its documentation: "Frontend/Backend Protocol") that the keeper needs."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from zhike_embedded.folder import DATABASE, ROLE

READY, ABSENT, STARTING, DOWN = "ready", "absent", "starting", "down"
_STATES = {
    b"3D000": ABSENT,  # no such database
    b"57P01": STARTING,  # being shut down
    b"57P02": STARTING,  # restarting after a crash
    b"57P03": STARTING,  # starting, recovering or stopping
}


class ServerError(Exception):
    """The server answered with an error.

    Args:
        code: Its SQLSTATE.
        message: Its message.
    """

    def __init__(self, code: bytes, message: str) -> None:
        super().__init__(message)
        self.code = code


def probe(path: Path | None, database: str = DATABASE) -> str:
    """Return READY, ABSENT (the database is still to be made), STARTING or DOWN for a socket's server.

    A server that refuses the session for another reason, such as too many connections, counts as ready.
    """
    if path is None:
        return DOWN
    try:
        with _session(path, database):
            return READY
    except ServerError as error:
        return _STATES.get(error.code, READY)
    except (TimeoutError, BlockingIOError, EOFError, ConnectionResetError, BrokenPipeError):
        return STARTING  # somebody listens but is too busy, or just ending
    except OSError:
        return DOWN


def execute(path: Path, statement: str, database: str) -> None:
    """Run one statement.

    Raises:
        ServerError: If it fails.
        OSError: If the server cannot be reached.
    """
    with _session(path, database) as session:
        session.sendall(_message(b"Q", statement.encode() + b"\0"))
        _until_ready(session)


def _session(path: Path, database: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(60)
        connection.connect(os.fsencode(path))
        names = b"".join(part.encode() + b"\0" for part in ("user", ROLE, "database", database))
        connection.sendall(_message(b"", struct.pack("!i", 3 << 16) + names + b"\0"))
        _until_ready(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def _until_ready(connection: socket.socket) -> None:
    for kind, body in _messages(connection):
        if kind == b"Z":
            return
        if kind == b"E":
            fields = {part[:1]: part[1:] for part in body.split(b"\0")}
            raise ServerError(fields.get(b"C", b""), fields.get(b"M", b"").decode(errors="replace"))
        if kind == b"R" and body != b"\0\0\0\0":
            raise ServerError(b"28000", "the server asks for a password")


def _messages(connection: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    with connection.makefile("rb") as stream:
        while True:
            head = stream.read(5)
            if len(head) < 5:
                raise EOFError
            yield head[:1], stream.read(struct.unpack("!i", head[1:])[0] - 4)
