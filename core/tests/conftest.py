"""Fixtures of the core's own tests: the web application on a real database, and clients with tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from zhike.settings import Settings

if TYPE_CHECKING:
    # Imported where they are used: most tests need no web application.
    import httpx

    from zhike._host.web.app import Application

MakeToken = Callable[..., Awaitable[str]]


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    """The settings of an installation on the test's own database; texts are in English."""
    return Settings(data=tmp_path, database_url=database_url, locale="en", pool_size=4)


@pytest_asyncio.fixture
async def app(settings: Settings, database_url: str) -> AsyncIterator[Application]:
    """The web application, started."""
    from zhike._host.web.app import create_app

    application = create_app(settings, database_url)
    async with application.services.running():
        yield application


@pytest.fixture
def make_token(app: Application) -> MakeToken:
    """Makes a token with a role, `await make_token("viewer")`, and returns its secret."""

    from zhike.access import tokens
    from zhike.access.actor import Actor

    async def make(role: str, *, expires_at: datetime | None = None) -> str:
        _, secret = await tokens.create(app.services.db, Actor.command("test"), role, role, expires_at=expires_at)
        return secret

    return make


@pytest_asyncio.fixture
async def anonymous(app: Application) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a token."""
    import httpx

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://zhike") as opened:
        yield opened


@pytest_asyncio.fixture
async def client(anonymous: httpx.AsyncClient, make_token: MakeToken) -> httpx.AsyncClient:
    """A client with an admin's token."""
    anonymous.headers["authorization"] = f"Bearer {await make_token('admin')}"
    return anonymous
