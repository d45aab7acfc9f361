"""Fixtures of the tests of logins."""

from __future__ import annotations

import pytest
from browsers import Browser, make_user

from zhike._host.web.app import Application
from zhike.access import passwords
from zhike.orm import Database


@pytest.fixture(autouse=True)
def _quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that cost little, but where they are what is tested."""
    if not request.path.stem.endswith("passwords"):
        from argon2 import PasswordHasher

        monkeypatch.setattr(passwords, "_hasher", lambda: PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))


@pytest.fixture
async def browser(app: Application, database: Database) -> Browser:
    """A browser in which nobody has logged in yet; there is the user li.na."""
    await make_user(database)
    return Browser(app)
