"""What every answer tells a browser, and the settings that logins depend on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from zhike._host.web.reply import stream
from zhike.api import API, Stream
from zhike.errors import Refused
from zhike.orm import Database
from zhike.settings import load

EVERYWHERE = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


async def test_every_answer_says_how_it_is_to_be_treated(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret words")

    monkeypatch.setattr("zhike.access.users.list_", fail)
    answers = [
        await client.get(f"{API}/tasks"),
        await client.get(f"{API}/customers"),
        await client.get(f"{API}/customers", headers={"authorization": "Bearer none"}),
        await client.get("/nowhere"),
        await client.get(f"/{'x' * 9000}"),
        await client.post(f"{API}/events", content=b"{"),
        await client.post(f"{API}/session", json={"login": "nobody", "password": "wrong"}),
        await client.options(f"{API}/events"),
        await client.get(f"{API}/users"),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 401, 404, 414, 415, 401, 204, 500]
    for answer in answers:
        assert EVERYWHERE.items() <= dict(answer.headers).items()
        policy = answer.headers["content-security-policy"]
        for directive in ("default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"):
            assert directive in policy
        assert "strict-transport-security" not in answer.headers
        assert "secret words" not in answer.text
        assert "Traceback" not in answer.text
    page = await client.get("/login")
    assert {**EVERYWHERE, "referrer-policy": "same-origin"}.items() <= dict(page.headers).items()
    for directive in ("default-src 'none'", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'"):
        assert directive in page.headers["content-security-policy"]


async def test_what_is_to_be_saved_comes_as_an_attachment() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await stream(Stream(pieces(), "text/csv", "customers.csv"))({}, None, send)  # type: ignore[arg-type]  # unused
    headers = dict(sent[0]["headers"])
    assert headers[b"content-disposition"] == b'attachment; filename="customers.csv"'
    assert b"".join(message["body"] for message in sent[1:]) == b"ab"


async def test_a_new_installation_has_no_user(database: Database) -> None:
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM app_user") == 0


def test_settings_of_logins(tmp_path: Path) -> None:
    given = {
        "ZHIKE_PUBLIC_URL": "https://crm.example.com/",
        "ZHIKE_TRUSTED_PROXIES": "10.0.0.0/8, ::1",
        "ZHIKE_SESSION_IDLE_SECONDS": "600",
        "ZHIKE_SESSION_SECONDS": "3600",
        "ZHIKE_COLLECT_LIMIT": "7",
    }
    settings = load(tmp_path, given)
    assert settings.public_url == "https://crm.example.com"
    assert settings.secure
    assert settings.trusted_proxies == ("10.0.0.0/8", "::1/128")
    assert (settings.session_idle, settings.session_lifetime, settings.collect_limit) == (600, 3600, 7)
    assert not load(tmp_path, {}).secure


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ZHIKE_PUBLIC_URL", "crm.example.com"),
        ("ZHIKE_PUBLIC_URL", "https://crm.example.com/zhike"),
        ("ZHIKE_PUBLIC_URL", "https://crm.example.com:443"),
        ("ZHIKE_PUBLIC_URL", "ftp://crm.example.com"),
        ("ZHIKE_TRUSTED_PROXIES", "proxy.internal"),
        ("ZHIKE_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("ZHIKE_SESSION_IDLE_SECONDS", "0"),
        ("ZHIKE_SESSION_SECONDS", "1e12"),
        ("ZHIKE_COLLECT_LIMIT", "-1"),
    ],
)
def test_settings_that_cannot_be_used(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(Refused, match=name):
        load(tmp_path, {name: value})
