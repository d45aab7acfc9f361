"""People who have logged in and look at pages, in a test."""

from __future__ import annotations

import html
import re
from contextlib import AsyncExitStack
from itertools import count
from typing import TYPE_CHECKING

import httpx

from zhike.access import new_users, sessions
from zhike.access.actor import Actor
from zhike.access.cookies import csrf_token
from zhike.api import Browser

if TYPE_CHECKING:
    from zhike._host.web.app import Application

PASSWORD = "correct horse battery"  # noqa: S105  # of users who exist in tests only
_PAGER = re.compile(r'<nav class="zk-pager.*?</nav>', re.DOTALL)
_STEP = re.compile(r'<a [^>]*?href="([^"]*)"[^>]*>(?:<svg.*?</svg>)?(\w[\w ]*)', re.DOTALL)


class Visitor(httpx.AsyncClient):
    """The browser of somebody who has logged in.

    Attributes:
        user_id: Who it is.
    """

    user_id: int = 0

    async def part(self, path: str) -> httpx.Response:
        """Ask for a part of a page, as htmx does."""
        return await self.get(path, headers={"hx-request-type": "partial"})

    async def walk(self, path: str, row: str, step: str = "Next") -> list[tuple[str, list[str]]]:
        """Go through a list by the links below it, and return the address and the rows of each page.

        Args:
            path: Address of the first page that is looked at.
            row: Regular expression of what names a row; its group.
            step: What the link says, in English.
        """
        pages: list[tuple[str, list[str]]] = []
        while path and len(pages) < 100:
            answer = await self.part(path)
            assert answer.status_code == 200, answer.text  # noqa: S101  # in a test
            body = answer.text[answer.text.find("<tbody>") : answer.text.find("</tbody>")]
            pages.append((path, list(dict.fromkeys(re.findall(row, body)))))
            links = {said: html.unescape(href) for href, said in _STEP.findall("".join(_PAGER.findall(answer.text)))}
            path = links.get(step, "")
        return pages


class Visits:
    """Makes users and logs them in.

    Args:
        app: The web application.
        stack: Closes the browsers.
    """

    def __init__(self, app: Application, stack: AsyncExitStack) -> None:
        self._app = app
        self._stack = stack
        self._numbers = count(1)

    async def __call__(
        self, role: str = "admin", *, team_id: int | None = None, language: str = "en", name: str = ""
    ) -> Visitor:
        """Return the browser of a new user, which sends `X-CSRF-Token` along.

        Args:
            role: The user's role.
            team_id: The user's team.
            language: What the browser prefers.
            name: The user's name.
        """
        db = self._app.services.db
        login = f"{role}{next(self._numbers)}"
        operator = Actor.command("user")
        user = await new_users.create(
            db, operator, login=login, name=name or login, role=role, password=PASSWORD, team_id=team_id
        )
        browser = Browser(address="127.0.0.1", agent="test", secure=False, token=None)
        async with db.transaction() as connection:
            _, token = await sessions.begin(connection, self._app.services.sessions, user.id, browser)
        visitor = Visitor(
            transport=httpx.ASGITransport(self._app),  # type: ignore[arg-type]  # two descriptions of ASGI
            base_url="http://zhike",
            cookies={"zhike": token},
            headers={"accept": "text/html", "accept-language": language, "x-csrf-token": csrf_token(token)},
        )
        visitor.user_id = user.id
        return await self._stack.enter_async_context(visitor)
