"""Files: stored and read in pieces, by whoever may, under any name, and nothing left of what was cut off or expired."""

from __future__ import annotations

import asyncio
import hashlib
import re
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from zhike import clock
from zhike.access.actor import Actor
from zhike.errors import BadRequest, NotFound, TooLarge
from zhike.files import service
from zhike.files.jobs import expire
from zhike.platform import Platform

Record = Callable[..., Awaitable[list[Any]]]
MakeToken = Callable[..., Awaitable[str]]
ACTOR = Actor.command("test")
MIB = 1 << 20


async def pieces(*given: bytes) -> AsyncIterator[bytes]:
    for each in given:
        yield each


async def stored(platform: Platform, content: bytes = b"a,b\n1,2\n", **given: Any) -> service.File:
    values = {"name": "客户 2024.csv", "owner": "tasks", "permission": "tasks.read", "media_type": "text/csv"}
    return await service.store(platform, ACTOR, pieces=pieces(content), **{**values, **given})


async def fetch(platform: Platform, sql: str) -> list[tuple[Any, ...]]:
    async with platform.db.connection() as connection:
        return [tuple(row) for row in await connection.fetch(sql)]


async def left(platform: Platform) -> tuple[int, int]:
    [row] = await fetch(platform, "SELECT (SELECT count(*) FROM file), (SELECT count(*) FROM file_chunk)")
    return row[0], row[1]


async def test_a_file_comes_out_as_it_came_in(platform: Platform, client: httpx.AsyncClient) -> None:
    content = bytes(range(256)) * 10_000  # of 2.4 MiB, in pieces that do not fit the chunks
    cut = [content[place : place + 70_001] for place in range(0, len(content), 70_001)]
    file = await service.store(
        platform, ACTOR, name="C:\\报表\\..客户“数据”.csv", pieces=pieces(*cut), owner="tasks", permission="tasks.read"
    )
    assert (file.name, file.size, file.created_by) == ("客户“数据”.csv", len(content), "command:test")
    assert file.sha256 == hashlib.sha256(content).hexdigest()
    assert await left(platform) == (1, 3)
    assert file == await service.find(platform.db, file.id, owner="tasks")
    answer = await client.get(f"/api/v1/files/{file.id}")
    assert (answer.status_code, answer.content) == (200, content)
    headers = answer.headers
    assert headers["content-type"] == "application/octet-stream"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-length"] == str(len(content))
    plain, _, wide = headers["content-disposition"].partition("; filename*=UTF-8''")
    assert plain == 'attachment; filename="______.csv"'
    assert unquote(wide) == "客户“数据”.csv"
    page = await client.get(f"/files/{file.id}")
    assert (page.status_code, page.content) == (200, content)
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["content-disposition"] == headers["content-disposition"]
    assert await fetch(platform, "SELECT action, object FROM audit WHERE object LIKE 'file:%'") == [
        ("file.store", f"file:{file.id}")
    ]


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("../../etc/passwd", "passwd"),
        ("a\r\nSet-Cookie: x=1.csv", "aSet-Cookie x=1.csv"),
        ("\u202egpj.exe", "gpj.exe"),
        ('"\\', "file"),
        ("..", "file"),
        ("\ud800\x00", "file"),
        ("名" * 300 + ".xlsx", "名" * 179 + ".xlsx"),
        ("n" * 300, "n" * 200),
    ],
)
async def test_any_name_becomes_one_that_can_be_had(platform: Platform, given: str, name: str) -> None:
    assert (await stored(platform, name=given)).name == name


@pytest.mark.parametrize("media_type", ["text/html\r\nx: y", "html", "", "文/本"])
async def test_a_media_type_that_is_none_is_not_passed_on(platform: Platform, media_type: str) -> None:
    assert (await stored(platform, media_type=media_type)).media_type == "application/octet-stream"


async def test_what_is_cut_off_leaves_nothing(platform: Platform) -> None:
    begun = asyncio.Event()

    async def broken() -> AsyncIterator[bytes]:
        yield bytes(3 * MIB)
        raise ConnectionResetError

    async def endless() -> AsyncIterator[bytes]:
        yield bytes(3 * MIB)
        begun.set()
        await asyncio.Event().wait()

    given: dict[str, Any] = {"name": "x", "owner": "tasks", "permission": "tasks.read"}
    with pytest.raises(ConnectionResetError):
        await service.store(platform, ACTOR, pieces=broken(), **given)
    assert await left(platform) == (0, 0)
    task = asyncio.create_task(service.store(platform, ACTOR, pieces=endless(), **given))
    await begun.wait()
    assert await left(platform) == (1, 3)
    with pytest.raises(NotFound):  # nobody sees it before it is whole
        await service.find(platform.db, (await fetch(platform, "SELECT id FROM file"))[0][0])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await left(platform) == (0, 0)
    with pytest.raises(BadRequest):
        await stored(platform, b"")
    assert await left(platform) == (0, 0)


