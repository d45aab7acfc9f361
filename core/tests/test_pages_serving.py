"""Pages are served: logging in, forms, parts of pages, errors, static files, and who may see what."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import httpx
import pytest

from zhike.access import new_users
from zhike.access.actor import Actor
from zhike.platform import Platform
from zhike.testing.plugin import FrozenNow

PASSWORD = "correct horse battery"
Login = Callable[..., Awaitable[httpx.AsyncClient]]


@pytest.fixture
def page(anonymous: httpx.AsyncClient) -> httpx.AsyncClient:
    anonymous.headers["accept"] = "text/html"
    anonymous.headers["accept-language"] = "zh-CN"
    return anonymous


@pytest.fixture
async def user(platform: Platform) -> None:
    await new_users.create(platform.db, Actor.command("user"), login="li", name="李雷", role="admin", password=PASSWORD)


async def test_login_is_asked_for_and_leads_on(page: httpx.AsyncClient, user: None) -> None:
    asked = await page.get("/login?next=/tasks%3Fmine%3D1")
    assert asked.status_code == 200
    assert "登录" in asked.text
    assert "default-src 'none'; script-src 'self'" in asked.headers["content-security-policy"]
    body = {"login": "li", "password": "wrong", "next": "/tasks?mine=1"}
    wrong = await page.post("/login", data=body)
    assert wrong.status_code == 401
    assert 'value="li"' in wrong.text
    assert 'role="alert"' in wrong.text
    right = await page.post("/login", data={**body, "password": PASSWORD})
    assert (right.status_code, right.headers["location"]) == (303, "/tasks?mine=1")
    assert "zhike=" in right.headers["set-cookie"]
    again = await page.get("/login")
    assert (again.status_code, again.headers["location"]) == (303, "/")


@pytest.mark.parametrize("path", ["//evil.example", "/\\evil.example", "https://evil.example", "/a\nb", ""])
async def test_login_leads_to_no_other_server(page: httpx.AsyncClient, user: None, path: str) -> None:
    right = await page.post("/login", data={"login": "li", "password": PASSWORD, "next": path})
    assert (right.status_code, right.headers["location"]) == (303, "/")


async def test_a_part_of_a_page_and_a_dialog(page: httpx.AsyncClient, user: None) -> None:
    page.headers["hx-request-type"] = "partial"
    part = await page.get("/login")
    assert part.text.strip().startswith("<form")
    assert "<html" not in part.text
    form = {"login": "li", "password": PASSWORD, "dialog": "1"}
    done = await page.post("/login", data=form)
    assert done.status_code == 200
    assert re.search(r'"logged-in": {"csrf": "[0-9a-f]{128}"}', done.headers["hx-trigger"])


async def test_after_a_wrong_password_the_page_of_its_own_still_leads_on(page: httpx.AsyncClient, user: None) -> None:
    page.headers["hx-request-type"] = "partial"
    wrong = await page.post("/login", data={"login": "li", "password": "wrong", "next": "/tasks"})
    assert wrong.status_code == 401
    assert 'name="dialog"' not in wrong.text
    again = await page.post("/login", data={"login": "li", "password": "wrong", "dialog": "1"})
    assert 'name="dialog"' in again.text
    right = await page.post("/login", data={"login": "li", "password": PASSWORD, "next": "/tasks"})
    assert right.headers["hx-redirect"] == "/tasks"


async def test_whoever_has_to_wait_is_told_in_place_for_how_long_and_keeps_the_password_typed(
    page: httpx.AsyncClient, user: None, frozen_now: FrozenNow
) -> None:
    page.headers["hx-request-type"] = "partial"
    form = {"login": "li", "password": "wrong", "next": "/tasks"}
    answers = [await page.post("/login", data=form) for _ in range(7)]
    assert [answer.status_code for answer in answers] == [401] * 6 + [429]
    wrong, wait = answers[-2:]
    assert "hx-retarget" not in wrong.headers
    assert "hx-preserve" not in wrong.text
    assert wait.headers["hx-retarget"] == "#login"
    assert re.search(r'role="alert"[^>]*>登录尝试过多，请在 1 秒后重试<', wait.text)
    assert re.search(r'<input [^>]*id="login-password"[^>]* hx-preserve>', wait.text)


async def test_log_out_wants_what_the_page_gave(page: httpx.AsyncClient, user: None) -> None:
    await page.post("/login", data={"login": "li", "password": PASSWORD})
    refused = await page.post("/logout", data={"csrf_token": "00"})
    assert refused.status_code == 403
    token = (await page.get("/api/v1/session")).json()["csrf_token"]
    out = await page.post("/logout", data={"csrf_token": token})
    assert (out.status_code, out.headers["location"]) == (303, "/login")
    assert (await page.get("/api/v1/session")).status_code == 401


async def test_what_is_not_there_is_a_page_for_browsers_only(page: httpx.AsyncClient) -> None:
    absent = await page.get("/nowhere")
    assert (absent.status_code, absent.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "没有" in absent.text
    assert (await page.get("/api/v1/nowhere")).headers["content-type"] == "application/problem+json"


async def test_static_files_may_be_kept_while_they_are_the_same(page: httpx.AsyncClient) -> None:
    asked = await page.get("/login")
    address = re.search(r'href="(/static/default/[0-9a-f]{16}/zhike/base\.css)"', asked.text)
    assert address is not None
    file = await page.get(address[1])
    assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert file.headers["content-type"] == "text/css"
    other = await page.get(re.sub("[0-9a-f]{16}", "0" * 16, address[1]))
    assert other.headers["cache-control"] == "no-cache"
    for path in ("/static/default/0/..%2f__init__.py", "/static/default/0/nothing.css", "/static/x/0/a.css"):
        assert (await page.get(path)).status_code == 404
