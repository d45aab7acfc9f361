"""What is at hand for everybody who has logged in: notices, saved views, their own profile."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from browsers import OPERATOR, Browser, make_user

from zhike import clock
from zhike.access import teams
from zhike.access.schemas import UserChange
from zhike.access.user_changes import change as change_user
from zhike.desk import notices
from zhike.i18n import text
from zhike.work import begin

if TYPE_CHECKING:
    from zhike.platform import Platform

GIVEN = text("There is no saved view {id}", id=7)


async def notify(platform: Platform, *users: int, key: str | None = None, mode: Any = "live") -> None:
    async with begin(platform, origin="system", mode=mode) as work:
        await notices.notify(work, users, GIVEN, kind="view.gone", path="/views", key=key)


async def logged_in(browser: Browser, login: str) -> Browser:
    another = Browser(browser.app)
    assert (await another.log_in(login)).status_code == 200
    return another


async def unread(browser: Browser) -> int:
    number: int = (await browser.ask("GET", "/notices/unread")).json()["unread"]
    return number


async def test_notices_are_told_read_and_forgotten(browser, platform, database, monkeypatch):
    await browser.log_in()
    other = await make_user(database, "wang.wei")
    me = (await browser.ask("GET", "/profile")).json()["id"]
    for key in ("a", "a", "b", None, None):
        await notify(platform, me, key=key)
    await notify(platform, me, other.id, 999, mode="backfill")  # what is imported tells nobody
    assert await unread(browser) == 4
    first = (await browser.ask("GET", "/notices?limit=3", headers={"accept-language": "zh-CN"})).json()
    assert first["items"][0]["text"] == "没有已保存的视图 7"
    assert {**first["items"][0], "id": 0, "text": "", "created_at": ""} == {
        **{"id": 0, "kind": "view.gone", "text": "", "path": "/views", "created_at": "", "read_at": None}
    }
    rest = (await browser.ask("GET", f"/notices?limit=3&cursor={first['next']}")).json()
    assert (len(rest["items"]), rest["next"]) == (1, None)
    assert rest["items"][0]["text"] == "There is no saved view 7"
    theirs = await logged_in(browser, "wang.wei")
    # Nobody reads another's.
    ids = [each["id"] for each in first["items"]]
    assert (await theirs.ask("POST", "/notices/read", json={"ids": ids})).json() == {"unread": 0}
    assert (await browser.ask("POST", "/notices/read", json={"ids": ids[:1]})).json() == {"unread": 3}
    assert len((await browser.ask("GET", "/notices?unread=true")).json()["items"]) == 3
    assert (await browser.ask("POST", "/notices/read", json={})).json() == {"unread": 0}
    await notify(platform, me, key="a")  # was read, and is not told again
    assert await unread(browser) == 0
    later = clock.now() + timedelta(days=91)
    monkeypatch.setattr(notices, "_CHUNK", 3)
    async with begin(platform, origin="system", now=later) as work:
        await notices.clean([None], work)  # type: ignore[list-item]  # a cause that is not looked at
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM notice") == 1
        # The rest goes with the next piece.
        assert await connection.fetchval("SELECT count(*) FROM job WHERE name = 'desk.clean_notices'") == 1


async def test_users_who_are_disabled_are_told_nothing(platform, database):
    gone = await make_user(database, "gone")
    await change_user(database, OPERATOR, gone.id, UserChange(disabled=True))
    await notify(platform, gone.id)
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM notice") == 0
        assert await notices.holders(connection, "plugins.manage") == []
    boss = await make_user(database, "boss", role="admin")
    async with database.connection() as connection:
        assert await notices.holders(connection, "plugins.manage") == [boss.id]


async def save(browser: Browser, name: str = "Mine", **more: Any) -> dict[str, Any]:
    answer = await browser.ask("POST", "/views", json={"page": "customers", "name": name, "query": {"q": name}, **more})
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def names(browser: Browser, page: str = "customers") -> list[str]:
    return [each["name"] for each in (await browser.ask("GET", f"/views?page={page}")).json()["items"]]


async def test_views_are_saved_changed_and_deleted(browser):
    await browser.log_in()
    made = await save(browser, is_default=True)
    assert (made["query"], made["shared"], made["own"], made["version"]) == ({"q": "Mine"}, "me", True, 1)
    second = await save(browser, "Other", is_default=True)
    listed = (await browser.ask("GET", "/views?page=customers")).json()["items"]
    assert [(each["name"], each["is_default"]) for each in listed] == [("Mine", False), ("Other", True)]
    assert await names(browser, "tasks") == []
    path = f"/views/{made['id']}"
    answer = await browser.ask("PATCH", path, json={"name": "Renamed", "is_default": True, "version": 1})
    assert (answer.json()["name"], answer.json()["version"], answer.json()["query"]) == ("Renamed", 2, {"q": "Mine"})
    for said, status, code in [
        ({"name": "x", "version": 1}, 409, "version"),
        ({"name": "Other", "version": 2}, 409, "name"),
        ({"name": " ", "version": 2}, 400, "bad_request"),
        ({"query": {"q": "\0"}, "version": 2}, 400, "bad_request"),
        ({"shared": "all", "version": 2}, 403, "forbidden"),
        ({"version": 2, "page": "tasks"}, 400, "bad_request"),
    ]:
        answer = await browser.ask("PATCH", path, json=said)
        assert (answer.status_code, answer.json()["code"]) == (status, code), said
    assert (await browser.ask("POST", "/views", json={"page": "../x", "name": "a", "query": {}})).status_code == 400
    assert await browser.status("DELETE", f"/views/{second['id']}") == 200
    assert await browser.status("DELETE", f"/views/{second['id']}") == 404
    assert await names(browser) == ["Renamed"]


async def test_of_views_saved_at_once_one_is_the_default(browser):
    await browser.log_in()
    await asyncio.gather(*(save(browser, f"View {n}", is_default=True) for n in range(8)))
    listed = (await browser.ask("GET", "/views?page=customers")).json()["items"]
    assert sorted(each["is_default"] for each in listed) == [False] * 7 + [True]


async def test_views_are_shared_with_a_team_or_all(browser, platform, database):
    east = (await teams.create(database, OPERATOR, teams.NewTeam("East", None))).id
    below = (await teams.create(database, OPERATOR, teams.NewTeam("Shanghai", east))).id
    people = {"boss": ("manager", east), "agent": ("agent", below), "other": ("agent", None), "root": ("admin", None)}
    seats = {}
    for login, (role, team) in people.items():
        made = await make_user(database, login, role)
        await change_user(database, OPERATOR, made.id, UserChange(team_id=team), directory=platform.directory)
        seats[login] = await logged_in(browser, login)
    private, teams_ = await save(seats["boss"], "private"), await save(seats["boss"], "team", shared="team")
    everybodys = await save(seats["boss"], "all", shared="all", is_default=True)
    await save(seats["agent"], "below", shared="team")
    assert {login: await names(seat) for login, seat in seats.items()} == {
        "boss": ["all", "private", "team"],
        "agent": ["below", "all", "team"],
        "other": ["all"],
        "root": ["all"],
    }
    seen = (await seats["other"].ask("GET", "/views?page=customers")).json()["items"][0]
    assert (seen["own"], seen["is_default"]) == (False, False)  # the default is the owner's
    for view in (private, teams_, everybodys):
        answer = await seats["agent"].ask("PATCH", f"/views/{view['id']}", json={"name": "x", "version": 1})
        assert answer.status_code == 404
    assert await seats["agent"].status("DELETE", f"/views/{everybodys['id']}") == 404
    assert await seats["root"].status("DELETE", f"/views/{everybodys['id']}") == 200


async def test_ones_own_profile(browser, platform, database):
    await browser.log_in()
    shown = (await browser.ask("GET", "/profile")).json()
    assert {**shown, "id": 0} == {
        **{"id": 0, "login": "li.na", "name": "李娜", "role": "agent", "team_id": None, "team": None},
        **{"locale": None, "zone": None, "theme": "auto", "preferences": {}},
    }
    said = {"locale": "zh_CN", "zone": "Asia/Urumqi", "theme": "dark", "preferences": {"customers": {"columns": ["a"]}}}
    assert (await browser.ask("PATCH", "/profile", json=said)).json() == shown | said
    # From now on texts are in the language that was chosen, whatever the browser prefers.
    answer = await browser.ask("GET", "/customers/fields", headers={"accept-language": "en"})
    assert answer.json()["items"][1]["label"] == "姓名"
    actor = await platform.directory.user(shown["id"])
    assert (actor.locale, actor.zone) == ("zh_CN", "Asia/Urumqi")
    answer = await browser.ask("PATCH", "/profile", json={"preferences": {"customers": None, "b": 1}, "locale": None})
    assert (answer.json()["preferences"], answer.json()["locale"], answer.json()["theme"]) == ({"b": 1}, None, "dark")
    for wrong in (
        {"zone": "Mars/Base"},
        {"locale": "de"},
        {"theme": "pink"},
        {"name": "x"},
        {"preferences": {"a": "x" * 20_000}},
        {"preferences": {"a": "\0"}},
    ):
        assert await browser.status("PATCH", "/profile", json=wrong) == 400, wrong
    async with database.connection() as connection:
        audited = await connection.fetch("SELECT details->>'fields' FROM audit WHERE action = 'user.profile'")
    assert [row[0] for row in audited] == [
        '["locale", "zone", "theme", "preferences"]',
        '["locale", "preferences"]',
    ]
    assert await browser.status() == 200  # the session goes on


@pytest.mark.parametrize("path", ["/notices", "/views?page=customers", "/profile"])
async def test_a_token_has_none_of_it(client, path):
    assert (await client.get(f"/api/v1{path}")).status_code == 403
