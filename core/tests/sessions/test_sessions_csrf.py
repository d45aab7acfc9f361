"""Requests that pages of other sites have a browser send."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import msgspec
import pytest
from browsers import PASSWORD, Browser, make_user

from zhike._host.web.app import Application, create_app
from zhike.access.cookies import check_csrf, csrf_token
from zhike.errors import Forbidden
from zhike.orm import Database
from zhike.platform import Platform
from zhike.settings import Settings

COUNT = {"condition": {"type": "all", "of": []}}
CROSS = [
    {"origin": "https://evil.example"},
    {"origin": "http://zhike.evil.example"},
    {"origin": "http://zhike:81"},
    {"origin": "https://zhike"},
    {"origin": "null"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "none"},
    {"origin": "http://zhike", "sec-fetch-site": "cross-site"},
]


async def test_what_changes_something_needs_the_sessions_own_token(browser: Browser, app: Application) -> None:
    await browser.log_in()
    old = browser.csrf
    stranger = Browser(app)
    await stranger.log_in()
    await browser.log_in()
    for wrong in ("", old, stranger.csrf, browser.csrf[:-1], browser.csrf + "0", "ü" * 64, browser.token):
        answer = await browser.ask("DELETE", "/session", csrf=wrong.encode("latin-1"))
        assert (answer.status_code, answer.json()["code"]) == (403, "csrf"), wrong
    assert await browser.status() == 200
    assert await browser.status("DELETE", "/session") == 200


async def test_every_route_that_changes_something_asks_for_it(browser: Browser, app: Application) -> None:
    await browser.log_in()
    checked = 0
    for _, route in app.services.platform.registry.routes:
        if route.method == "GET" or not isinstance(route.permission, str):
            continue
        path = re.sub("{.*?}", "1", route.path)
        answer = await browser.ask(route.method, path, csrf="", json={})
        assert (answer.status_code, answer.json()["code"]) == (403, "csrf"), path
        checked += 1
    assert checked > 20


async def test_pages_of_others_log_nobody_in(browser: Browser) -> None:
    for headers in CROSS:
        answer = await browser.log_in(headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "cross_site"), headers
        assert "set-cookie" not in answer.headers


async def test_pages_of_others_change_nothing(browser: Browser) -> None:
    await browser.log_in()
    for headers in CROSS:
        answer = await browser.ask("DELETE", "/session", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "cross_site"), headers
    assert await browser.status() == 200


async def test_a_program_that_names_no_page_logs_in(browser: Browser) -> None:
    del browser.http.headers["origin"]
    assert (await browser.log_in()).status_code == 200
    assert await browser.status("DELETE", "/session") == 200


async def test_a_form_of_another_site_cannot_send_what_a_login_takes(browser: Browser) -> None:
    for type_ in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        body = f'{{"login": "li.na", "password": "{PASSWORD}"}}'
        answer = await browser.http.post("/api/v1/session", content=body, headers={"content-type": type_})
        assert answer.status_code == 415


async def test_requests_with_a_token_need_none_of_it(
    browser: Browser, make_token: Callable[..., Awaitable[str]]
) -> None:
    await browser.log_in()
    headers = {"authorization": f"Bearer {await make_token('admin')}", "origin": "https://evil.example"}
    assert await browser.status("POST", "/conditions/count", csrf="", headers=headers, json=COUNT) == 200


async def test_a_forged_host_header_lets_nobody_in(
    settings: Settings, platform: Platform, database: Database, database_url: str
) -> None:
    await make_user(database)
    known = msgspec.structs.replace(settings, public_url="http://zhike")
    application = create_app(known, database_url)
    async with application.services.serving(platform):
        browser = Browser(application)
        forged = {"host": "evil.example", "origin": "http://evil.example"}
        assert (await browser.log_in(headers=forged)).status_code == 403
        assert (await browser.log_in(headers={"host": "10.0.0.7:8000"})).status_code == 200
        assert "evil" not in str((await browser.ask("GET", "/session", headers={"host": "evil.example"})).headers)


async def test_no_other_site_may_read_an_answer(browser: Browser) -> None:
    await browser.log_in()
    headers = {"origin": "https://evil.example", "access-control-request-method": "GET"}
    for method in ("GET", "OPTIONS"):
        answer = await browser.ask(method, "/session", headers=headers)
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


async def test_what_is_refused_is_logged_with_who_and_why(browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    await browser.log_in()
    await browser.status("DELETE", "/session", csrf="")
    await browser.status("GET", "/tokens")
    told = [record.getMessage() for record in caplog.records if record.name == "zhike.web"]
    assert told == ["user:1 was refused DELETE /session: csrf", "user:1 was refused GET /tokens: forbidden"]


def test_forms_check_the_same_token() -> None:
    check_csrf("a" * 43, csrf_token("a" * 43))
    with pytest.raises(Forbidden):
        check_csrf("a" * 43, csrf_token("b" * 43))
