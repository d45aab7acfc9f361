"""Guards for every test of the workspace: nothing may reach a network beyond this machine."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections to anything but loopback addresses and local sockets."""
    for name in ("connect", "connect_ex"):
        real = getattr(socket.socket, name)

        def guarded(self: socket.socket, address: Any, _real: Any = real) -> Any:
            if self.family in {socket.AF_INET, socket.AF_INET6}:
                host = address[0]
                loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
                assert loopback, f"a test tried to reach {address!r}; tests use this machine only"
            return _real(self, address)

        monkeypatch.setattr(socket.socket, name, guarded)
