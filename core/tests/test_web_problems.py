"""What is answered, and logged, when something fails on our side."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import httpx
import pytest

from zhike._host.logs import JsonFormatter
from zhike._host.web.app import create_app
from zhike.api import Call, Public, Route
from zhike.errors import TooMany, Unavailable
from zhike.i18n import text
from zhike.settings import Settings

PHONE = "13800138000"


async def defect(_: Call) -> None:
    raise ValueError(f"cannot read {PHONE}")


async def too_slow(call: Call) -> None:
    async with call.db.transaction() as connection:
        await connection.execute("SET LOCAL statement_timeout = 50")
        await connection.execute("SELECT pg_sleep(5)")


async def read_only(call: Call) -> None:
    async with call.db.transaction() as connection:
        await connection.execute("SET TRANSACTION READ ONLY")
        await connection.execute("DELETE FROM api_token")


async def lock_wait(call: Call) -> None:
    async with call.db.transaction() as connection:
        await connection.execute("LOCK TABLE api_token")
        async with call.db.pool.acquire() as other, other.transaction():
            await other.execute("SET LOCAL lock_timeout = 50")
            await other.execute("LOCK TABLE api_token")


async def disk_full(_: Call) -> None:
    raise asyncpg.DiskFullError("could not extend file")


async def queue_full(_: Call) -> None:
    raise TooMany(text("Too much is waiting"), retry_after=3)


async def gone(_: Call) -> None:
    raise Unavailable(text("The database is away"))


@pytest.fixture
async def ask(settings: Settings, database_url: str) -> AsyncIterator[Callable[[str], Awaitable[httpx.Response]]]:
    """Sends a GET to a route that fails in some way."""
    routes = [
        Route(
            method="GET",
            path=f"/{handler.__name__}",
            handler=handler,
            permission=Public("a test"),
            summary="",
            answer=None,
        )
        for handler in (defect, too_slow, read_only, lock_wait, disk_full, queue_full, gone)
    ]
    app = create_app(settings, database_url, routes=routes)
    async with (
        app.services.running(),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://zhike") as client,
    ):
        yield lambda name: client.get(f"/api/v1/{name}")


async def test_a_defect_is_told_by_an_id_and_logged_without_data(
    ask: Callable[[str], Awaitable[httpx.Response]], caplog: pytest.LogCaptureFixture
) -> None:
    answer = await ask("defect")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert PHONE not in answer.text
    (record,) = [record for record in caplog.records if record.name == "zhike.web"]
    assert answer.json()["error_id"] in record.getMessage()
    assert "ValueError" in record.getMessage()
    assert "test_web_problems.py" in record.getMessage()
    assert PHONE not in record.getMessage()


@pytest.mark.parametrize("name", ["too_slow", "read_only", "lock_wait", "disk_full", "gone"])
async def test_a_database_that_cannot_serve_is_503(ask: Callable[[str], Awaitable[httpx.Response]], name: str) -> None:
    answer = await ask(name)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["code"] == "unavailable"
    assert (await ask("gone")).status_code == 503


async def test_too_much_waiting_is_429(ask: Callable[[str], Awaitable[httpx.Response]]) -> None:
    answer = await ask("queue_full")
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "3"


async def test_without_a_database_requests_get_503_and_readiness_says_why(settings: Settings) -> None:
    app = create_app(settings, "postgresql://postgres@127.0.0.1:1/nothing")
    async with (
        app.services.running(),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://zhike") as client,
    ):
        ready = await client.get("/health/ready")
        assert ready.status_code == 503
        assert ready.json()["reasons"]
        assert (await client.get("/health/live")).status_code == 200
        headers = {"authorization": "Bearer zk_" + "a" * 43}
        answer = await client.get("/api/v1/customers", headers=headers)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"


async def test_a_process_that_started_before_its_database_recovers(
    settings: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zhike.orm import Database

    opened = Database.open

    async def refused(*_: object, **__: object) -> Database:
        raise Unavailable(text("not yet"))

    monkeypatch.setattr(Database, "open", refused)
    app = create_app(settings, database_url)
    async with (
        app.services.running(),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://zhike") as client,
    ):
        assert (await client.get("/health/ready")).status_code == 503
        monkeypatch.setattr(Database, "open", opened)
        async with asyncio.timeout(30):
            while (await client.get("/health/ready")).status_code != 200:  # noqa: ASYNC110  # an answer is awaited
                await asyncio.sleep(0.05)


def test_a_log_line_is_not_lost_for_bytes_that_are_no_text() -> None:
    code = compile("1 / 0", "hooks/bad\udcff.py", "exec")
    with pytest.raises(ZeroDivisionError) as caught:
        exec(code)
    record = logging.LogRecord("x", logging.ERROR, "", 1, "%s failed", ("hooks/bad\udcff.py",), caught._excinfo)
    read = json.loads(JsonFormatter().format(record))
    assert read["message"] == r"hooks/bad\udcff.py failed"
    assert r"bad\udcff.py:1" in read["error"]


def test_log_lines_are_json_without_what_an_error_quotes() -> None:
    try:
        try:
            raise KeyError(PHONE)
        except KeyError as cause:
            raise ValueError(PHONE) from cause
    except ValueError as error:
        record = logging.LogRecord(
            "x", logging.ERROR, __file__, 1, "failed %s", ("here",), (ValueError, error, error.__traceback__)
        )
    line = JsonFormatter().format(record)
    assert PHONE not in line
    assert "\n" not in line
    read = json.loads(line)
    assert read["message"] == "failed here"
    assert read["error"].startswith("ValueError at test_web_problems.py")
    assert "KeyError" in read["error"]
