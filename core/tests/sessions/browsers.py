"""Browsers of people who log in, for the tests of sessions."""

from __future__ import annotations

from typing import Any

import httpx

from zhike._host.web.app import Application
from zhike.access import new_users
from zhike.access.actor import Actor
from zhike.access.schemas import User
from zhike.api import API
from zhike.orm import Database

PASSWORD = "seven green kettles"
OPERATOR = Actor.command("test")


class Browser:
    """A browser: it keeps cookies, names the page a request is sent for, and adds the CSRF token once it has one.

    Args:
        app: What it talks to.
        address: Where it is.
        base: Under which address it knows the installation.
    """

    def __init__(self, app: Application, address: str = "203.0.113.7", base: str = "http://zhike") -> None:
        transport = httpx.ASGITransport(app, client=(address, 1234))  # type: ignore[arg-type]  # two kinds of ASGI
        self.app = app
        self.http = httpx.AsyncClient(transport=transport, base_url=base, headers={"origin": base})
        self.csrf = ""

    @property
    def token(self) -> str:
        """The session's token, which no page can read."""
        return next(iter(self.http.cookies.jar)).value or ""

    async def log_in(self, login: str = "li.na", password: str = PASSWORD, **options: Any) -> httpx.Response:
        """Log in, and note the CSRF token."""
        credentials = {"login": login, "password": password}
        answer = await self.http.post(f"{API}/session", json=credentials, **options)
        if answer.status_code == 200:
            self.csrf = answer.json()["csrf_token"]
        return answer

    async def ask(self, method: str, path: str, *, csrf: str | bytes | None = None, **options: Any) -> httpx.Response:
        """Send a request as our own pages do."""
        headers = {"x-csrf-token": self.csrf if csrf is None else csrf, **options.pop("headers", {})}
        return await self.http.request(method, API + path, headers=headers, **options)

    async def status(self, method: str = "GET", path: str = "/session", **options: Any) -> int:
        """Return the status of the answer to a request."""
        return (await self.ask(method, path, **options)).status_code


async def make_user(database: Database, login: str = "li.na", role: str = "agent", name: str = "李娜") -> User:
    """Make a user whose password is `PASSWORD`."""
    return await new_users.create(database, OPERATOR, login=login, name=name, role=role, password=PASSWORD)
