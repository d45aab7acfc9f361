"""One's own things: the profile, the password, sessions, notices, and what runs in the background."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from zhike.desk import notices, progress
from zhike.i18n import text
from zhike.testing.visiting import PASSWORD
from zhike.work import begin

if TYPE_CHECKING:
    from zhike.platform import Platform
    from zhike.testing.databases import QueryCounter
    from zhike.testing.visiting import Visitor, Visits

NEW = "battery staple correct"


async def tell(
    platform: Platform, user_id: int, said: str, path: str = "/tasks/1", kind: str = "task.assigned"
) -> None:
    async with platform.db.transaction() as connection:
        await notices.post(connection, [user_id], text("{said}", said=said), kind=kind, path=path)


async def run(platform: Platform, user_id: int, label: str = "Import", *, total: int | None = 100) -> int:
    """Begin something in the background, as far as one can see."""
    actor = await platform.directory.user(user_id)
    assert actor is not None
    async with begin(platform, origin=actor.origin) as work:
        progress_id = await progress.begin(work, actor, text("{label}", label=label), kind="test", total=total)
        await progress.advance(work, progress_id, done=40, failed=2)
    return progress_id


async def end(platform: Platform, progress_id: int, **how: str) -> None:
    async with begin(platform, origin="system") as work:
        await progress.finish(work, progress_id, **how)  # type: ignore[arg-type]  # states and paths


async def test_language_zone_and_colours_are_chosen_and_hold(visit: Visits) -> None:
    agent = await visit("agent", name="<script>x")
    page = await agent.get("/profile")
    assert "&lt;script&gt;x" in page.text
    assert 'data-theme="auto"' in page.text
    saved = await agent.post("/profile", data={"locale": "zh_CN", "zone": "America/New_York", "theme": "dark"})
    assert (saved.status_code, saved.headers["location"]) == (303, "/profile")
    page = await agent.get("/profile")
    assert 'data-theme="dark"' in page.text
    assert '<html lang="zh-CN"' in page.text
    assert '<option value="America/New_York" selected>' in page.text
    assert (await agent.post("/profile", data={"locale": "", "zone": "", "theme": "auto"})).status_code == 303
    assert '<html lang="en"' in (await agent.get("/profile")).text


async def test_what_does_not_fit_is_said_beside_its_field(visit: Visits) -> None:
    agent = await visit("agent")
    for field, value in (("zone", "Mars/Base"), ("theme", "pink"), ("locale", "fr"), ("zone", "x" * 101)):
        wrong = await agent.post("/profile", data={"locale": "", "zone": "", "theme": "dark", field: value})
        assert (wrong.status_code, f'id="f-{field}-error"' in wrong.text) == (422, True), value
    assert 'data-theme="auto"' in (await agent.get("/profile")).text
    found = (await agent.get("/search/pick?kind=zone&q=new york")).json()["items"]
    assert [each["value"] for each in found] == ["America/New_York"]


async def test_colleagues_are_picked_by_their_pinyin_and_its_initials(visit: Visits) -> None:
    agent = await visit("agent", name="顾青禾")
    await visit("agent", name="Lin 强")
    for typed, names in {
        "guqing": ["顾青禾"],
        "gqh": ["顾青禾"],
        "青": ["顾青禾"],
        "lin": ["Lin 强"],
        "qiang": ["Lin 强"],
        "gx": [],
    }.items():
        found = (await agent.get(f"/search/pick?kind=user&q={typed}")).json()["items"]
        assert [each["label"] for each in found] == names, typed


async def test_the_language_is_changed_from_any_page_and_one_stays_there(visit: Visits) -> None:
    agent = await visit("agent")
    came = {"referer": "http://zhike/customers?kind=person"}
    changed = await agent.post("/profile/language", data={"locale": "zh_CN"}, headers=came)
    assert (changed.status_code, changed.headers["location"]) == (303, "/customers?kind=person")
    assert '<html lang="zh-CN"' in (await agent.get("/customers")).text
    for elsewhere in ("http://evil.example//evil.example/x", "nonsense", ""):
        there = await agent.post("/profile/language", data={"locale": "en"}, headers={"referer": elsewhere})
        assert there.headers["location"] == "/"
    assert (await agent.post("/profile/language", data={"locale": "fr"})).status_code == 400


async def test_the_own_password_is_changed_and_other_sessions_end(visit: Visits) -> None:
    agent = await visit("agent")
    body = {"login": "agent1", "password": PASSWORD}
    assert (await agent.post("/profile/password", data={})).status_code == 422
    for old, new, again, field in (
        ("wrong", NEW, NEW, "old"),
        (PASSWORD, "short", "short", "new"),
        (PASSWORD, NEW, "other", "again"),
    ):
        wrong = await agent.post("/profile/password", data={"old": old, "new": new, "again": again})
        assert (wrong.status_code, f'id="f-{field}-error"' in wrong.text) == (422, True)
        assert not {old, new, again} & set(re.findall(r'value="([^"]*)"', wrong.text))
    before = {"cookie": f"zhike={agent.cookies['zhike']}"}
    agent.cookies.clear()
    passwords = {"old": PASSWORD, "new": NEW, "again": NEW}
    changed = await agent.post("/profile/password", data=passwords, headers=before)
    assert changed.status_code == 303
    after = {"cookie": re.findall(r"zhike=[^;]+", changed.headers["set-cookie"])[0]}
    agent.cookies.clear()
    assert (await agent.get("/profile", headers=after)).status_code == 200
    assert (await agent.get("/profile", headers=before)).status_code == 303
    agent.cookies.clear()
    assert (await agent.post("/login", data=body)).status_code == 401


async def test_own_sessions_are_listed_and_end(visit: Visits) -> None:
    agent = await visit("agent")
    page = await agent.get("/profile")
    assert "This browser" in page.text
    assert "/profile/sessions/" not in page.text
    before = agent.cookies["zhike"]
    await agent.post(
        "/login",
        data={"login": "agent1", "password": PASSWORD},
        headers={"cookie": "", "user-agent": "Firefox/1 Windows"},
    )
    here = {"cookie": f"zhike={before}"}
    agent.cookies.clear()
    page = await agent.get("/profile", headers=here)
    assert "Firefox · Windows" in page.text
    [path] = re.findall(r"/profile/sessions/\d+/end", page.text)
    assert (await agent.post(path, headers=here)).status_code == 303
    assert (await agent.post(path, headers=here)).status_code == 404
    assert (await agent.post("/profile/sessions/end", headers=here)).status_code == 303
    assert (await agent.get("/profile", headers=here)).status_code == 200
    other = await visit("agent")
    assert (await other.post("/profile/sessions/1/end")).status_code == 404  # somebody else's


async def test_notices_are_counted_shown_and_read(visit: Visits, platform: Platform) -> None:
    agent, other = await visit("agent"), await visit("agent")
    assert (await agent.part("/notices/count")).text.strip() == ""
    assert "No notices yet" in (await agent.get("/notices")).text
    for said in ("<script>alert(1)</script>", "second", "third"):
        await tell(platform, agent.user_id, said)
    assert '<span class="zk-dot">3' in (await agent.part("/notices/count")).text
    bell = (await agent.part("/notices/bell")).text
    assert "&lt;script&gt;" in bell
    assert "<script>" not in bell
    first = re.findall(r"/notices/\d+", (await agent.get("/notices")).text)[0]
    assert (await other.get(first)).status_code == 404
    followed = await agent.get(first)
    assert (followed.status_code, followed.headers["location"]) == (303, "/tasks/1")
    unread = (await agent.get("/notices?unread=true")).text
    assert "third" not in unread
    assert "second" in unread
    rest = await agent.post("/notices/read", headers={"hx-request-type": "partial"})
    assert "zk:notices" in rest.headers["hx-trigger"]
    assert (await agent.part("/notices/count")).text.strip() == ""
    assert "Everything is read" in (await agent.get("/notices?unread=true")).text
    assert (await agent.post("/notices/read", data={"id": "x"})).status_code == 400
    assert (await agent.get("/notices/987654")).status_code == 404


async def test_background_work_is_shown_followed_and_stopped(visit: Visits, platform: Platform) -> None:
    agent, other, manager = await visit("agent"), await visit("agent"), await visit("manager")
    assert "Nothing has run" in (await agent.get("/progress")).text
    number = await run(platform, agent.user_id, "<script>alert(1)</script>")
    page = await agent.get(f"/progress/{number}")
    assert "40 / 100" in page.text
    assert "<script>alert" not in page.text
    assert "Stop" in page.text
    part = (await agent.part(f"/progress/{number}")).text.strip()
    assert part.startswith(f'<div class="zk-stack" id="progress-{number}" hx-get="/progress/{number}"')
    assert (await other.get(f"/progress/{number}")).status_code == 404
    assert (await other.get("/progress?whose=all")).status_code == 403
    assert f"/progress/{number}" in (await manager.get("/progress?whose=all")).text
    assert f"/progress/{number}/cancel" not in (await manager.get(f"/progress/{number}")).text
    assert (await manager.post(f"/progress/{number}/cancel")).status_code == 404
    stopping = await agent.post(f"/progress/{number}/cancel", headers={"hx-request-type": "partial"})
    assert "Stopping" in stopping.text
    await end(platform, number, state="cancelled")
    assert "hx-trigger" not in (await agent.part(f"/progress/{number}")).text
    assert (await agent.post(f"/progress/{number}/cancel")).status_code == 409
    # The notice of its end leads there.
    [notice] = re.findall(r"/notices/\d+", (await agent.part("/notices/bell")).text)
    assert (await agent.get(notice)).headers["location"] == f"/progress/{number}"


async def test_what_has_ended_leads_to_its_result(visit: Visits, platform: Platform) -> None:
    agent = await visit("agent")
    number = await run(platform, agent.user_id)
    await end(platform, number, result="/imports/7")
    assert 'href="/imports/7"' in (await agent.get(f"/progress/{number}")).text
    assert (await agent.get("/progress/987654")).status_code == 404


async def test_the_pages_take_few_statements(visit: Visits, platform: Platform, query_counter: QueryCounter) -> None:
    agent: Visitor = await visit("agent")
    for number in range(5):
        await tell(platform, agent.user_id, str(number))
        await run(platform, agent.user_id)
    for path in ("/profile", "/notices", "/notices/bell", "/progress", "/progress/1"):
        await agent.get(path)
        query_counter.reset()
        assert (await agent.get(path)).status_code == 200
        assert query_counter.count <= 15, path
