"""Users, teams, roles, tokens and the audit trail: what is shown, what holds, and what is refused."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

from zhike.access import audit, teams
from zhike.access.actor import Actor
from zhike.access.sealer import Sealer
from zhike.access.teams import NewTeam

if TYPE_CHECKING:
    import httpx

    from zhike.platform import Platform
    from zhike.testing.databases import QueryCounter
    from zhike.testing.plugin import Record, RunUntilIdle
    from zhike.testing.visiting import Visitor, Visits

SCRIPT = "<script>alert(1)</script>"
ACTOR = Actor.command("test")
WRONG_USERS: list[tuple[dict[str, str], int, str]] = [
    ({"name": ""}, 422, "This is needed"),
    ({"name": "x" * 201}, 422, "At most 200 characters"),
    ({"name": "a\x07b"}, 422, "printable"),
    ({"login": "two words"}, 422, "is not usable"),
    ({"role": "emperor"}, 422, "There is no role"),
    ({"team_id": "999"}, 422, ">there is no team 999<"),
    ({"team_id": "9" * 30}, 422, 'id="f-team_id-error"'),
    ({"password": "short"}, 422, "A password has"),
    ({"password": "password1234"}, 422, "too easy"),
    ({"login": "admin1"}, 409, "There is a user admin1 already"),
]
WRONG_ROLES: list[tuple[dict[str, str], int, str]] = [
    ({"label": ""}, 422, "This is needed"),
    ({"name": "Front Desk"}, 422, "small letters"),
    ({"name": "new"}, 422, "has not the form"),
    ({"name": "viewer"}, 409, "There is a role viewer already"),
    ({"f.nonsense": "hide"}, 422, "is no field"),
]
WRONG_ADDRESSES = {
    "at_from=yesterday": 400,
    "at_from=0001-01-01": 400,
    "cursor=elsewhere": 400,
    "q=%00": 400,
    "user=x": 400,
    "action=%3Cscript%3E": 200,
    "q=%25_%5C": 200,
}
RESTRICTED = {"p.customers.read": "own", "p.tasks.read": "all", "f.phone": "mask", "f.name": ""}


def listed(answer: httpx.Response, kind: str) -> list[int]:
    return [int(number) for number in re.findall(rf'<a href="/{kind}/(\d+)">', answer.text)]


async def make_user(admin: Visitor, **changed: str) -> httpx.Response:
    return await admin.post(
        "/users/new", data={"name": "李娜", "login": "li.na", "role": "agent", "team_id": "", **changed}
    )


async def make_role(admin: Visitor, **changed: str) -> httpx.Response:
    return await admin.post("/roles/new", data={"label": "前台", "name": "desk", **RESTRICTED, **changed})


def version_of(answer: httpx.Response) -> str:
    found = re.search(r'name="version" value="(\d+)"', answer.text)
    assert found is not None
    return found[1]


def chosen(answer: httpx.Response, field: str) -> str:
    found = re.search(rf'name="{re.escape(field)}" value="(\w*)" checked', answer.text)
    assert found is not None, field
    return found[1]


async def test_a_user_is_made_with_a_password_that_is_shown_once(visit: Visits, platform: Platform) -> None:
    admin = await visit("admin")
    team = await teams.create(platform.db, ACTOR, NewTeam(SCRIPT))
    assert "&lt;script&gt;alert(1)" in (await admin.get("/users/new")).text
    made = await make_user(admin, name=SCRIPT, team_id=str(team.id))
    assert made.status_code == 200
    assert SCRIPT not in made.text
    password = re.search(r'id="password" value="([a-z2-9-]{19})"', made.text)
    assert password is not None
    found = await admin.get("/users?q=LI.NA")
    [user_id] = listed(found, "users")
    assert "&lt;script&gt;alert(1)" in found.text
    assert password[1] not in (await admin.get(f"/users/{user_id}")).text
    assert listed(await admin.get(f"/users?team={team.id}"), "users") == [user_id]
    assert listed(await admin.get("/users?state=disabled"), "users") == []
    login = await admin.post("/login", data={"login": "li.na", "password": password[1]})
    assert (login.status_code, login.headers["location"]) == (303, "/")


async def test_what_is_wrong_stands_beside_its_field_and_nothing_typed_is_lost(visit: Visits) -> None:
    admin = await visit("admin")
    for changed, status, said in WRONG_USERS:
        answer = await make_user(admin, **{"login": "kept.login", **changed})
        assert (answer.status_code, said in answer.text) == (status, True), changed
        assert "zk-field-error" in answer.text
        if "login" not in changed:
            assert 'value="kept.login"' in answer.text
        if changed.get("password"):
            assert changed["password"] not in answer.text


async def test_a_user_is_changed_disabled_and_logged_out(visit: Visits) -> None:
    admin, agent = await visit("admin"), await visit("agent")
    page = f"/users/{agent.user_id}"
    assert "Disable" in (await admin.get(page)).text
    assert (await agent.get("/customers")).status_code == 200
    assert (await admin.post(f"{page}/sessions/end")).status_code == 303
    assert (await agent.get("/customers")).headers["location"].startswith("/login")
    saved = await admin.post(page, data={"name": "王芳", "role": "viewer", "team_id": "", "version": "1"})
    assert saved.status_code == 303
    again = await admin.post(page, data={"name": "", "role": "viewer"})
    assert (again.status_code, "This is needed" in again.text) == (422, True)
    assert (await admin.post(f"{page}/disable")).status_code == 303
    assert "Let log in again" in (await admin.get(page)).text
    assert (await admin.post(f"{page}/enable")).status_code == 303
    asked = await admin.part(f"{page}/password")
    assert "All sessions of the user end." in asked.text
    weak = await admin.post(f"{page}/password", data={"password": "password1234"})
    assert (weak.status_code, "password1234" in weak.text) == (422, False)
    made = await admin.post(f"{page}/password", data={"password": ""})
    assert re.search(r'value="[a-z2-9]{4}(-[a-z2-9]{4}){3}"', made.text)
    assert (await admin.get("/users/987654")).status_code == 404


async def test_the_last_admin_stays(visit: Visits) -> None:
    admin = await visit("admin")
    page = f"/users/{admin.user_id}"
    demoted = await admin.post(page, data={"name": "admin1", "role": "viewer", "version": "1"})
    assert (demoted.status_code, "is the last active admin" in demoted.text) == (409, True)
    assert '<option value="viewer" selected>' in demoted.text
    disabled = await admin.post(f"{page}/disable")
    assert (disabled.status_code, "is the last active admin" in disabled.text) == (409, True)
    assert (await admin.get("/users")).status_code == 200


async def test_others_neither_see_nor_reach_them(visit: Visits) -> None:
    manager = await visit("manager")
    shown = (await manager.get("/customers")).text
    for path in ("/users", "/users/new", "/teams", "/roles", "/roles/new", "/tokens", "/audit"):
        assert f'href="{path}"' not in shown
        assert (await manager.get(path)).status_code == 403, path


async def test_teams_are_a_tree_that_grows_moves_and_shrinks(visit: Visits) -> None:
    admin = await visit("admin")
    assert "No team yet" in (await admin.get("/teams")).text
    for name, parent in (("华东", ""), ("上海", "1"), (SCRIPT, "2")):
        made = await admin.post("/teams/new", data={"name": name, "parent_id": parent})
        assert made.status_code == 303, made.text
    member = await visit("agent", team_id=2, name="李娜")
    tree = (await admin.get("/teams")).text
    assert re.findall(r"zk-depth-(\d)", tree) == ["0", "1", "2"]
    assert f'href="/users/{member.user_id}">李娜' in tree
    assert SCRIPT not in tree
    assert 'value="2"' not in (await admin.part("/teams/1")).text  # not below itself
    circle = await admin.post("/teams/1", data={"name": "华东", "parent_id": "3", "version": "1"})
    assert (circle.status_code, "would stand above itself" in circle.text) == (422, True)
    used = await admin.post("/teams/2/remove")
    assert (used.status_code, "move them first" in used.text) == (409, True)
    renamed = await admin.post("/teams/3", data={"name": "苏州", "parent_id": "", "version": "1"})
    assert renamed.status_code == 303
    assert (await admin.post("/teams/3/remove")).status_code == 303
    assert "苏州</b>" not in (await admin.get("/teams")).text
    assert (await admin.post("/teams/3/remove")).status_code == 404


async def test_a_role_is_restricted_and_that_holds(visit: Visits, record: Record, platform: Platform) -> None:
    made = await record(
        {"name": "app.login", "identities": {"phone": "13800138000"}, "traits": {"name": "王芳"}},
        {"name": "app.login", "identities": {"phone": "13900139000"}, "traits": {"name": "李雷"}},
    )
    mine, other = (event.customer_id for event in made)
    admin = await visit("admin")
    copied = await admin.get("/roles/new?copy=agent")
    assert (chosen(copied, "p.customers.write"), chosen(copied, "f.phone")) == ("all", "")
    assert (await make_role(admin)).status_code == 303
    desk = await visit("desk")
    assert listed(await desk.get("/customers"), "customers") == []
    async with platform.db.connection() as connection:
        await connection.execute("UPDATE customer SET owner = $1 WHERE id = $2", desk.user_id, mine)
    page = await desk.get("/customers?columns=phone")
    assert listed(page, "customers") == [mine]
    assert "138****8000" in page.text
    assert "13800138000" not in page.text
    assert (await desk.get("/customers?q=13900139000")).text.count("李雷") == 0
    assert (await desk.get("/events")).status_code == 403
    role = await admin.get("/roles/desk")
    wider = {"label": "前台", "version": version_of(role), "p.customers.read": "all", "f.phone": "", "f.name": "hide"}
    assert (await admin.post("/roles/desk", data=wider)).status_code == 303
    page = await desk.get("/customers?columns=phone")
    assert set(listed(page, "customers")) == {mine, other}
    assert "138 0013 8000" in page.text
    assert "王芳" not in page.text
    archived = {"version": version_of(await admin.get("/roles/desk"))}
    assert (await admin.post("/roles/desk/archive", data=archived)).status_code == 303
    assert (await desk.get("/customers")).status_code == 403


async def test_two_people_edit_one_role_and_see_both(visit: Visits) -> None:
    anna, ben = await visit("admin"), await visit("admin")
    await make_role(anna)
    version = version_of(await anna.get("/roles/desk"))
    first = {"label": "前台一组", "version": version, **RESTRICTED, "p.customers.read": "team", "f.phone": "hide"}
    assert (await anna.post("/roles/desk", data=first)).status_code == 303
    second = {"label": "前台二组", "version": version, **RESTRICTED, "p.tasks.read": "own"}
    refused = await ben.post("/roles/desk", data=second)
    assert refused.status_code == 409
    assert 'value="前台二组"' in refused.text
    assert "前台一组" in refused.text
    assert (chosen(refused, "p.tasks.read"), chosen(refused, "f.phone")) == ("own", "mask")
    assert refused.text.count("Now stored: Their team") == 1
    assert "Now stored: Hidden" in refused.text
    assert "Now stored: All" in refused.text
    again = await ben.post("/roles/desk", data={**second, "version": version_of(refused)})
    assert again.status_code == 303
    assert chosen(await anna.get("/roles/desk"), "p.tasks.read") == "own"


async def test_two_people_edit_one_user_and_see_both(visit: Visits) -> None:
    anna, ben, agent = await visit("admin"), await visit("admin"), await visit("agent", name="王芳")
    for name in ("华东", "华南"):
        assert (await anna.post("/teams/new", data={"name": name, "parent_id": ""})).status_code == 303
    page = f"/users/{agent.user_id}"
    old = version_of(await ben.get(page))
    first = {"name": "王芳", "role": "manager", "team_id": "2", "version": version_of(await anna.get(page))}
    assert (await anna.post(page, data=first)).status_code == 303
    second = {"name": "王小芳", "role": "agent", "team_id": "1"}
    refused = await ben.post(page, data={**second, "version": old})
    assert (refused.status_code, "Somebody else has saved this meanwhile" in refused.text) == (409, True)
    told = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", refused.text[: refused.text.index("f-name")])
    assert told == [("Name", "王芳"), ("Role", "Manager"), ("Team", "华南")]
    typed = [f'value="{second["name"]}"', '<option value="agent" selected>', '<option value="1" selected>']
    assert [each for each in typed if each not in refused.text] == []
    assert (await anna.get(page)).text.count('<option value="manager" selected>') == 1  # nothing is written yet
    again = await ben.post(page, data={**second, "version": version_of(refused)})
    assert again.status_code == 303
    assert 'value="王小芳"' in (await anna.get(page)).text
    assert (await anna.post(page, data=first)).status_code == 409  # by the button that leads back to the old form


async def test_a_form_of_before_a_user_was_disabled_says_so(visit: Visits) -> None:
    anna, ben, agent = await visit("admin"), await visit("admin"), await visit("agent", name="王芳")
    page = f"/users/{agent.user_id}"
    old = version_of(await ben.get(page))
    assert (await anna.post(f"{page}/disable")).status_code == 303
    typed = {"name": "王小芳", "role": "agent", "team_id": "", "version": old}
    refused = await ben.post(page, data=typed)
    assert (refused.status_code, "Disabled since" in refused.text) == (409, True)
    assert 'value="王小芳"' in refused.text
    made = await anna.post(f"{page}/password", data={"password": ""})  # which no form shows
    assert made.status_code == 200
    assert (await ben.post(page, data={**typed, "version": version_of(refused)})).status_code == 303


async def test_two_people_edit_one_team_and_see_both(visit: Visits) -> None:
    anna, ben = await visit("admin"), await visit("admin")
    for name in ("华东", "华南", "上海"):
        assert (await anna.post("/teams/new", data={"name": name, "parent_id": ""})).status_code == 303
    old = version_of(await ben.part("/teams/3"))
    first = {"name": "上海一部", "parent_id": "1", "version": version_of(await anna.part("/teams/3"))}
    assert (await anna.post("/teams/3", data=first)).status_code == 303
    second = {"name": "上海二部", "parent_id": "2"}
    refused = await ben.post("/teams/3", data={**second, "version": old})
    assert refused.status_code == 409
    told = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", refused.text)
    assert told == [("What it is called", "上海一部"), ("Below", "华东")]
    assert 'value="上海二部"' in refused.text
    assert '<option value="2" selected>' in refused.text
    assert "上海一部" in (await anna.get("/teams")).text  # nothing is written yet
    again = await ben.post("/teams/3", data={**second, "version": version_of(refused)})
    assert again.status_code == 303
    assert "上海二部" in (await anna.get("/teams")).text


async def test_roles_are_listed_with_who_has_them(visit: Visits) -> None:
    admin = await visit("admin")
    await make_role(admin, label=SCRIPT)
    await visit("desk")
    page = (await admin.get("/roles")).text
    assert 'href="/users?role=desk">1</a>' in page
    assert SCRIPT not in page
    assert "comes with Zhike" in (await admin.get("/roles/agent")).text
    shipped = await admin.post("/roles/agent", data={"label": "x", "version": "1"})
    assert (shipped.status_code, "stays as it is" in shipped.text) == (409, True)
    assert (await admin.get("/roles/nobody")).status_code == 404


async def test_a_role_that_does_not_fit_keeps_what_was_chosen(visit: Visits) -> None:
    admin = await visit("admin")
    for changed, status, said in WRONG_ROLES:
        answer = await make_role(admin, **changed)
        assert (answer.status_code, said in answer.text) == (status, True), changed
        assert (chosen(answer, "p.customers.read"), chosen(answer, "f.phone")) == ("own", "mask")


async def test_nobody_gives_what_they_do_not_hold(visit: Visits) -> None:
    admin = await visit("admin")
    powers = {"p.admin.users": "all", "p.admin.roles": "all", "p.admin.tokens": "all", "p.customers.read": "all"}
    await admin.post("/roles/new", data={"label": "人事", "name": "people", **powers})
    clerk, boss = await visit("people"), await visit("admin")
    form = (await clerk.get("/users/new")).text
    assert '<option value="people"' in form
    assert '<option value="admin"' not in form
    assert '<option value="agent"' not in form
    forced = await make_user(clerk, role="manager")
    assert (forced.status_code, "cannot give" in forced.text) == (422, True)
    own = await clerk.post(f"/users/{clerk.user_id}", data={"name": "people1", "role": "admin", "version": "1"})
    assert (own.status_code, "cannot give" in own.text) == (422, True)
    above = await clerk.get(f"/users/{boss.user_id}")
    assert "cannot give" in above.text
    assert "/password" not in above.text
    taken = await clerk.post(f"/users/{boss.user_id}/password", data={"password": "correct battery horse"})
    assert taken.status_code == 422
    matrix = (await clerk.get("/roles/new")).text
    assert re.search(r'name="p.customers.erase" value="all" disabled', matrix)
    role = await make_role(clerk, **{"p.customers.erase": "all"})
    assert (role.status_code, "cannot give customers.erase" in role.text) == (422, True)
    token = await clerk.post("/tokens/new", data={"name": "x", "kind": "service", "role": "manager", "expires": "30"})
    assert (token.status_code, "cannot give" in token.text) == (422, True)


async def test_a_token_is_shown_once_works_and_is_revoked(visit: Visits, client: httpx.AsyncClient) -> None:
    admin = await visit("admin")
    typed = {"name": SCRIPT, "kind": "service", "role": "viewer", "expires": "30", "origins": "", "user_id": ""}
    made = await admin.post("/tokens/new", data=typed)
    secret = re.search(r"zk_[A-Za-z0-9_-]{43}", made.text)
    assert secret is not None
    assert SCRIPT not in made.text
    bearer = {"authorization": f"Bearer {secret[0]}"}
    assert (await client.get("/api/v1/customers", headers=bearer)).status_code == 200
    page = await admin.get("/tokens")
    assert secret[0] not in page.text
    [path] = set(re.findall(r"/tokens/\d+/revoke", page.text)) - {"/tokens/1/revoke"} or {"/tokens/1/revoke"}
    assert SCRIPT not in (await admin.part(path)).text
    assert (await admin.post(path)).status_code == 303
    assert (await client.get("/api/v1/customers", headers=bearer)).status_code == 401
    assert "Revoked" in (await admin.get("/tokens")).text
    assert (await admin.part(path)).status_code == 200
    assert (await admin.post(path)).status_code == 404
    site = {**typed, "kind": "collect", "role": "manager", "origins": "https://shop.cn\nnonsense"}
    wrong = await admin.post("/tokens/new", data=site)
    assert (wrong.status_code, "nonsense" in wrong.text, 'id="f-origins-error"' in wrong.text) == (422, True, True)
    assert (await admin.post("/tokens/new", data={**site, "origins": "https://shop.cn"})).status_code == 200


async def test_the_trail_is_filtered_and_says_who_did_what(visit: Visits, platform: Platform) -> None:
    admin = await visit("admin", name="李娜")
    async with platform.db.transaction() as connection:
        await audit.record(connection, ACTOR, "thing.made", "thing:1", {"note": SCRIPT, "colour": "蓝色"})
        await audit.record(connection, ACTOR, "thing.lost", "thing:2", {"note": "plain"})
    await make_user(admin)

    async def rows(**query: str) -> list[str]:
        answer = await admin.get("/audit", params=query)
        assert answer.status_code == 200, answer.text
        assert SCRIPT not in answer.text
        return re.findall(r'<span title="([\w.]+)">', answer.text)

    assert (await rows())[:3] == ["user.create", "thing.lost", "thing.made"]
    assert await rows(action="thing.made") == ["thing.made"]
    assert await rows(object="thing:2") == ["thing.lost"]
    assert await rows(user=str(admin.user_id)) == ["user.create"]
    assert await rows(actor=f"user:{admin.user_id}") == ["user.create"]
    assert await rows(q="蓝") == ["thing.made"]
    assert await rows(at_to="2001-01-01") == []
    assert "thing.made" in await rows(at_from="2001-01-01")
    shown = (await admin.get("/audit")).text
    assert "李娜</a>" in shown
    assert "Made a user" in shown
    offered = re.findall(r'<option value="[a-z_.]+">([^<]+)</option>', shown)
    assert len(offered) == len(set(offered)) > 50
    async with platform.db.transaction() as connection:
        await audit.clear(connection, ["thing:1"])
    assert "Cleared" in (await admin.get("/audit?object=thing:1")).text
    for query, status in WRONG_ADDRESSES.items():
        assert (await admin.get(f"/audit?{query}")).status_code == status, query


async def test_the_trail_says_in_plain_words_what_stands_in_its_details(visit: Visits, platform: Platform) -> None:
    admin = await visit("admin", name="李娜")
    team = (await teams.create(platform.db, ACTOR, NewTeam(name="客服一组"))).id
    written: dict[str, dict[str, Any]] = {
        "customer.change": {"owner": admin.user_id, "team": team, "fields": ["owner", "phone"], "source": "李"},
        "role.change": {"permissions": {"customers.read": "own"}, "rules": {"phone": "mask"}, "gone": None},
        "field.change": {"choices": [{"key": "oily", "label": "油性", "archived": False}], "encrypted": True},
        "task.change": {"status": "in_progress", "due_at": "2026-03-01T16:30:00Z", "assignee": 10**30},
        "thing.made": {"deep": [[1]], "more": {"a": {"b": "深"}}, "due_at": "soon", "share": 0.5},
    }
    async with platform.db.transaction() as connection:
        for action, details in written.items():
            await audit.record(connection, ACTOR, action, "thing:1", details)
    shown = (await admin.get("/audit?object=thing:1")).text
    told = [html.unescape(each) for each in re.findall(r"<dd>(.*?)</dd>", shown)]
    assert sorted(told) == sorted([
        *('[[1]]', '{"a":{"b":"深"}}', "soon", "0.5"),
        *("In progress", "2026-03-02 00:30", str(10**30)),
        *("油性", "Yes"),
        *("Read customers: Their own", "Phone: Masked", "—"),
        *("李娜", "客服一组", "Owner, Phone", "李"),
    ])  # fmt: skip
    assert "Changed a customer" in shown


async def test_the_trail_says_in_plain_words_what_was_done_and_to_what(visit: Visits, platform: Platform) -> None:
    admin = await visit("admin")
    async with platform.db.transaction() as connection:
        await audit.record(connection, ACTOR, "consent.granted", "privacy_request:7", {})
    answer = await admin.get("/audit?action=consent.granted", headers={"Accept-Language": "zh-CN"})
    assert '<option value="consent.granted" selected>登记授权</option>' in answer.text
    assert "个人请求 7" in answer.text
    assert "登记授权" in re.sub("<option.*?</option>", "", answer.text)


async def test_the_trail_is_verified_in_the_background(
    visit: Visits, platform: Platform, run_until_idle: RunUntilIdle
) -> None:
    admin = await visit("admin")
    assert "Not verified yet" in (await admin.get("/audit")).text
    await Sealer(platform.db, platform.vault).step()
    assert (await admin.post("/audit/verify")).status_code == 303
    assert "hx-trigger" in (await admin.get("/audit/chain")).text
    await run_until_idle()
    assert "The trail is whole" in (await admin.get("/audit")).text
    async with platform.db.connection() as connection:
        await connection.execute("UPDATE audit SET actor = 'user:9' WHERE id = (SELECT min(id) FROM audit)")
    await admin.post("/audit/verify")
    await run_until_idle()
    told = (await admin.get("/audit/chain")).text
    assert "The trail is not as it was written" in told
    assert "was changed, or moved there" in told


async def test_the_pages_take_few_statements(visit: Visits, query_counter: QueryCounter) -> None:
    admin = await visit("admin")
    await make_role(admin)
    for path in ("/users", f"/users/{admin.user_id}", "/teams", "/roles", "/roles/desk", "/tokens", "/audit"):
        await admin.get(path)
        query_counter.reset()
        assert (await admin.get(path)).status_code == 200
        assert query_counter.count <= 15, path
