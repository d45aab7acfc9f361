"""For every test of the workspace: nothing may reach a network beyond this machine; which tests need a database."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of a run on another PostgreSQL server."""
    what = "only the tests that have a database of the run's server, and the heavy ones"
    parser.addoption("--needs-database", action="store_true", help=what)


def pytest_configure(config: pytest.Config) -> None:
    """Let no example of Hypothesis fail because the machine was busy, with whatever else the profile in use says."""
    from hypothesis import HealthCheck, settings

    slow = {*settings.default.suppress_health_check, HealthCheck.too_slow}
    settings.register_profile("zhike", parent=settings.default, deadline=None, suppress_health_check=list(slow))
    settings.load_profile("zhike")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--needs-database`, leave out what is the same whichever server the run has, but keep the heavy tests."""
    if not config.getoption("needs_database"):
        return
    kept, left = [], []
    for item in items:
        needed = "database_server" in getattr(item, "fixturenames", ()) or item.get_closest_marker("heavy")
        (kept if needed else left).append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = kept


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
