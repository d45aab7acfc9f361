"""A real server on the sample company, and a real browser that notes whatever it complains about."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

try:
    from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
except ImportError:  # the tests are skipped, or fail under CI
    Page = Any  # type: ignore[misc,assignment]

CHROMIUM = shutil.which("chromium")
PATIENCE = 60_000
"""Milliseconds for whatever is waited for, once: a machine that does other things as well is slow."""
VIOLATIONS = """
window.violations = [];
document.addEventListener('securitypolicyviolation', (e) =>
  window.violations.push(`${e.effectiveDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`));
"""
_REFUSED = "Failed to load resource: the server responded with a status of "
"""What the console says of an answer that is noted as such: it may come later, when nobody expects it any more."""
BROKEN = """
from zhike.contracts import Panel
from zhike.hooks import hookimpl


async def load(call, customer_id):
    raise RuntimeError("not for people")


@hookimpl
def register_panels():
    what = {"template": "broken/none.html", "permission": "customers.read", "order": 900}
    return [Panel(key="broken.card", label="会员等级", load=load, **what)]
"""
"""A plugin in the hooks folder whose panel on the customer's page raises."""


@dataclass(frozen=True)
class Site:
    """A running server.

    Args:
        url: Its address.
        password: Of the user `admin`, and of the sample company's staff.
        token: With an admin's rights.
    """

    url: str
    password: str
    token: str


@dataclass
class Visit:
    """A browser window, and what was wrong in it.

    Args:
        page: The window.
        site: The server it looks at.
        complaints: Console errors, violations of the policy, requests to others, answers of 400 and above.
    """

    page: Page
    site: Site
    complaints: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Note what goes wrong from now on."""
        ours = (self.site.url, "data:", "blob:")

        def note(wrong: bool, what: str) -> None:
            if wrong:
                self.complaints.append(what)

        def wrong(said: Any) -> bool:
            return bool(said.type == "error") and not said.text.startswith(_REFUSED)

        self.page.on("console", lambda said: note(wrong(said), f"console: {said.text}"))
        self.page.on("pageerror", lambda error: note(True, f"script: {error}"))
        self.page.on("request", lambda request: note(not request.url.startswith(ours), f"request: {request.url}"))
        self.page.on("response", lambda answer: note(answer.status >= 400, f"{answer.status}: {answer.url}"))

    def go(self, path: str) -> None:
        """Open a page and wait until all its parts are there."""
        self.page.goto(self.site.url + path, wait_until="load")
        self.settle()

    def settle(self) -> None:
        """Wait until htmx has nothing under way."""
        expect(self.page.locator(".htmx-request, [aria-busy=true]")).to_have_count(0)

    def found(self) -> list[str]:
        """Return what was complained about, and forget it."""
        found = [*self.complaints, *self.page.evaluate("window.violations.splice(0)")]
        self.complaints.clear()
        return found

    def check(self, *refused: int) -> None:
        """Fail with what was complained about.

        Args:
            refused: Statuses of answers that are part of the story.
        """
        found = self.found()
        for status in refused:
            told = [each for each in found if each.startswith(f"{status}: ")]
            assert told, f"nothing was answered with {status}"
            found = [each for each in found if each not in told]
        assert not found, found

    def log_in(self, login: str, password: str) -> None:
        """Fill in the form for logging in that is shown, with the keyboard."""
        self.page.fill("[name=login]", login)
        self.page.fill("[name=password]", password)
        self.page.press("[name=password]", "Enter")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server on the sample company, as `zhike demo` starts it."""
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("there is no chromium on this machine")
        pytest.skip("there is no chromium on this machine")
    data = tmp_path_factory.mktemp("site") / "data"
    (data / "hooks").mkdir(parents=True)
    (data / "hooks" / "broken.py").write_text(BROKEN, encoding="utf-8")
    command = [Path(sys.executable).with_name("zhike"), "demo", "--data", data, "--port", "0", "--size", "300"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ZHIKE_", "PG"))}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**environment, "ZHIKE_DEV": "1"}) as process:
        try:
            said = ""
            assert process.stdout is not None
            for line in process.stdout:
                said += line
                if ready := re.match(r"ready (http://\S+)", line):
                    break
            else:
                pytest.fail(f"the server did not start: {said}")
            password = re.search(r"password\s+(\S+)", said)
            assert password, said
            token = re.search(r"token\s+(\S+)", said)
            assert token, said
            yield Site(ready[1], password[1], token[1])
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium."""
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield opened
        opened.close()


class Visits:
    """Opens windows; whoever has logged in once stays so."""

    def __init__(self, browser: Browser, site: Site, known: dict[str, Any]) -> None:
        self._browser = browser
        self._site = site
        self._known = known
        self._open: list[BrowserContext] = []

    def __call__(
        self, login: str = "admin", *, locale: str = "zh-CN", dark: bool = False, width: int = 1440, url: str = ""
    ) -> Visit:
        context = self._browser.new_context(
            viewport={"width": width, "height": 900},
            locale=locale,
            timezone_id="Asia/Shanghai",
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            storage_state=self._known.get(login),
        )
        context.set_default_timeout(PATIENCE)
        context.add_init_script(VIOLATIONS)
        self._open.append(context)
        visit = Visit(context.new_page(), replace(self._site, url=url) if url else self._site)
        visit.watch()
        if login and login not in self._known:
            visit.page.goto(visit.site.url + "/login")
            visit.log_in(login, visit.site.password)
            visit.page.wait_for_url(visit.site.url + "/")
            self._known[login] = context.storage_state()
        return visit

    def close(self) -> None:
        """Close all windows."""
        for context in self._open:
            context.close()


@pytest.fixture(scope="session")
def logins() -> dict[str, Any]:
    """The cookies of those who have logged in."""
    return {}


@pytest.fixture(scope="module")
def visits(browser: Browser, site: Site, logins: dict[str, Any]) -> Iterator[Visits]:
    """Opens windows that are closed after the module."""
    opened = Visits(browser, site, logins)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def api(site: Site) -> Iterator[httpx.Client]:
    """Calls the API with an admin's rights."""
    headers = {"authorization": f"Bearer {site.token}", "accept-language": "en"}
    with httpx.Client(base_url=f"{site.url}/api/v1", headers=headers, timeout=30) as client:
        yield client


@pytest.fixture
def visit(visits: Visits) -> Visit:
    """The admin's window, in English, so that buttons are found by the texts that the sources name."""
    return visits(locale="en-US")
