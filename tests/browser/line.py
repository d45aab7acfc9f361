"""A line to the server that breaks while something is being sent."""

from __future__ import annotations

import contextlib
import socket
import threading
from urllib.parse import urlsplit


class Line:
    """Passes on whatever comes in; while it is `weak`, a connection breaks after so many bytes.

    Args:
        url: The server's address.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.weak: int | None = None
        """Bytes that a connection carries to the server, or None if any number."""
        self._server = (parts.hostname, parts.port)
        self._door = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._door.getsockname()[1]}"
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._door.close()

    def _listen(self) -> None:
        while True:
            try:
                near, _ = self._door.accept()
            except OSError:  # closed
                return
            far = socket.create_connection(self._server)
            for ends in ((near, far, True), (far, near, False)):
                threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket, sending: bool) -> None:
        carried = 0
        with contextlib.suppress(OSError):  # the other end has gone
            while piece := near.recv(16_384):
                carried += len(piece)
                if sending and self.weak is not None and carried > self.weak:
                    break
                far.sendall(piece)
        for end in (near, far):
            with contextlib.suppress(OSError):  # it has gone already
                end.shutdown(socket.SHUT_RDWR)
            end.close()
