"""What every route does alike: who may call it, how it answers, and in which language."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import httpx
import msgspec
import pytest

from zhike._host.web.app import Application, create_app
from zhike.access.roles import ROLES
from zhike.api import API, Call, Personal, Public, Route
from zhike.errors import Refused
from zhike.platform import Platform, assemble, core_plugins
from zhike.settings import Settings
from zhike.testing.plugin import FrozenNow

MakeToken = Callable[..., Awaitable[str]]


def api_routes() -> list[Route]:
    return [route for _, route in assemble(core_plugins()).registry.routes]


EVENT = {"name": "order.paid", "message_id": "m-1", "identities": {"phone": "13800138000"}, "amount": "12.30"}
BODIES = {
    "/events": {"events": [EVENT]},
    "/conditions/count": {"condition": {"type": "all", "of": []}},
}


def path_of(route: Route) -> str:
    return API + route.path.replace("{customer_id}", "1")


async def test_every_route_of_the_api_asks_for_a_token(anonymous: httpx.AsyncClient) -> None:
    for route in api_routes():
        if isinstance(route.permission, Public):
            continue
        for headers in ({}, {"authorization": "Basic YTpi"}, {"authorization": "Bearer zk_" + "a" * 43}):
            body = BODIES.get(route.path)
            answer = await anonymous.request(route.method, path_of(route), json=body, headers=headers)
            assert answer.status_code == 401, route.path
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_may_call_what_it_grants(
    anonymous: httpx.AsyncClient, platform: Platform, make_token: MakeToken, role: str
) -> None:
    headers = {"authorization": f"Bearer {await make_token(role)}"}
    registered = platform.registry.permissions.items()
    granted = ROLES[role] | {key for key, permission in registered if role in {"admin", *permission.roles}}
    for route in api_routes():
        if isinstance(route.permission, Public):
            continue
        body = BODIES.get(route.path)
        answer = await anonymous.request(route.method, path_of(route), json=body, headers=headers)
        if route.permission in granted:
            assert answer.status_code not in {401, 403}, route.path
            assert answer.status_code < 500, route.path
        else:
            assert answer.status_code == 403, route.path
            assert answer.json()["code"] == "forbidden"


async def test_an_expired_token(
    app: Application, anonymous: httpx.AsyncClient, make_token: MakeToken, frozen_now: FrozenNow
) -> None:
    secret = await make_token("admin", expires_at=frozen_now() + timedelta(days=1))
    headers = {"authorization": f"bearer {secret}"}
    assert (await anonymous.get(f"{API}/customers", headers=headers)).status_code == 200
    frozen_now.advance(days=1)
    answer = await anonymous.get(f"{API}/customers", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["code"] == "invalid_token"


async def nothing(call: Call) -> None:
    del call


@pytest.mark.parametrize("permission", [None, ""])
def test_a_route_without_a_permission_stops_the_start(settings: Settings, permission: object) -> None:
    route = Route(method="GET", path="/free", handler=nothing, permission=permission, summary="", answer=None)  # type: ignore[arg-type]  # the defect that is looked for
    with pytest.raises(Refused, match="/api/v1/free"):
        create_app(settings, "postgresql://nowhere", routes=[route])


async def test_events_become_customers_in_both_formats(client: httpx.AsyncClient) -> None:
    body = {"events": [EVENT, {"name": "order.paid"}]}
    answer = await client.post(f"{API}/events", json=body)
    assert answer.status_code == 200
    assert answer.json()["accepted"] == 1
    (rejected,) = answer.json()["rejected"]
    assert rejected["index"] == 1
    assert rejected["code"]

    again = await client.post(
        f"{API}/events",
        content=msgspec.msgpack.encode(body),
        headers={"content-type": "application/msgpack", "accept": "application/msgpack"},
    )
    assert again.headers["content-type"] == "application/msgpack"
    decoded = msgspec.msgpack.decode(again.content)
    assert (decoded["accepted"], decoded["duplicate"]) == (0, 1)

    page = (await client.get(f"{API}/customers", params={"q": "138 0013 8000"})).json()
    (customer,) = page["items"]
    assert page["next"] is None
    read = (await client.get(f"{API}/customers/{customer['id']}")).json()
    assert read == customer
    assert list(read) == [
        "id", "kind", "name", "phone", "email", "company", "stage", "owner", "team",
        "identities", "attributes", "created_at", "updated_at",
    ]  # fmt: skip
    timeline = (await client.get(f"{API}/customers/{customer['id']}/events")).json()["items"]
    assert [item["name"] for item in timeline if item["name"] == "order.paid"] == ["order.paid"]
    types = (await client.get(f"{API}/events/types")).json()["items"]
    assert "order.paid" in [item["name"] for item in types]
    counted = await client.post(
        f"{API}/conditions/count",
        json={"condition": {"type": "event", "event": "order.paid", "measure": "count", "op": "gte", "value": 1}},
    )
    assert counted.json() == {"count": 1}


async def test_msgpack_is_answered_only_when_asked_for(client: httpx.AsyncClient) -> None:
    for accept, expected in (
        ("", "json"),
        ("*/*", "json"),
        ("text/html", "json"),
        ("application/msgpack", "msgpack"),
        ("application/x-msgpack, */*;q=0.1", "msgpack"),
        ("application/json, application/msgpack", "json"),
        ("application/json;q=0.5, application/msgpack;q=0.9", "msgpack"),
        ("application/msgpack;q=0", "json"),
        ("application/msgpack;q=much", "json"),
    ):
        answer = await client.get(f"{API}/customers", headers={"accept": accept})
        assert answer.headers["content-type"] == f"application/{expected}", accept


async def test_lists_are_paged(client: httpx.AsyncClient) -> None:
    events = [{"name": "app.login", "message_id": f"m-{n}", "identities": {"external_id": f"c{n}"}} for n in range(7)]
    await client.post(f"{API}/events", json={"events": events})
    seen: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (
            await client.get(f"{API}/customers", params={"limit": 3, **({"cursor": cursor} if cursor else {})})
        ).json()
        assert len(page["items"]) <= 3
        seen += [item["id"] for item in page["items"]]
        cursor = page["next"]
    assert len(seen) == len(set(seen)) == 7


async def test_limits(client: httpx.AsyncClient) -> None:
    for limit in ("0", "-1", "x", "", "1.5", "٣"):
        answer = await client.get(f"{API}/customers", params={"limit": limit})
        assert answer.status_code == 400, limit
        assert "limit" in answer.json()["detail"]
    for limit in ("1", "1000", "1001", "1" + "0" * 30):
        assert (await client.get(f"{API}/customers", params={"limit": limit})).status_code == 200, limit


async def test_problems_are_in_the_readers_language(client: httpx.AsyncClient) -> None:
    titles = {}
    for language in ("zh-CN,zh;q=0.9", "en", "fr"):
        answer = await client.get(f"{API}/customers/404404", headers={"accept-language": language})
        problem = answer.json()
        assert answer.status_code == problem["status"] == 404
        assert problem["code"] == "not_found"
        assert problem["type"] == "about:blank"
        titles[language[:2]] = problem["title"]
    assert titles["en"] == titles["fr"] == "There is no such thing"
    assert any("\u4e00" <= character <= "\u9fff" for character in titles["zh"])


async def test_security_headers_are_everywhere(anonymous: httpx.AsyncClient) -> None:
    pages = {"/", "/login", "/customers"}
    for path in (*pages, "/schema", "/health/live", "/health/ready", "/nothing", f"{API}/customers", "/%ff"):
        headers = (await anonymous.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert "default-src 'none'" in headers["content-security-policy"]
        # Forms say where they come from to this site only.
        assert headers["referrer-policy"] == ("same-origin" if path in pages else "no-referrer"), path


async def test_the_page_at_the_root_is_for_those_who_have_logged_in(anonymous: httpx.AsyncClient) -> None:
    asked = await anonymous.get("/")
    assert (asked.status_code, asked.headers["location"]) == (303, "/login?next=%2F")
    english = await anonymous.get(asked.headers["location"], headers={"accept-language": "en"})
    chinese = await anonymous.get(asked.headers["location"], headers={"accept-language": "zh"})
    assert english.headers["content-type"] == "text/html; charset=utf-8"
    assert '<html lang="en"' in english.text
    assert '<html lang="zh-CN"' in chinese.text
    policy = english.headers["content-security-policy"]
    assert "script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy
    for page in (english.text, chinese.text):
        assert "<style" not in page
        assert page.count("<script") == page.count(' src="/static/') + page.count('type="application/json"')


async def test_methods(client: httpx.AsyncClient) -> None:
    wrong = await client.delete(f"{API}/customers")
    assert wrong.status_code == 405
    assert "GET" in wrong.headers["allow"]
    assert wrong.json()["code"] == "method_not_allowed"
    head = await client.head(f"{API}/customers")
    assert head.status_code == 200
    assert head.content == b""
    options = await client.options(f"{API}/customers")
    assert options.status_code == 204
    assert "GET" in options.headers["allow"]


async def test_public_routes_say_why_they_are_public(app: Application) -> None:
    public = [
        handler.opt["permission"]
        for route in app.litestar.routes
        for handler in getattr(route, "route_handlers", [])
        if isinstance(handler.opt.get("permission"), Public)
    ]
    assert len(public) == 7
    assert all(permission.reason for permission in public)


async def test_the_description_of_the_api(anonymous: httpx.AsyncClient) -> None:
    described = (await anonymous.get("/schema")).json()
    assert described["openapi"].startswith("3.1")
    types = {
        part["name"]: part["schema"]["type"]
        for path in described["paths"].values()
        for operation in path.values()
        for part in operation["parameters"]
        if part["in"] == "path"
    }
    assert types == {
        **dict.fromkeys(("customer_id", "relation_id", "candidate_id", "erasure_id", "job_id", "task_id"), "integer"),
        **dict.fromkeys(("user_id", "team_id", "token_id", "session_id", "file_id", "view_id"), "integer"),
        **dict.fromkeys(("comment_id", "item_id", "progress_id"), "integer"),
        **dict.fromkeys(("name", "hook", "date", "key", "role", "group"), "string"),
    }
    for route in api_routes():
        operation = described["paths"][API + route.path][route.method.lower()]
        kinds = {str: [{"token": []}, {"session": []}], Personal: [{"session": []}], Public: []}
        assert operation["security"] == kinds[type(route.permission)]
        assert operation.get("x-permission") == (route.permission if isinstance(route.permission, str) else None)
        assert {str(route.status), "400", "401", "403", "503"} <= operation["responses"].keys()
        if route.body is not None:
            assert set(operation["requestBody"]["content"]) == {"application/json", "application/msgpack"}
            assert {"413", "415"} <= operation["responses"].keys()
    assert "429" in described["paths"][f"{API}/events"]["post"]["responses"]
    event = described["components"]["schemas"]["IncomingEvent"]
    assert event["properties"]["amount"]["type"] == ["number", "string", "null"]
    assert event["properties"]["properties"]["type"] == "object"
    assert event["required"] == ["name"]
