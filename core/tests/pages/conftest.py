"""What tests of pages share: neither statements nor panels depend on how fast they run."""

from __future__ import annotations

import pytest

from zhike.hooks import BUDGETS

KEPT = (
    "access.directory.CACHE_SECONDS",
    "access.sessions.CACHE_SECONDS",
    "calendar.service.CACHE_SECONDS",
    "config.service.FRESH",
    "customers.fields.FRESH",
    "ui.people.CACHE_SECONDS",
    "vault.store.FRESH",
)
"""For how long a process keeps what it has read."""


@pytest.fixture(autouse=True)
def _kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read once is not read again after five seconds, which may pass before any page of a slow machine."""
    for name in KEPT:
        monkeypatch.setattr(f"zhike.{name}", 3600.0)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stands still for two seconds does not end a panel, nor what plugins say of their health."""
    monkeypatch.setitem(BUDGETS, "provide", 60.0)
