"""Bad input over HTTP: a 4xx or a rejected item in the reader's language, never a 500, and nothing good is lost."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from zhike._host.web.app import Application
from zhike.api import API

GOOD = {"name": "app.login", "message_id": "good", "identities": {"external_id": "c1"}}
INJECTION = "'; DROP TABLE event; -- \" \\ {{7*7}} ${x} %s %(a)s $1"
JSON = {"content-type": "application/json"}


def batch(*items: str | dict[str, Any]) -> bytes:
    texts = [item if isinstance(item, str) else json.dumps(item) for item in items]
    return f'{{"events":[{",".join(texts)}]}}'.encode()


NO_BODIES = (
    b"",
    b"{",
    b"null",
    b"[]",
    b'"events"',
    b"{}",
    b'{"events":{}}',
    b'{"events":null}',
    b'{"events":[],"more":1}',
    b'{"events":[]} trailing',
    b"\xff\xfe{}",
    b'{"events":[' + b"[" * 10_000 + b"]" * 10_000 + b"",
    b"[" * 10_000,
    b'{"a":' * 10_000,
    b"\x00",
    b"\x1f\x8b\x08\x00gzip",
)
BAD_ITEMS = (
    "5",
    "null",
    "[]",
    '{"name":5}',
    '{"name":"a"}',
    '{"name":"a","identities":{}}',
    '{"name":"a","identities":{"phone":13800138000}}',
    '{"name":"a","identities":{"phone":"not a number"}}',
    '{"name":"customer.created","identities":{"phone":"13800138000"}}',
    '{"name":"a","identities":{"external_id":"c1"},"occurred_at":"yesterday"}',
    '{"name":"a","identities":{"external_id":"c1"},"occurred_at":"1969-12-31T00:00:00Z"}',
    '{"name":"a","identities":{"external_id":"c1"},"occurred_at":"9999-12-31T00:00:00Z"}',
    '{"name":"a","identities":{"external_id":"c1"},"amount":1e400}',
    '{"name":"a","identities":{"external_id":"c1"},"amount":"12,30"}',
    '{"name":"a","identities":{"external_id":"c1"},"amount":"1.234"}',
    '{"name":"a","identities":{"external_id":"c1"},"amount":"NaN"}',
    '{"name":"a","identities":{"external_id":"c1"},"properties":{"a":1e400}}',
    '{"name":"a","identities":{"external_id":"c1"},"properties":{"a":"\\u0000"}}',
    '{"name":"a","identities":{"external_id":"c1"},"properties":{"a":"\\ud800"}}',
    '{"name":"a","identities":{"external_id":"c\\u0000"}}',
    '{"name":"a\\u0000","identities":{"external_id":"c1"}}',
    '{"name":"a","identities":{"external_id":"c1"},"traits":{"city":"\\u0000"}}',
    '{"name":"a","identities":{"external_id":"c1"},"properties":' + '{"a":' * 10_000 + "1" + "}" * 10_001,
    '{"name":"a","identities":{"external_id":"c1"},"properties":{"a":"' + "x" * 1_000_000 + '"}}',
    '{"name":"a","identities":{"external_id":"' + "x" * 1_000_000 + '"}}',
    '{"name":"' + "a" * 201 + '","identities":{"external_id":"c1"}}',
    '{"name":"a","identities":{"external_id":"c1"},"message_id":"' + "m" * 201 + '"}',
)


@pytest.mark.parametrize("path", ["/events", "/conditions/count"])
async def test_a_body_that_is_none(client: httpx.AsyncClient, path: str) -> None:
    for media_type in ("application/json", "application/msgpack"):
        for body in NO_BODIES:
            answer = await client.post(API + path, content=body, headers={"content-type": media_type})
            assert answer.status_code == 400, (media_type, body[:50], answer.text)
            assert answer.json()["detail"]


async def test_one_bad_item_spoils_no_other(client: httpx.AsyncClient) -> None:
    for case, bad in enumerate(BAD_ITEMS):
        others: list[str | dict[str, Any]] = [{**GOOD, "message_id": f"good-{case}-{n}"} for n in range(99)]
        others.insert(50, bad)
        answer = await client.post(f"{API}/events", content=batch(*others), headers=JSON)
        assert answer.status_code == 200, (bad[:200], answer.text)
        result = answer.json()
        assert result["accepted"] == 99, (bad[:200], result)
        (rejected,) = result["rejected"]
        assert rejected["index"] == 50
        assert rejected["code"]
        assert rejected["message"]


async def test_half_a_utf8_character_spoils_no_other(client: httpx.AsyncClient) -> None:
    body = batch(GOOD, {**GOOD, "message_id": "bad", "source": "HALF"}).replace(b"HALF", b"\xe4\xbd")
    answer = await client.post(f"{API}/events", content=body, headers=JSON)
    assert answer.status_code == 200
    assert answer.json()["accepted"] == 1
    assert [item["index"] for item in answer.json()["rejected"]] == [1]


async def test_a_10_mb_string(client: httpx.AsyncClient) -> None:
    body = batch(GOOD, {**GOOD, "message_id": "long", "properties": {"a": "x" * 10_000_000}})
    answer = await client.post(f"{API}/events", content=body, headers=JSON)
    assert answer.status_code == 200
    assert answer.json()["accepted"] == 1
    assert len(answer.content) < 1000


async def test_the_same_id_twice_in_one_batch_counts_once(client: httpx.AsyncClient) -> None:
    answer = (await client.post(f"{API}/events", content=batch(GOOD, GOOD, GOOD), headers=JSON)).json()
    assert (answer["accepted"], answer["duplicate"], answer["rejected"]) == (1, 2, [])


async def test_more_events_than_a_call_may_have(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"{API}/events", content=batch(*(["{}"] * 5001)), headers=JSON)
    assert answer.status_code == 413


async def test_sql_and_templates_in_every_field_stay_text(client: httpx.AsyncClient) -> None:
    event = {
        "name": "app.login",
        "message_id": INJECTION,
        "identities": {"external_id": INJECTION},
        "traits": {"name": INJECTION, "city": INJECTION, INJECTION: INJECTION},
        "properties": {INJECTION: INJECTION},
        "source": INJECTION,
    }
    answer = (await client.post(f"{API}/events", json={"events": [event]})).json()
    assert answer["accepted"] == 1, answer
    found = (await client.get(f"{API}/customers", params={"q": INJECTION})).json()["items"]
    assert [customer["name"] for customer in found] == [INJECTION]
    assert found[0]["attributes"][INJECTION] == INJECTION
    rejected = await client.post(f"{API}/events", json={"events": [{**event, "name": INJECTION}]})
    assert rejected.status_code == 200
    for condition in (
        {"type": "field", "field": f"customer.attributes.{INJECTION}", "op": "eq", "value": INJECTION},
        {"type": "field", "field": INJECTION, "op": "eq", "value": 1},
        {"type": "field", "field": "customer.name", "op": INJECTION, "value": 1},
        {"type": "event", "event": INJECTION, "measure": "count", "op": "gte", "value": 1},
        {"type": "event", "event": "app.login", "measure": INJECTION, "op": "gte", "value": 1},
        {"type": "event", "event": "app.login", "measure": "count", "within": INJECTION, "op": "gte", "value": 1},
    ):
        answer = await client.post(f"{API}/conditions/count", json={"condition": condition})
        assert answer.status_code in {200, 400}, answer.text
    assert (await client.get(f"{API}/customers")).status_code == 200


async def test_an_unknown_condition_field_is_named(client: httpx.AsyncClient) -> None:
    condition = {"type": "all", "of": [{"type": "field", "field": "customer.shoe_size", "op": "eq", "value": 1}]}
    answer = await client.post(f"{API}/conditions/count", json={"condition": condition})
    assert answer.status_code == 400
    assert "shoe_size" in answer.json()["detail"]
    assert "of[0]" in answer.json()["detail"]


async def test_an_at_that_is_no_instant(client: httpx.AsyncClient) -> None:
    for at in ("yesterday", 5, "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", ""):
        body = {"condition": {"type": "all", "of": []}, "at": at}
        assert (await client.post(f"{API}/conditions/count", json=body)).status_code == 400, at


async def test_a_cursor_from_elsewhere(client: httpx.AsyncClient) -> None:
    events = [{**GOOD, "message_id": str(n), "identities": {"external_id": f"c{n}"}} for n in range(3)]
    await client.post(f"{API}/events", json={"events": events})
    cursor = (await client.get(f"{API}/customers", params={"limit": 1})).json()["next"]
    assert cursor
    first = (await client.get(f"{API}/customers", params={"limit": 1})).json()["items"][0]["id"]
    for path in (f"{API}/customers/{first}/events", f"{API}/events/types"):
        answer = await client.get(path, params={"cursor": cursor})
        assert answer.status_code == 400
    for bad in ("x", "é", cursor[:-2], cursor + "A", "A" * 2000, "A" * 2001, ""):
        assert (await client.get(f"{API}/customers", params={"cursor": bad})).status_code == 400, bad


async def test_an_id_that_nothing_can_have(client: httpx.AsyncClient) -> None:
    for bad in ("0", "-1", "abc", "1.5", "9223372036854775808", "9" * 5000, "%C3%A9", "1%20", "0x10", "٣", "1;--"):
        for suffix in ("", "/events"):
            answer = await client.get(f"{API}/customers/{bad}{suffix}")
            assert answer.status_code in {400, 404}, bad
            assert len(answer.content) < 1000


async def test_bad_addresses(client: httpx.AsyncClient) -> None:
    for path, status in (
        ("/customers/%00", 400),
        ("/customers/%ff", 400),
        ("/customers?q=%00", 400),
        ("/customers?q=%ff%fe", 400),
        ("/customers?q=" + "a" * 9000, 414),
        ("/customers?q=" + "a" * 201, 400),
        ("/customers?limit=1&limit=2", 400),
        ("/customers?nothing=1", 400),
        ("/customers?" + "&".join(f"a{n}=1" for n in range(100)), 400),
        ("/" + "a" * 9000, 414),
    ):
        url = httpx.URL("http://zhike").copy_with(raw_path=(API + path).encode())
        answer = await client.get(url)
        assert answer.status_code == status, path[:50]
        assert answer.headers["content-type"] == "application/problem+json"


async def test_formats_that_are_not_read(client: httpx.AsyncClient) -> None:
    for path in ("/events", "/conditions/count"):
        for headers in (
            {"content-type": "text/plain"},
            {"content-type": "application/x-www-form-urlencoded"},
            {"content-type": "application/json; charset=gb18030"},
            {"content-type": ""},
            {"content-type": "application/json", "content-encoding": "gzip"},
            {"content-type": "application/json", "content-encoding": "br"},
        ):
            answer = await client.post(API + path, content=batch(GOOD), headers=headers)
            assert answer.status_code == 415, headers


async def test_a_charset_of_utf8_is_read(client: httpx.AsyncClient) -> None:
    headers = {"content-type": 'Application/JSON; charset="UTF-8"', "content-encoding": "identity"}
    assert (await client.post(f"{API}/events", content=batch(GOOD), headers=headers)).status_code == 200


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_over_the_limit_is_refused_while_it_comes(
    app: Application, client: httpx.AsyncClient, announced: bool
) -> None:
    limit = app.services.settings.body_limit
    sent = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1024 * 1024
            yield b" " * 1024 * 1024

    headers = {**JSON, **({"content-length": str(1000 * 1024 * 1024)} if announced else {})}
    answer = await client.post(f"{API}/events", content=pieces(), headers=headers)
    assert answer.status_code == 413
    assert answer.headers["connection"] == "close"
    assert sent <= (0 if announced else limit + 2 * 1024 * 1024)


async def test_a_client_that_goes_away_stores_nothing(app: Application, client: httpx.AsyncClient) -> None:
    messages = [
        {"type": "http.request", "body": batch(GOOD), "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": f"{API}/events",
        "raw_path": f"{API}/events".encode(),
        "query_string": b"",
        "headers": [
            (b"authorization", client.headers["authorization"].encode()),
            (b"content-type", b"application/json"),
        ],
    }
    await app(scope, receive, send)  # type: ignore[arg-type]  # a scope with only what is needed
    assert sent[0]["status"] == 400
    assert (await client.get(f"{API}/customers")).json()["items"] == []
