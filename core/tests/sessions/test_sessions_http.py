"""Sessions over HTTP: who is logged in, for how long, in which browser, and what ends it."""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
from types import SimpleNamespace

import httpx
import msgspec
import pytest
from browsers import OPERATOR, PASSWORD, Browser, make_user

from zhike._host.web.app import Application, create_app
from zhike.access import user_changes
from zhike.access.schemas import UserChange
from zhike.api import API
from zhike.orm import Database
from zhike.platform import Platform
from zhike.settings import Settings
from zhike.testing.databases import QueryCounter
from zhike.testing.plugin import FrozenNow

NEW = "eleven violet umbrellas"


async def audited(database: Database, prefix: str) -> list[tuple[str, ...]]:
    query = "SELECT actor, action, object FROM audit WHERE action LIKE $1 ORDER BY id"
    async with database.connection() as connection:
        return [tuple(row) for row in await connection.fetch(query, f"{prefix}%")]


def forget(app: Application) -> None:
    """Stand for the five seconds after which a process looks at the database again."""
    app.services.sessions.forget()
    app.services.platform.directory.forget()


async def test_a_login_begins_a_session_and_a_logout_ends_it(browser: Browser, database: Database) -> None:
    answer = await browser.log_in(" Li.Na ")
    assert answer.status_code == 200
    token, who = browser.token, answer.json()
    assert who["name"] == "李娜"
    assert "tasks.write" in who["permissions"]
    shown = await browser.ask("GET", "/session")
    assert shown.json() == who
    assert await browser.status("GET", "/customers") == 200
    assert await browser.status("GET", "/users") == 403

    assert await browser.status("DELETE", "/session") == 200
    assert not list(browser.http.cookies.jar)
    browser.http.cookies.set("zhike", token)
    replayed = await browser.ask("GET", "/customers")

    assert (replayed.status_code, replayed.json()["code"]) == (401, "session_ended")
    user = f"user:{who['user_id']}"
    assert await audited(database, "session") == [
        (user, "session.create", "session:1"),
        (user, "session.end", "session:1"),
    ]


async def test_only_the_tokens_hash_is_stored(browser: Browser, database: Database) -> None:
    await browser.log_in()
    async with database.connection() as connection:
        stored = await connection.fetchval("SELECT hash FROM session")
        everything = await connection.fetchval("SELECT string_agg(s::text || a::text, '') FROM session s, audit a")
    assert len(browser.token) == 43
    assert stored == hashlib.sha256(browser.token.encode()).digest()
    assert browser.token not in everything
    assert PASSWORD not in everything


async def test_the_cookie_cannot_be_read_by_pages_nor_sent_by_others(browser: Browser) -> None:
    header = (await browser.log_in()).headers["set-cookie"]
    assert header == f"zhike={browser.token}; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax"


async def test_behind_tls_the_cookie_is_bound_to_the_host(
    settings: Settings, platform: Platform, database: Database, database_url: str
) -> None:
    await make_user(database)
    https = msgspec.structs.replace(settings, public_url="https://crm.example.com")
    application = create_app(https, database_url)
    async with application.services.serving(platform):
        browser = Browser(application, base="https://crm.example.com")
        answer = await browser.log_in()
        header = answer.headers["set-cookie"]
        assert header.startswith("__Host-zhike=")
        assert header.endswith("; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax; Secure")
        assert answer.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
        assert await browser.status() == 200
        token = browser.token
        browser.http.cookies.clear()
        browser.http.cookies.set("zhike", token)
        assert await browser.status() == 401


async def test_over_plain_http_no_browser_is_told_to_use_tls(browser: Browser) -> None:
    assert "strict-transport-security" not in (await browser.log_in()).headers


async def test_a_session_that_was_chosen_by_somebody_else_is_never_used(browser: Browser, database: Database) -> None:
    chosen = "a" * 43
    browser.http.cookies.set("zhike", chosen)
    answer = await browser.log_in()
    given = answer.headers["set-cookie"].partition("=")[2].partition(";")[0]
    assert given != chosen
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM session") == 1
    other = Browser(browser.app)
    other.http.cookies.set("zhike", chosen)
    assert await other.status() == 401


async def test_another_login_in_the_same_browser_ends_the_session_before(browser: Browser, app: Application) -> None:
    await browser.log_in()
    first = browser.token
    await browser.log_in()
    assert browser.token != first
    old = Browser(app)
    old.http.cookies.set("zhike", first)
    assert await old.status() == 401
    assert await browser.status() == 200


