"""What stands around every page: the navigation a role may use, errors, and sessions that have ended."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from zhike.testing.visiting import PASSWORD

if TYPE_CHECKING:
    import httpx

    from zhike._host.web.app import Application
    from zhike.testing.visiting import Visits

STAMPS = '''
"""Stamps, for the test."""

from zhike.contracts import NavItem, PageRoute
from zhike.errors import BadRequest
from zhike.hooks import hookimpl
from zhike.i18n import text


async def show(call):
    return await call.render("stamps/list.html", fragment="content", said="<script>alert(1)</script>")


async def fail(call):
    raise ZeroDivisionError("secret")


async def refuse(call):
    raise BadRequest(text("Stamps are out"))


async def give(call):
    return call.redirect("/stamps/list", toast=text("Given to {name}", name=call.field("name")))


@hookimpl
def register_pages():
    page = {"permission": "customers.read"}
    return [
        PageRoute(path="/stamps/list", handler=show, **page),
        PageRoute(path="/stamps/list/b", handler=show, **page),
        PageRoute(path="/stamps/list/b/below", handler=show, **page),
        PageRoute(path="/stamps/managed", handler=show, permission="jobs.manage"),
        PageRoute(path="/stamps/fail", handler=fail, **page),
        PageRoute(path="/stamps/refuse", handler=refuse, **page),
        PageRoute(method="POST", path="/stamps/give", handler=give, permission="customers.write"),
    ]


@hookimpl
def register_nav_items():
    return [
        NavItem(key="stamps.list", label="Stamp list", icon="x", path="/stamps/list", permission="customers.read"),
        NavItem(key="stamps.all", label="Managed", icon="x", path="/stamps/managed", permission="jobs.manage"),
        NavItem(key="stamps.a", label="First tab", icon="x", path="/stamps/fail", under="Family", order=201),
        NavItem(key="stamps.b", label="Second tab", icon="x", path="/stamps/list/b", under="Family", order=202),
    ]
'''
PAGE = (
    '{% extends "base.html" %}{% block title %}Stamps{% endblock %}'
    "{% block content %}<p id=said>{{ said }}</p>{% endblock %}"
)


@pytest.fixture(scope="session")
def hooks_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hooks")
    (folder / "stamps.py").write_text(STAMPS, encoding="utf-8")
    (folder / "templates" / "stamps").mkdir(parents=True)
    (folder / "templates" / "stamps" / "list.html").write_text(PAGE, encoding="utf-8")
    return folder


async def test_a_page_stands_in_the_frame_and_its_part_alone(visit: Visits) -> None:
    admin = await visit("admin")
    page = await admin.get("/stamps/list")
    assert page.status_code == 200
    assert "<p id=said>&lt;script&gt;alert(1)&lt;/script&gt;</p>" in page.text
    assert 'href="/stamps/list" class="active"' in page.text
    assert "Stamps · Zhike</title>" in page.text
    part = await admin.part("/stamps/list")
    assert part.text == "<p id=said>&lt;script&gt;alert(1)&lt;/script&gt;</p>"
    assert "HX-Request-Type" in page.headers["vary"]


async def test_what_a_role_may_not_do_is_not_shown_and_refused(visit: Visits, anonymous: httpx.AsyncClient) -> None:
    viewer = await visit("viewer")
    page = await viewer.get("/stamps/list")
    assert "Stamp list" in page.text
    assert "Managed" not in page.text
    refused = await viewer.get("/stamps/managed")
    assert refused.status_code == 403
    assert "Ask an administrator" in refused.text
    assert (await viewer.post("/stamps/give", data={"name": "x"})).status_code == 403
    assert (await anonymous.get("/stamps/managed", headers={"accept": "text/html"})).status_code == 303


async def test_entries_under_one_word_are_one_entry_and_tabs_of_their_own_pages(visit: Visits) -> None:
    viewer = await visit("viewer")
    page = (await viewer.get("/stamps/list/b")).text
    assert page.count("<span>Family</span>") == 1
    assert 'href="/stamps/fail" class="active" aria-current="page"' in page
    assert '<a href="/stamps/fail">First tab</a><a href="/stamps/list/b" aria-current="page">Second tab</a>' in page
    below = (await viewer.get("/stamps/list/b/below")).text
    assert 'href="/stamps/fail" class="active"' in below
    assert "Second tab" not in below


async def test_a_text_waits_for_the_next_page_and_is_said_once(visit: Visits) -> None:
    agent = await visit("agent")
    done = await agent.post("/stamps/give", data={"name": "韩<b>"})
    assert (done.status_code, done.headers["location"]) == (303, "/stamps/list")
    assert "Given to 韩&lt;b&gt;" in (await agent.get("/stamps/list")).text
    assert "Given to" not in (await agent.get("/stamps/list")).text


async def test_a_text_that_waits_is_bound_to_the_host_over_tls_and_said_by_nobody_else(
    visit: Visits, app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await visit("agent")
    https = msgspec.structs.replace(app.services.settings, public_url="https://crm.example.com")
    monkeypatch.setattr(app.services, "settings", https)
    session = f"__Host-zhike={agent.cookies['zhike']}"
    agent.cookies.clear()
    done = await agent.post("/stamps/give", data={"name": "Ann"}, headers={"cookie": session})
    said, _, flags = done.headers["set-cookie"].partition("; ")
    assert said.startswith("__Host-zhike-toast=")
    assert flags == "Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure"
    for cookies, shown in ((said, True), (said.removeprefix("__Host-"), False), (f"{said}; {said}", False)):
        page = await agent.get("/stamps/list", headers={"cookie": f"{session}; {cookies}"})
        assert page.status_code == 200
        assert ("Given to Ann" in page.text) is shown, cookies


async def test_passwords_are_typed_unseen_with_or_without_a_manager(
    visit: Visits, anonymous: httpx.AsyncClient
) -> None:
    login = (await anonymous.get("/login", headers={"accept": "text/html"})).text
    assert re.findall(r'name="password" type="password" autocomplete="([^"]*)"', login) == ["current-password"]
    agent = await visit("agent")
    assert re.findall(r'type="password" id="[^"]*" name="([^"]*)" value=""', (await agent.get("/profile")).text) == [
        *("old", "new", "again")
    ]
    typed = {"old": "not mine", "new": "Kx7 tulip quarry", "again": "another one"}
    refused = await agent.post("/profile/password", data=typed)
    assert refused.status_code == 422
    assert not [each for each in typed.values() if each in refused.text]


async def test_htmx_is_told_where_to_go(visit: Visits) -> None:
    agent = await visit("agent")
    done = await agent.post("/stamps/give", data={"name": "x"}, headers={"hx-request-type": "partial"})
    assert (done.status_code, done.headers["hx-redirect"], done.text) == (200, "/stamps/list", "")


async def test_errors_are_pages_and_leave_a_page_as_it_is_when_a_part_was_asked_for(visit: Visits) -> None:
    admin = await visit("admin")
    broken = await admin.get("/stamps/fail")
    assert broken.status_code == 500
    assert "secret" not in broken.text
    refused = await admin.get("/stamps/refuse")
    assert (refused.status_code, "Stamps are out" in refused.text) == (400, True)
    part = await admin.part("/stamps/refuse")
    assert (part.status_code, part.text, part.headers["hx-reswap"]) == (400, "", "none")
    assert json.loads(part.headers["hx-trigger"])["toast"]["text"] == "Stamps are out"


async def test_a_session_that_has_ended_leads_to_the_login_or_opens_it_over_the_page(
    visit: Visits, app: Application
) -> None:
    agent = await visit("agent")
    async with app.services.db.transaction() as connection:
        await connection.execute("DELETE FROM session")
    app.services.sessions.forget()
    page = await agent.get("/stamps/list?a=1&b=%E5%AE%A2")
    assert page.status_code == 303
    assert page.headers["location"] == "/login?next=%2Fstamps%2Flist%3Fa%3D1%26b%3D%25E5%25AE%25A2"
    part = await agent.post("/stamps/give", data={"name": "typed"}, headers={"hx-request-type": "partial"})
    assert (part.status_code, part.headers["hx-reswap"]) == (401, "none")
    assert "login" in json.loads(part.headers["hx-trigger"])


async def test_a_form_of_somebody_else_is_refused(visit: Visits) -> None:
    agent = await visit("agent")
    for headers in ({"x-csrf-token": "00"}, {"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert (await agent.post("/stamps/give", data={"name": "x"}, headers=headers)).status_code == 403


async def test_a_page_opened_before_the_last_login_asks_for_it_and_not_for_a_header(visit: Visits) -> None:
    agent = await visit("agent")
    earlier = {"x-csrf-token": "00"}
    part = await agent.post("/stamps/give", data={"name": "x"}, headers={**earlier, "hx-request-type": "partial"})
    assert (part.status_code, part.headers["hx-reswap"]) == (403, "none")
    told = "This page was opened before you last logged in"
    assert json.loads(part.headers["hx-trigger"])["login"]["text"] == told
    page = await agent.post("/stamps/give", data={"name": "x"}, headers=earlier)
    assert told in page.text
    assert "Go back, reload that page" in page.text
    assert "Ask an administrator" not in page.text


async def test_a_browser_without_javascript_is_told_so(visit: Visits) -> None:
    page = await (await visit("agent")).get("/stamps/list")
    assert re.search("<noscript>.*need JavaScript.*</noscript>", page.text)


async def test_who_logs_in_goes_on_where_they_were_for_as_long_as_the_settings_say(
    anonymous: httpx.AsyncClient, visit: Visits
) -> None:
    admin = await visit("admin", name="Anna")
    saved = await admin.patch("/api/v1/settings/security", json={"values": {"session_lifetime": 7200}, "version": 0})
    assert saved.status_code == 200, saved.text
    wanted = "/stamps/list?b=1%262&c=a%2Bb"
    away = await anonymous.get(wanted, headers={"accept": "text/html"})
    form = await anonymous.get(away.headers["location"], headers={"accept": "text/html"})
    [path] = re.findall(r'name="next" value="([^"]*)"', form.text)
    given = {"next": html.unescape(path), "login": "admin1", "password": PASSWORD}
    done = await anonymous.post("/login", data=given, headers={"accept": "text/html", "origin": "http://zhike"})
    assert (done.status_code, done.headers["location"]) == (303, wanted)
    assert "Max-Age=7200;" in done.headers["set-cookie"]
