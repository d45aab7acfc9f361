"""Tokens of kind `collect`, which anybody can read in a web page, in the hands of those who mean no good."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest

from zhike._host.web.app import Application
from zhike.access import tokens
from zhike.access.actor import Actor
from zhike.access.collect import MOST_BYTES, Gate, check_origins
from zhike.api import API
from zhike.errors import BadRequest
from zhike.events.collecting import MOST_EVENTS
from zhike.orm import Database
from zhike.platform import Platform
from zhike.testing.plugin import FrozenNow

OPERATOR = Actor.command("test")
SHOP = "https://shop.cn"
VISITOR = {"anonymous_id": "visitor-1"}
PHONE = {"phone": "13800138000"}


def seen(**changed: Any) -> dict[str, Any]:
    """Return an event that such a token may send."""
    return {"name": "page.seen", "identities": VISITOR, **changed}


async def make(platform: Platform, **options: Any) -> str:
    options = {"kind": "collect", "origins": [SHOP], **options}
    return (await tokens.create(platform.db, OPERATOR, "site", "admin", directory=platform.directory, **options))[1]


@pytest.fixture
async def page(app: Application, platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    """A page of shop.cn with such a token."""
    headers = {"authorization": f"Bearer {await make(platform)}", "origin": SHOP}
    transport = httpx.ASGITransport(app, client=("203.0.113.7", 1))  # type: ignore[arg-type]  # two kinds of ASGI
    async with httpx.AsyncClient(transport=transport, base_url="http://zhike", headers=headers) as opened:
        yield opened


async def send(page: httpx.AsyncClient, *events: Any, **options: Any) -> httpx.Response:
    return await page.post(f"{API}/events", json={"events": events}, **options)


async def stored(database: Database) -> list[tuple[str, ...]]:
    query = "SELECT name, message_id, origin FROM event WHERE behaviour ORDER BY id"
    async with database.connection() as connection:
        return [tuple(row) for row in await connection.fetch(query)]


async def test_a_page_sends_what_a_visitor_did(page: httpx.AsyncClient, database: Database) -> None:
    answer = await send(page, seen(message_id="m-1", properties={"path": "/"}, amount="1.50"), seen(message_id="m-2"))
    assert answer.json() == {"accepted": 2, "duplicate": 0, "rejected": []}
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert "origin" in answer.headers["vary"]
    token = (await stored(database))[0][2].removeprefix("token:")
    assert await stored(database) == [
        ("page.seen", f"collect:{token}:m-1", f"token:{token}"),
        ("page.seen", f"collect:{token}:m-2", f"token:{token}"),
    ]


async def test_it_may_call_no_other_route(page: httpx.AsyncClient, app: Application) -> None:
    asked = 0
    for _, route in app.services.platform.registry.routes:
        if isinstance(route.permission, str) and not route.collects:
            path = API + re.sub("{.*?}", "1", route.path)
            assert (await page.request(route.method, path, json={})).status_code == 403, path
            asked += 1
    assert asked > 30
    for method, path in (("GET", "/session"), ("DELETE", "/session"), ("GET", "/sessions")):
        assert (await page.request(method, API + path)).status_code == 403


REFUSED = [
    seen(identities={**VISITOR, **PHONE}),
    seen(identities=PHONE),
    seen(identities={"device_id": "d-1"}),
    seen(identities={}),
    seen(traits={"phone": "13800138000"}),
    seen(traits={"name": "李娜"}),
    seen(traits={"vip": True}),
    seen(name="customer.created"),
    seen(name="task.created"),
    seen(occurred_at="2020-01-01T00:00:00Z"),
    seen(occurred_at="2999-01-01T00:00:00Z"),
    seen(message_id="m" * 200),
    seen(live=False),
    seen(origin="import:1"),
    seen(properties={"a": "\u0000"}),
    "no event",
]


async def test_what_it_may_not_send_is_refused_alone_and_without_a_reason(
    page: httpx.AsyncClient, database: Database
) -> None:
    answer = (await send(page, *REFUSED, seen(message_id="good"))).json()
    assert answer["accepted"] == 1
    assert [each["index"] for each in answer["rejected"]] == list(range(len(REFUSED)))
    told = {(each["code"], each["message"]) for each in answer["rejected"]}
    assert told == {("rejected", "not taken; a token of kind service is told why")}
    assert [row[1].rpartition(":")[2] for row in await stored(database)] == ["good"]


async def test_only_events_of_the_last_day_are_taken(page: httpx.AsyncClient, frozen_now: FrozenNow) -> None:
    now = frozen_now()
    late, old = ((now - timedelta(hours=hours)).isoformat() for hours in (23.9, 24.1))
    answer = (await send(page, seen(occurred_at=late), seen(occurred_at=old))).json()
    assert (answer["accepted"], [each["index"] for each in answer["rejected"]]) == (1, [1])


async def test_message_ids_of_others_cannot_be_used_up(page: httpx.AsyncClient, client: httpx.AsyncClient) -> None:
    assert (await send(page, seen(message_id="order-1002"))).json()["accepted"] == 1
    order = {"name": "order.paid", "message_id": "order-1002", "identities": PHONE}
    assert (await client.post(f"{API}/events", json={"events": [order]})).json()["accepted"] == 1


async def test_it_learns_nothing_of_what_is_stored(page: httpx.AsyncClient, client: httpx.AsyncClient) -> None:
    known = {"name": "a", "message_id": "m-1", "identities": {**VISITOR, **PHONE}}
    await client.post(f"{API}/events", json={"events": [known]})
    answers = [
        (await send(page, seen(message_id="m-1", identities={"anonymous_id": visitor}))).json()
        for visitor in ("visitor-1", "visitor-1", "visitor-unknown")
    ]
    assert answers == [{"accepted": 1, "duplicate": 0, "rejected": []}] * 3


async def test_a_page_can_read_why_it_was_refused(page: httpx.AsyncClient) -> None:
    for content in (b"x", b'{"events":[{}]}' * 2):
        answer = await page.post(f"{API}/events", content=content, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (400, SHOP)
        assert answer.headers["access-control-expose-headers"] == "retry-after"
    elsewhere = await page.get(f"{API}/customers")
    assert "access-control-allow-origin" not in elsewhere.headers


async def test_it_is_good_for_the_pages_it_is_listed_with(page: httpx.AsyncClient, database: Database) -> None:
    del page.headers["origin"]
    for origin in ("https://evil.example", "http://shop.cn", "https://shop.cn:8443", "https://a.shop.cn", "null", ""):
        answer = await send(page, seen(), headers={"origin": origin} if origin else {})
        assert (answer.status_code, answer.json()["code"]) == (403, "origin"), origin
        assert ("Origin is missing" in answer.json()["detail"]) == (not origin)
        assert "access-control-allow-origin" not in answer.headers
    assert await stored(database) == []


def asks(origin: str) -> dict[str, str]:
    return {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
    }


async def test_browsers_are_told_which_pages_may_send(page: httpx.AsyncClient, platform: Platform) -> None:
    del page.headers["authorization"]
    answer = await page.options(f"{API}/events", headers=asks(SHOP))
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert answer.headers["access-control-allow-methods"] == "POST"
    assert "access-control-allow-credentials" not in answer.headers
    for path, origin in (
        ("/events", "https://evil.example"),
        ("/events", "null"),
        ("/events/", SHOP),
        ("/customers", SHOP),
        ("/session", SHOP),
    ):
        answer = await page.options(API + path, headers=asks(origin))
        assert not [name for name in answer.headers if name.startswith("access-control")], path


async def test_a_revoked_or_expired_token_allows_no_page(
    anonymous: httpx.AsyncClient, app: Application, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = await make(platform, origins=["https://one.cn"])
    (token,) = await tokens.list_(platform.db)
    await tokens.revoke(platform.db, OPERATOR, token.id)
    headers = {"authorization": f"Bearer {secret}", "origin": "https://one.cn"}
    assert (await send(anonymous, seen(), headers=headers)).status_code == 401
    answer = await anonymous.options(f"{API}/events", headers=asks("https://one.cn"))
    assert "access-control-allow-origin" not in answer.headers


async def test_too_many_requests_of_one_address(
    page: httpx.AsyncClient, app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zhike.access.collect.time.monotonic", lambda: 1000.0)
    statuses = [(await send(page, seen())).status_code for _ in range(25)]
    assert statuses == [200] * 20 + [429] * 5  # ten seconds of 120 a minute
    refused = await send(page, seen())
    assert int(refused.headers["retry-after"]) >= 1
    elsewhere = httpx.ASGITransport(app, client=("203.0.113.8", 1))  # type: ignore[arg-type]  # two kinds of ASGI
    async with httpx.AsyncClient(transport=elsewhere, base_url="http://zhike", headers=page.headers) as other:
        assert (await send(other, seen())).status_code == 200
    monkeypatch.setattr("zhike.access.collect.time.monotonic", lambda: 1000.6)
    assert [(await send(page, seen())).status_code for _ in range(2)] == [200, 429]


def test_many_addresses_share_the_limit_of_a_token(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zhike.access.collect.time.monotonic", lambda: 1000.0)
    monkeypatch.setattr("zhike.access.collect._REMEMBERED", 500)
    gate = Gate(database, lambda: 6)
    actor = Actor(kind="token", id=1, name="", role="", permissions=frozenset(), origins=frozenset({SHOP}))
    admitted = 0
    for number in range(1000):
        try:
            gate.admit(actor, SHOP, f"10.0.{number // 250}.{number % 250}")
            admitted += 1
        except Exception:
            break
    assert admitted == 100  # ten seconds of 600 a minute
    assert len(gate._used) <= 500


async def test_a_request_is_small(page: httpx.AsyncClient, database: Database) -> None:
    assert (await send(page, *[seen()] * MOST_EVENTS)).json()["accepted"] == MOST_EVENTS
    assert (await send(page, *[seen()] * (MOST_EVENTS + 1))).status_code == 403
    assert (await send(page, seen(properties={"a": "x" * MOST_BYTES}))).status_code == 413
    assert len(await stored(database)) == MOST_EVENTS


@pytest.mark.parametrize(
    "origins", [[], ["*"], ["shop.cn"], ["https://shop.cn/"], ["https://shop.cn:443"], ["null"], ["https://SHOP.cn"]]
)
def test_it_needs_origins(origins: list[str]) -> None:
    with pytest.raises(BadRequest):
        check_origins(origins)


async def test_service_tokens_do_not_administer(
    anonymous: httpx.AsyncClient, app: Application, platform: Platform
) -> None:
    secrets = {kind: await make(platform, kind=kind, origins=[]) for kind in ("service", "admin")}
    found: dict[str, set[bool]] = {"service": set(), "admin": set()}
    for kind, secret in secrets.items():
        for _, route in app.services.platform.registry.routes:
            if isinstance(route.permission, str) and route.permission.startswith("admin.") and route.method == "GET":
                path = API + re.sub("{.*?}", "1", route.path)
                answer = await anonymous.get(path, headers={"authorization": f"Bearer {secret}"})
                found[kind].add(answer.status_code == 403)
    assert found == {"service": {True}, "admin": {False}}
    headers = {"authorization": f"Bearer {secrets['service']}"}
    assert (await anonymous.get(f"{API}/customers", headers=headers)).status_code == 200


async def test_events_in_messagepack_are_judged_alike(page: httpx.AsyncClient) -> None:
    body = msgspec.msgpack.encode({"events": [seen(), seen(identities=PHONE)]})
    answer = await page.post(f"{API}/events", content=body, headers={"content-type": "application/msgpack"})
    assert (answer.json()["accepted"], len(answer.json()["rejected"])) == (1, 1)