async def test_two_cookies_of_the_name_are_none(browser: Browser) -> None:
    await browser.log_in()
    both = f"zhike={browser.token}; zhike={'a' * 43}"
    browser.http.cookies.clear()
    assert await browser.status(headers={"cookie": both}) == 401
    assert await browser.status(headers={"cookie": both.partition("; ")[0]}) == 200


async def test_what_is_no_session_is_nobody(browser: Browser) -> None:
    for cookie in ("zhike=", "zhike=" + "ü" * 43, "zhike=" + "a" * 44, "other=1", "zhike", ";;=;"):
        assert await browser.status(headers={"cookie": cookie.encode("latin-1")}) == 401, cookie


async def test_a_session_that_is_not_used_ends(browser: Browser, app: Application, frozen_now: FrozenNow) -> None:
    await browser.log_in()
    for _ in range(3):
        frozen_now.advance(hours=7, minutes=59)
        forget(app)
        assert await browser.status() == 200
    frozen_now.advance(hours=8)
    assert await browser.status() == 401  # although it is cached
    forget(app)
    assert await browser.status() == 401


async def test_what_a_page_asks_for_by_itself_keeps_no_session_alive(
    browser: Browser, app: Application, frozen_now: FrozenNow
) -> None:
    await browser.log_in()
    for _ in range(2):
        frozen_now.advance(hours=3, minutes=50)
        forget(app)
        assert await browser.status(headers={"x-zhike-passive": "1"}) == 200
    assert await browser.status() == 200  # by hand, though the session is cached
    frozen_now.advance(hours=7)
    forget(app)
    assert await browser.status(headers={"x-zhike-passive": "1"}) == 200
    frozen_now.advance(hours=1)
    assert await browser.status(headers={"x-zhike-passive": "1"}) == 401


async def test_no_session_lasts_longer_than_seven_days(
    browser: Browser, app: Application, frozen_now: FrozenNow
) -> None:
    await browser.log_in()
    for _ in range(7 * 4 - 1):
        frozen_now.advance(hours=6)
        forget(app)
        assert await browser.status() == 200
    frozen_now.advance(hours=6)
    assert await browser.status() == 401


@pytest.mark.parametrize(
    "change",
    [UserChange(disabled=True), UserChange(password=NEW), UserChange(role="viewer")],
    ids=["disabled", "password", "role"],
)
async def test_a_session_ends_when_its_user_changes(
    browser: Browser, app: Application, database: Database, change: UserChange
) -> None:
    await browser.log_in()
    await user_changes.change(database, OPERATOR, "li.na", change)
    forget(app)
    assert await browser.status() == 401
    if change.disabled is True:
        await user_changes.change(database, OPERATOR, "li.na", UserChange(disabled=False))
        forget(app)
        assert await browser.status() == 401  # and does not begin again
        assert (await browser.log_in()).status_code == 200


async def test_a_change_of_the_name_ends_no_session(browser: Browser, app: Application, database: Database) -> None:
    await browser.log_in()
    await user_changes.change(database, OPERATOR, "li.na", UserChange(name="Li Na"))
    forget(app)
    assert (await browser.ask("GET", "/session")).json()["name"] == "Li Na"


async def test_a_disabled_user_cannot_log_in(browser: Browser, database: Database) -> None:
    await user_changes.disable(database, OPERATOR, "li.na")
    answer = await browser.log_in()
    assert (answer.status_code, answer.json()["code"]) == (401, "wrong_password")