async def test_the_limit_holds_to_the_byte_and_memory_stays_small(platform: Platform) -> None:
    async def many(size: int) -> AsyncIterator[bytes]:
        for _ in range(size // MIB):
            yield bytes(MIB)
        if size % MIB:
            yield bytes(size % MIB)

    given: dict[str, Any] = {"name": "x", "owner": "tasks", "permission": "tasks.read"}
    tracemalloc.start()
    try:
        file = await service.store(platform, ACTOR, pieces=many(service.MAX_SIZE), **given)
        read = 0
        async for piece in service.open_(platform.db, file):
            read += len(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (file.size, read) == (50 * MIB, 50 * MIB)
    assert peak < 12 * MIB
    with pytest.raises(TooLarge):
        await service.store(platform, ACTOR, pieces=many(service.MAX_SIZE + 1), **given)
    assert (await left(platform))[0] == 1


async def test_a_file_asks_for_its_own_permission(
    platform: Platform, anonymous: httpx.AsyncClient, make_token: MakeToken, acting: Any
) -> None:
    file = await stored(platform, permission="admin.audit")
    for role, status in (("viewer", 404), ("admin", 200)):
        anonymous.headers["authorization"] = f"Bearer {await make_token(role)}"
        assert (await anonymous.get(f"/api/v1/files/{file.id}")).status_code == status
    # Nobody else is told whether there is one.
    scoped = ({"admin.audit": "all"}, {"files.read": "all"}, {"files.read": "all", "admin.audit": "all"})
    for permissions in scoped:
        asker = await acting(permissions)
        for path in ("/api/v1/files/", "/files/"):
            there, not_there = [await asker.get(f"{path}{number}") for number in (file.id, 7_000_999)]
            assert there.status_code == not_there.status_code == (404 if "files.read" in permissions else 403)
            ids = re.compile(rf"\b({file.id}|7000999)\b")
            assert ids.sub("N", there.text) == ids.sub("N", not_there.text)


async def test_a_file_of_a_customer_is_seen_with_the_customer_and_erased_with_them(
    platform: Platform, record: Record, acting: Any, client: httpx.AsyncClient
) -> None:
    [event] = await record({"name": "page.view", "identities": {"phone": "13800138000"}})
    file = await stored(platform, customer_id=event.customer_id)
    own = await acting({"files.read": "all", "tasks.read": "own"})
    assert (await own.get(f"/api/v1/files/{file.id}")).status_code == 404
    every = await acting({"files.read": "all", "tasks.read": "all"})
    assert (await every.get(f"/api/v1/files/{file.id}")).status_code == 200
    [other] = await record({"name": "page.view", "identities": {"phone": "13900139000"}})
    merge = {"winner": other.customer_id, "losers": [event.customer_id]}
    assert (await client.post("/api/v1/customers/merge", json=merge)).status_code == 200
    assert (await service.find(platform.db, file.id)).customer_id == other.customer_id
    assert (await client.delete(f"/api/v1/customers/{other.customer_id}")).status_code == 202
    from zhike.testing import running

    await running.run_until_idle(platform)
    assert await left(platform) == (0, 0)
    with pytest.raises(NotFound):  # whoever began before, or never looked, leaves nothing either
        await stored(platform, customer_id=other.customer_id)
    assert await left(platform) == (0, 0)


async def test_a_file_whose_customer_is_erased_while_it_is_stored_is_not_there(
    platform: Platform, record: Record
) -> None:
    [event] = await record({"name": "page.view", "identities": {"phone": "13800138000"}})

    async def cut() -> AsyncIterator[bytes]:
        yield bytes(MIB)
        async with platform.db.transaction() as connection:
            await connection.execute("DELETE FROM file")
        yield bytes(MIB)

    values = {"name": "a", "owner": "tasks", "permission": "tasks.read", "customer_id": event.customer_id}
    with pytest.raises(NotFound):
        await service.store(platform, ACTOR, pieces=cut(), **values)
    assert await left(platform) == (0, 0)


async def test_what_has_expired_is_gone_at_once_and_deleted_later(platform: Platform) -> None:
    now = clock.now()
    kept = await stored(platform, expires_at=now + timedelta(hours=1))
    old = await stored(platform, expires_at=now - timedelta(seconds=1))
    with pytest.raises(NotFound):
        await service.find(platform.db, old.id)
    async with platform.db.transaction() as connection:
        await service.keep(connection, kept.id)
        # What two processes have left that were killed: one of yesterday, and one that may still be going on.
        for age in ("25 hours", "23 hours"):
            await connection.execute(
                "INSERT INTO file (name, media_type, owner, permission, created_by, created_at) "
                f"VALUES ('{age}', 'a/b', 'x', 'x', 'x', $1::timestamptz - interval '{age}')",
                now,
            )
    await expire([], platform)
    assert await fetch(platform, "SELECT name FROM file ORDER BY id") == [("客户 2024.csv",), ("23 hours",)]
    assert (await service.find(platform.db, kept.id)).expires_at is None
    async with platform.db.transaction() as connection:
        await service.delete(connection, ACTOR, kept)
    with pytest.raises(NotFound):
        await anext(service.open_(platform.db, kept))
