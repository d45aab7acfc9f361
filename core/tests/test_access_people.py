"""Users, teams, roles and tokens by the API: what holds at once, and that nobody gives what they do not have."""

from __future__ import annotations

import asyncio
import contextvars
import json
from typing import TYPE_CHECKING, Any

import pytest

from zhike.access import teams, user_changes
from zhike.access.actor import Actor
from zhike.access.roles import ROLES
from zhike.customers.said import check_own
from zhike.errors import Conflict

if TYPE_CHECKING:
    import httpx

    from conftest import As
    from zhike.platform import Platform

PASSWORD = "tulip quarry 77"
BASE = "/api/v1"


async def post(client: httpx.AsyncClient, path: str, status: int = 200, /, **body: Any) -> Any:
    answer = await client.post(f"{BASE}{path}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def patch(client: httpx.AsyncClient, path: str, status: int = 200, /, **body: Any) -> Any:
    answer = await client.patch(f"{BASE}{path}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def add_user(client: httpx.AsyncClient, login: str, role: str = "agent", /, **more: Any) -> int:
    found: int = (await post(client, "/users", login=login, name=login, role=role, password=PASSWORD, **more))["id"]
    return found


async def audited(platform: Platform) -> list[tuple[str, str, dict[str, Any]]]:
    async with platform.db.connection() as connection:
        rows = await connection.fetch(
            "SELECT action, object, details FROM audit WHERE actor <> 'command:test' ORDER BY id"
        )
    return [(row[0], row[1], json.loads(row[2])) for row in rows]


async def test_users_and_teams_are_made_listed_and_changed(client: httpx.AsyncClient, platform: Platform) -> None:
    north = (await post(client, "/teams", name="North"))["id"]
    harbin = (await post(client, "/teams", name="Harbin", parent_id=north))["id"]
    li = await add_user(client, "Li.Na", team_id=harbin)
    changed = await patch(client, f"/users/{li}", name="李娜", role="viewer", team_id=None)
    assert (changed["name"], changed["role"], changed["team_id"]) == ("李娜", "viewer", None)
    await patch(client, f"/teams/{harbin}", name="Heilongjiang")
    disabled = await patch(client, f"/users/{li}", disabled=True, password="quite another 88 one")
    assert disabled["disabled_at"] is not None
    assert (await client.get(f"{BASE}/users")).json()["items"] == [disabled]
    assert (await patch(client, f"/users/{li}", disabled=False))["disabled_at"] is None
    first = (await client.get(f"{BASE}/teams", params={"limit": 1})).json()
    rest = (await client.get(f"{BASE}/teams", params={"cursor": first["next"]})).json()
    assert [team["name"] for team in first["items"] + rest["items"]] == ["North", "Heilongjiang"]
    assert rest["next"] is None
    told = await audited(platform)
    assert [(action, thing) for action, thing, _ in told] == [
        *(("team.create", f"team:{north}"), ("team.create", f"team:{harbin}"), ("user.create", f"user:{li}")),
        *(("user.change", f"user:{li}"), ("team.change", f"team:{harbin}"), ("user.change", f"user:{li}")),
        ("user.change", f"user:{li}"),
    ]
    assert told[5][2] == {"disabled": True, "password": "…", "login": "li.na"}
    assert "quite another" not in str(told)


async def test_teams_are_a_tree(client: httpx.AsyncClient) -> None:
    one = (await post(client, "/teams", name="1"))["id"]
    two = (await post(client, "/teams", name="2", parent_id=one))["id"]
    three = (await post(client, "/teams", name="3", parent_id=two))["id"]
    for parent in (one, two, three):
        assert (await patch(client, f"/teams/{one}", 400, parent_id=parent))["code"] == "circle"
    assert (await patch(client, f"/teams/{three}", parent_id=one))["parent_id"] == one
    assert (await patch(client, f"/teams/{two}", 400, parent_id=999))["code"] == "team"
    await patch(client, "/teams/999", 404, name="x")
    for name in ("a\nb", " ", "\u3000"):
        await post(client, "/teams", 400, name=name)
    # Two changes at once that are right each by itself.
    both = await asyncio.gather(
        client.patch(f"{BASE}/teams/{two}", json={"parent_id": three}),
        client.patch(f"{BASE}/teams/{three}", json={"parent_id": two}),
    )
    assert sorted(answer.status_code for answer in both) == [200, 400]


async def test_who_says_a_version_overwrites_nobody(client: httpx.AsyncClient, platform: Platform) -> None:
    north, li = (await post(client, "/teams", name="North"))["id"], await add_user(client, "li.na")
    bodies = [{"name": f"Name {n}", "version": 1} for n in range(3)]
    for path in (f"/teams/{north}", f"/users/{li}"):
        answers = await asyncio.gather(*(client.patch(f"{BASE}{path}", json=body) for body in bodies))
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
        assert {answer.json().get("code") for answer in answers} == {None, "version"}
        [stored] = (await client.get(f"{BASE}{path.rpartition('/')[0]}")).json()["items"]
        assert [stored] == [answer.json() for answer in answers if answer.status_code == 200]
        assert stored["version"] == 2
        assert (await patch(client, path, name="by who says none"))["version"] == 3
        await patch(client, path, 400, version="2")
    assert (await patch(client, f"/users/{li}", password=PASSWORD + "!"))["version"] == 3  # it is nothing one sees
    assert (await patch(client, f"/users/{li}", disabled=True))["version"] == 4
    assert len([each for each in await audited(platform) if each[0].endswith(".change")]) == 6


async def test_one_active_admin_is_left(client: httpx.AsyncClient, platform: Platform) -> None:
    ann, bo = await add_user(client, "ann", "admin"), await add_user(client, "bo", "admin")
    answers = await asyncio.gather(
        client.patch(f"{BASE}/users/{ann}", json={"disabled": True}),
        client.patch(f"{BASE}/users/{bo}", json={"role": "viewer"}),
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert [answer.json()["code"] for answer in answers if answer.status_code == 409] == ["last_admin"]
    last = bo if answers[0].status_code == 200 else ann
    await patch(client, f"/users/{last}", name="still here", password=PASSWORD + "!")
    with pytest.raises(Conflict, match="last active admin"):
        await user_changes.disable(platform.db, Actor.command("user"), "bo" if last == bo else "ann")


async def test_a_role_of_ones_own(client: httpx.AsyncClient, platform: Platform) -> None:
    made = await post(client, "/roles", name="desk", label="前台", permissions={"customers.read": "team"})
    assert made == {
        **{"name": "desk", "label": "前台", "shipped": False, "permissions": {"customers.read": "team"}, "rules": {}},
        **{"version": 1, "archived_at": None},
    }
    token = (await post(client, "/tokens", name="kiosk", role="desk"))["secret"]
    kiosk = {"authorization": f"Bearer {token}"}
    assert (await client.get(f"{BASE}/events/types", headers=kiosk)).status_code == 403
    wider = {"customers.read": "all", "events.read": "own"}
    changed = await patch(client, "/roles/desk", version=1, permissions=wider, rules={"phone": "hide"})
    assert (changed["version"], changed["permissions"], changed["rules"]) == (2, wider, {"phone": "hide"})
    # At once in the process that changed it.
    assert (await client.get(f"{BASE}/events/types", headers=kiosk)).status_code == 200
    stale = await patch(client, "/roles/desk", 409, version=1, label="mine")
    assert stale["code"] == "version"
    archived = await patch(client, "/roles/desk", version=2, archived=True)
    assert archived["archived_at"] is not None
    assert (await client.get(f"{BASE}/customers", headers=kiosk)).status_code == 403
    await post(client, "/tokens", 400, name="another", role="desk")
    assert (await patch(client, "/roles/desk", version=3, archived=False))["permissions"] == wider
    assert (await client.get(f"{BASE}/customers", headers=kiosk)).status_code == 200
    listed = (await client.get(f"{BASE}/roles")).json()["items"]
    assert [role["name"] for role in listed] == ["admin", "agent", "desk", "manager", "viewer"]
    assert [role["shipped"] for role in listed] == [True, True, False, True, True]
    assert listed[-1]["rules"] == {"phone": "mask", "email": "mask"}
    added = {key for key, permission in platform.registry.permissions.items() if "viewer" in permission.roles}
    assert "files.read" in added
    assert set(listed[-1]["permissions"]) == ROLES["viewer"] | added
    paged = (await client.get(f"{BASE}/roles", params={"limit": 3})).json()
    rest = (await client.get(f"{BASE}/roles", params={"limit": 3, "cursor": paged["next"]})).json()
    assert [*paged["items"], *rest["items"]] == listed
    assert [action for action, _, _ in await audited(platform)] == [
        *("role.create", "token.create", "role.change", "role.change", "role.change"),
    ]


async def test_roles_that_cannot_be(client: httpx.AsyncClient) -> None:
    wrong: list[dict[str, Any]] = [
        *({"name": "Desk"}, {"name": "x" * 51}, {"label": ""}, {"label": " "}, {"label": "a\u0000"}),
        *({"permissions": {"customers.fly": "all"}}, {"permissions": {"customers.read": "half"}}),
        *({"rules": {"id": "mask"}}, {"rules": {"attributes.": "mask"}}, {"rules": {"phone": "show"}}),
    ]
    for body in wrong:
        await post(client, "/roles", 400, **{"name": "desk", "label": "Desk", **body})
    await post(client, "/roles", 409, name="viewer", label="Viewer")


async def test_shipped_roles_stay_as_they_are(client: httpx.AsyncClient) -> None:
    assert (await patch(client, "/roles/viewer", 409, version=1, label="x"))["code"] == "shipped"
    await patch(client, "/roles/nobody", 404, version=1, label="x")


async def test_permissions_are_listed_in_the_readers_language(client: httpx.AsyncClient, platform: Platform) -> None:
    items = (await client.get(f"{BASE}/permissions", headers={"accept-language": "en"})).json()["items"]
    assert {item["key"] for item in items} == platform.registry.permissions.keys() >= ROLES["admin"]
    assert {"key": "customers.read", "label": "Read customers", "plugin": "access"} in items


# --- tokens -----------------------------------------------------------------------------------------------------------


async def test_a_token_is_shown_once_and_ends_at_once(client: httpx.AsyncClient) -> None:
    made = await post(client, "/tokens", name="shop", role="manager", expires_at="2999-01-01T00:00:00Z")
    assert (made["token"]["kind"], made["token"]["user_id"]) == ("service", None)
    shop = {"authorization": f"Bearer {made['secret']}"}
    assert (await client.get(f"{BASE}/customers", headers=shop)).status_code == 200
    listed = await client.get(f"{BASE}/tokens")
    assert made["token"] in listed.json()["items"]
    assert made["secret"] not in listed.text
    token_id = made["token"]["id"]
    assert (await client.delete(f"{BASE}/tokens/{token_id}")).json() == {"id": token_id}
    assert (await client.get(f"{BASE}/customers", headers=shop)).status_code == 401
    assert (await client.delete(f"{BASE}/tokens/{token_id}")).status_code == 404
    await post(client, "/tokens", 400, name="shop", role="manager", user_id=77)
    await post(client, "/tokens", 400, name="shop", role="a\u0000")
    await post(client, "/tokens", 400, name="shop", role="manager", expires_at="9999-01-01T00:00:00Z")


async def test_kinds_of_tokens_leave_something_out(client: httpx.AsyncClient) -> None:
    granted = {}
    for kind, more in {"admin": {}, "service": {}, "collect": {"origins": ["https://shop.cn"]}}.items():
        secret = (await post(client, "/tokens", name=kind, role="admin", kind=kind, **more))["secret"]
        headers = {"authorization": f"Bearer {secret}"}
        paths = ("users", "customers")
        granted[kind] = [(await client.get(f"{BASE}/{path}", headers=headers)).status_code for path in paths]
    assert granted == {"admin": [200, 200], "service": [403, 200], "collect": [403, 403]}


async def test_a_token_of_a_user_does_what_both_roles_grant(client: httpx.AsyncClient, acting: As) -> None:
    user = await add_user(client, "ann", "viewer")
    secret = (await post(client, "/tokens", name="hers", role="admin", kind="admin", user_id=user))["secret"]
    headers = {"authorization": f"Bearer {secret}"}

    async def may() -> list[int]:
        return [(await client.get(f"{BASE}/{path}", headers=headers)).status_code for path in ("customers", "jobs")]

    assert await may() == [200, 403]
    await patch(client, f"/users/{user}", role="manager")
    assert await may() == [200, 200]
    await patch(client, f"/users/{user}", disabled=True)
    assert await may() == [401, 401]


# --- nobody gives what they do not have -------------------------------------------------------------------------------


async def test_nobody_gives_what_they_do_not_hold(client: httpx.AsyncClient, acting: As) -> None:
    boss = await add_user(client, "boss", "admin")
    small = await acting({key: "all" for key in ("admin.users", "admin.roles", "admin.tokens", "customers.read")})
    person = {"login": "x", "name": "x", "password": PASSWORD}
    for path, body in [
        ("/users", {**person, "role": "viewer"}),
        ("/tokens", {"name": "x", "role": "agent"}),
        ("/tokens", {"name": "x", "role": "admin", "kind": "admin"}),
        ("/roles", {"name": "x", "label": "x", "permissions": {"events.read": "own"}}),
    ]:
        assert (await post(small, path, 403, **body))["code"] == "escalation", path
    await post(client, "/roles", name="more", label="x", permissions={"customers.read": "all", "events.read": "all"})
    assert (await patch(small, "/roles/more", 403, version=1, permissions={}))["code"] == "escalation"
    for change in ({"password": PASSWORD}, {"disabled": True}, {"role": "viewer"}, {"name": "x"}):
        assert (await patch(small, f"/users/{boss}", 403, **change))["code"] == "escalation", change
    # Nor what would do more for them if somebody else were given more, or an archived role were taken up again.
    poor = await add_user(client, "poor", "viewer")
    hers = {"name": "x", "role": "admin", "kind": "admin", "user_id": poor}
    assert (await post(small, "/tokens", 403, **hers))["code"] == "escalation"
    await add_user(client, "old", "more")
    await patch(client, "/roles/more", version=1, archived=True)
    old = (await client.get(f"{BASE}/users")).json()["items"][-1]["id"]
    assert (await patch(small, f"/users/{old}", 403, password=PASSWORD))["code"] == "escalation"
    # What they hold they may give.
    await post(small, "/roles", name="less", label="x", permissions={"customers.read": "own"})
    await post(small, "/users", **person, role="less")
    await post(small, "/tokens", name="x", role="less")


async def test_nobody_lets_others_see_what_they_see_masked(client: httpx.AsyncClient, acting: As) -> None:
    masked = await acting({"admin.roles": "all", "customers.read": "all"}, {"phone": "mask", "name": "hide"})
    new = {"name": "x", "label": "x", "permissions": {"customers.read": "all"}}
    for rules in ({}, {"phone": "mask"}, {"phone": "hide", "name": "mask"}):
        assert (await post(masked, "/roles", 403, **new, rules=rules))["code"] == "escalation", rules
    await post(masked, "/roles", **new, rules={"phone": "hide", "name": "hide"})


async def test_who_manages_a_team_manages_it_alone(client: httpx.AsyncClient, acting: As) -> None:
    mine, other = [(await post(client, "/teams", name=name))["id"] for name in ("mine", "other")]
    below = (await post(client, "/teams", name="below", parent_id=mine))["id"]
    lead = await add_user(client, "lead", team_id=mine)
    stranger = await add_user(client, "stranger", team_id=other)
    held = ("admin.users", "admin.tokens", "customers.read")
    leading = await acting(dict.fromkeys(held, "team"), user=lead)
    for name, scope in [("team", "team"), ("own", "own"), ("all", "all")]:
        await post(client, "/roles", name=name, label=name, permissions={"customers.read": scope})
    person = {"login": "x", "name": "x", "password": PASSWORD}
    for role, team in [("team", other), ("own", other), ("own", None), ("all", below)]:
        assert (await post(leading, "/users", 403, **person, role=role, team_id=team))["code"] == "escalation"
    # Not even with a role that grants nothing yet.
    await post(client, "/roles", name="none", label="none")
    assert (await post(leading, "/users", 403, **person, role="none", team_id=other))["code"] == "escalation"
    member = await add_user(leading, "member", "team", team_id=below)
    assert [user["login"] for user in (await leading.get(f"{BASE}/users")).json()["items"]] == ["lead", "member"]
    await patch(leading, f"/users/{stranger}", 404, name="x")
    assert (await patch(leading, f"/users/{member}", 403, team_id=other))["code"] == "escalation"
    assert (await patch(leading, f"/users/{lead}", 403, team_id=other))["code"] == "escalation"
    # Their tokens: of nobody, of strangers, of members.
    assert (await post(leading, "/tokens", 403, name="x", role="own"))["code"] == "escalation"
    await post(leading, "/tokens", 400, name="x", role="own", user_id=stranger)
    made = (await post(leading, "/tokens", name="x", role="own", user_id=member))["token"]["id"]
    assert made in [token["id"] for token in (await leading.get(f"{BASE}/tokens")).json()["items"]]
    theirs = (await post(client, "/tokens", name="x", role="own", user_id=stranger))["token"]["id"]
    assert (await leading.delete(f"{BASE}/tokens/{theirs}")).status_code == 404
    for change in ({"name": "x"}, {"parent_id": mine}):
        await patch(leading, f"/teams/{other}", 403, **change)
    # Not even with all users: whoever sees customers by team would see more.
    wide = await acting({"admin.users": "all", "customers.read": "team"}, user=lead)
    assert (await patch(wide, f"/teams/{other}", 403, parent_id=mine))["code"] == "escalation"
    await patch(wide, f"/teams/{other}", name="renamed")


async def test_a_team_that_a_customer_is_about_to_get_is_not_removed(
    client: httpx.AsyncClient, platform: Platform
) -> None:
    team = (await post(client, "/teams", name="East"))["id"]
    admin = Actor.command("test")
    async with platform.db.transaction() as connection:
        await check_own(connection, {"team": team})
        await connection.execute("INSERT INTO customer (team) VALUES ($1)", team)
        work = teams.remove(platform.db, admin, team, platform.directory)
        removing = asyncio.create_task(work, context=contextvars.Context())  # in a transaction of its own
        await asyncio.wait([removing], timeout=0.3)
    with pytest.raises(Conflict):
        await removing
    async with platform.db.transaction() as connection:
        await connection.execute("UPDATE customer SET team = NULL")
    assert await teams.remove(platform.db, admin, team, platform.directory) == "East"