async def test_a_login_while_the_user_is_being_disabled(browser: Browser, database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute("UPDATE app_user SET disabled_at = now()")
        logging_in = asyncio.create_task(browser.log_in(), context=contextvars.Context())
        done, _ = await asyncio.wait([logging_in], timeout=1)
        assert not done  # it waits for what becomes of the user
    assert (await logging_in).status_code == 401
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM session") == 0


async def test_sessions_in_other_browsers_are_seen_and_ended(browser: Browser, app: Application) -> None:
    other = Browser(app, "2001:db8::7")
    await browser.log_in()
    await other.log_in(headers={"user-agent": "Kiosk " + "x" * 1000})

    items = (await browser.ask("GET", "/sessions")).json()["items"]
    assert [(item["address"], item["current"]) for item in items] == [("2001:db8::7", False), ("203.0.113.7", True)]
    assert items[0]["agent"].startswith("Kiosk")
    assert len(items[0]["agent"]) == 200
    assert await browser.status("DELETE", f"/sessions/{items[0]['id']}") == 200

    assert await other.status() == 401
    assert await browser.status() == 200
    assert await browser.status("DELETE", f"/sessions/{items[0]['id']}") == 404


async def test_nobody_sees_or_ends_the_sessions_of_others(
    browser: Browser, app: Application, database: Database
) -> None:
    await make_user(database, "wang", name="王")
    wang = Browser(app)
    await browser.log_in()
    await wang.log_in("wang")
    (theirs,) = (await wang.ask("GET", "/sessions")).json()["items"]
    assert await browser.status("DELETE", f"/sessions/{theirs['id']}") == 404
    assert await wang.status() == 200
    assert len((await browser.ask("GET", "/sessions")).json()["items"]) == 1


async def test_an_administrator_ends_all_sessions_of_a_user(
    browser: Browser, database: Database, client: httpx.AsyncClient
) -> None:
    answer = await browser.log_in()
    user_id = answer.json()["user_id"]
    assert (await client.delete(f"{API}/users/{user_id + 1}/sessions")).status_code == 404
    assert (await client.delete(f"{API}/users/{user_id}/sessions")).status_code == 200
    assert await browser.status() == 401
    assert (await audited(database, "session"))[-1][0].startswith("token:")


async def test_one_changes_ones_own_password(browser: Browser, app: Application, database: Database) -> None:
    other = Browser(app)
    await browser.log_in()
    await other.log_in()
    before = browser.token, browser.csrf

    wrong = await browser.ask("POST", "/session/password", json={"old": NEW, "new": NEW})
    assert (wrong.status_code, wrong.json()["code"]) == (401, "wrong_password")
    weak = await browser.ask("POST", "/session/password", json={"old": PASSWORD, "new": "1234567890"})
    assert (weak.status_code, weak.json()["code"]) == (400, "password")
    changed = await browser.ask("POST", "/session/password", json={"old": PASSWORD, "new": NEW})

    assert changed.status_code == 200
    assert (browser.token, changed.json()["csrf_token"]) != before
    assert await browser.status() == 200
    assert await other.status() == 401
    assert (await Browser(app).log_in()).status_code == 401
    assert (await Browser(app).log_in(password=NEW)).status_code == 200
    assert [row[1] for row in await audited(database, "user.password")] == ["user.password"]


async def test_a_token_has_no_session(client: httpx.AsyncClient) -> None:
    for method, path in (("GET", "/session"), ("DELETE", "/session"), ("GET", "/sessions"), ("DELETE", "/sessions/1")):
        answer = await client.request(method, API + path)
        assert answer.status_code == 403, path
    changed = await client.post(f"{API}/session/password", json={"old": PASSWORD, "new": NEW})
    assert changed.status_code == 403


async def test_a_wrong_token_is_not_made_good_by_a_session(browser: Browser) -> None:
    await browser.log_in()
    assert await browser.status("GET", "/customers", headers={"authorization": "Bearer zk_" + "a" * 43}) == 401


async def test_a_process_asks_the_database_once_in_five_seconds(
    browser: Browser, query_counter: QueryCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    for module in ("directory", "sessions"):
        monkeypatch.setattr(f"zhike.access.{module}.time", SimpleNamespace(monotonic=lambda: now))
    await browser.log_in()
    await browser.status()
    query_counter.reset()
    for _ in range(20):
        assert await browser.status() == 200
    assert query_counter.count == 0
    now += 5.1
    assert await browser.status() == 200
    assert 1 <= query_counter.count <= 3


async def test_made_up_cookies_cannot_fill_the_memory(
    browser: Browser, app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zhike.access.sessions.CACHE_SIZE", 50)
    for number in range(120):
        assert await browser.status(headers={"cookie": f"zhike={number:043}"}) == 401
    assert len(app.services.sessions._known) <= 50


async def test_sessions_that_are_over_are_removed(browser: Browser, database: Database, frozen_now: FrozenNow) -> None:
    await browser.log_in()
    frozen_now.advance(hours=9)
    await Browser(browser.app).log_in()
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM session") == 1


async def test_no_session_without_its_audit_row(browser: Browser, database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("ALTER TABLE audit RENAME TO elsewhere")
    assert (await browser.log_in()).status_code == 500
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM session") == 0
