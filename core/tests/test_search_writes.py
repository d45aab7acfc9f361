"""Search sees every write at once, shows nobody what they may not see, and pages without gaps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

from zhike.access.actor import Actor
from zhike.access.roles import ROLES
from zhike.customers import service
from zhike.customers.search import index, refill

if TYPE_CHECKING:
    import httpx

    from zhike.orm import Database
    from zhike.platform import Platform
    from zhike.testing.plugin import MakeToken, Record, RunUntilIdle

CUSTOMERS = "/api/v1/customers"
PHONE = "13812345678"

Find = Callable[[str], Awaitable[list[str]]]


def event(phone: str, /, **traits: Any) -> dict[str, Any]:
    return {"name": "order.paid", "identities": {"phone": phone}, "traits": traits}


@pytest.fixture
def find(client: httpx.AsyncClient) -> Find:
    """Returns the names of whom `GET /customers?q=` finds."""

    async def find(q: str, **query: Any) -> list[str]:
        answer = await client.get(CUSTOMERS, params={"q": q, **query})
        assert answer.status_code == 200, answer.text
        return [item["name"] for item in answer.json()["items"]]

    return find


async def test_events_are_found_at_once(client: httpx.AsyncClient, find: Find) -> None:
    for name, found in (("张三", ["zs", "张三", "zhangsan"]), ("李四", ["ls", "李", "lisi"])):
        body = {"events": [event(PHONE, name=name, email="zs.work@example.cn")]}
        assert (await client.post("/api/v1/events", json=body)).json()["accepted"] == 1
        for q in [*found, "5678", "work"]:
            assert await find(q) == [name], q
    assert await find("张") == await find("zhang") == []
    await client.post("/api/v1/events", json={"events": [event(PHONE, name=None, email=None)]})
    assert await find("李") == []
    assert len(await find("5678")) == 1


async def test_an_identity_that_comes_later(record: Record, find: Find) -> None:
    both = {"external_id": "a1", "email": "second.address@example.cn"}
    await record(event(PHONE, name="王五") | {"identities": {"external_id": "a1"}})
    assert await find("address") == []
    await record(
        {"name": "app.login", "identities": both}, {"name": "app.login", "identities": both | {"phone": PHONE}}
    )
    assert await find("address") == await find("5678") == ["王五"]


async def test_exact_identities_come_alone(record: Record, find: Find) -> None:
    await record(event(PHONE, name="甲"), event("13900005678", name="13812345678 bis"))
    assert await find(f"+86 {PHONE}") == ["甲"]
    assert await find("5678") == ["13812345678 bis", "甲"]
    assert await find("13812345678 b") == ["13812345678 bis"]


async def test_visitors_who_turn_out_to_be_known(record: Record, find: Find) -> None:
    visitor = {"anonymous_id": "v1"}
    await record(
        {"name": "page.view", "identities": visitor, "traits": {"name": "游客"}}, event(PHONE, company="测试厂")
    )
    assert await find("游客") == ["游客"]
    await record({"name": "app.login", "identities": visitor | {"phone": PHONE}})
    assert await find("游客") == await find("测试") == ["游客"]


async def test_merge_and_unmerge(client: httpx.AsyncClient, record: Record, find: Find) -> None:
    stored = await record(event(PHONE, name="赵钱"), event("13900001111", name="孙李", company="百家姓"))
    winner, loser = stored[0].customer_id, stored[1].customer_id
    merged = await client.post(f"{CUSTOMERS}/merge", json={"winner": winner, "losers": [loser]})
    assert merged.status_code == 200, merged.text
    assert await find("孙李") == []
    assert await find("1111") == await find("百家") == await find("5678") == ["赵钱"]
    undone = await client.post(f"{CUSTOMERS}/unmerge", json={"merge_id": merged.json()["merge_id"]})
    assert undone.status_code == 200, undone.text
    assert await find("孙李") == await find("1111") == await find("百家") == ["孙李"]
    assert await find("5678") == ["赵钱"]


async def test_patched_and_erased(
    client: httpx.AsyncClient, record: Record, find: Find, run_until_idle: RunUntilIdle
) -> None:
    [stored] = await record(event(PHONE, name="周吴"))
    changed = await client.patch(f"{CUSTOMERS}/{stored.customer_id}", json={"name": "郑王"})
    assert changed.status_code == 200, changed.text
    assert (await find("zw"), await find("周")) == (["郑王"], [])
    assert (await client.delete(f"{CUSTOMERS}/{stored.customer_id}")).status_code == 202
    assert await find("zw") == await find("5678") == []
    await run_until_idle()
    assert await find("zw") == await find("5678") == []


@pytest.mark.parametrize("q", ["张", "z", "zs", "zhangsan", "张三 5678", "5678", "example"])
async def test_pages_have_everybody_once(database: Database, q: str) -> None:
    # Ids far apart, as in an old installation: search goes by blocks of them.
    async with database.transaction() as connection:
        ids = [n * n * n * 37 + 1 for n in range(60)]
        await connection.execute(
            "INSERT INTO customer (id, name, phone, email) "
            "SELECT id, '张三', '+8613812345678', 'x@example.cn' FROM unnest($1::bigint[]) AS n (id)",
            ids,
        )
        await index.renew(connection, ids)
    actor, seen, cursor = Actor.command("test"), [], None
    while cursor or not seen:
        page = await service.list_(database, actor, q=q, limit=7, cursor=cursor)
        seen += [customer.id for customer in page.items]
        cursor = page.next
        if not page.items:
            break
    assert seen == ([] if q == "z" else sorted(ids, reverse=True))


async def test_masked_fields_are_not_searched(
    client: httpx.AsyncClient, record: Record, find: Find, make_token: MakeToken, database: Database
) -> None:
    await record(event(PHONE, name="冯陈", email="secret.box@hidden.example"), event("13900005678", name="secret 5678"))
    assert len(await find("5678")) == len(await find("secret")) == 2
    client.headers["authorization"] = f"Bearer {await make_token('viewer')}"
    assert await find("5678") == await find("secret") == ["secret 5678"]
    for q in ("box", "hidden", "secret.box", "冯 5678", "冯 box", "fc hidden", "secret.box@hidden.example"):
        assert await find(q) == [], q
    assert await find("冯陈") == await find(PHONE) == ["冯陈"]
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM audit WHERE action = 'customer.lookup'") == 1


async def test_a_phone_that_is_no_identity(record: Record, find: Find, client: httpx.AsyncClient) -> None:
    await record(event(PHONE, name="褚卫", phone="13700009999"))
    assert await find("137 0000 9999") == await find("9999") == await find(PHONE) == ["褚卫"]
    await record(event("13500009999", name="蒋沈", company="13700009999 厂"))
    assert await find("13700009999") == ["褚卫"]


def acting(rules: dict[str, Any], **more: Any) -> Actor:
    granted = {"role": "own", "permissions": ROLES["agent"], "rules": rules}
    return Actor(kind="user", id=7, name="ann", user_id=7, **granted, **more)


@pytest.mark.parametrize("rule", ["mask", "hide"])
async def test_masked_names_are_not_searched(platform: Platform, record: Record, rule: str) -> None:
    await record(event(PHONE, name="韩杨", company="朱秦公司"))
    actor = acting({"name": rule, "phone": rule})

    async def count(q: str) -> int:
        return len((await service.list_(platform.db, actor, q=q)).items)

    assert [await count(q) for q in ("韩杨", "韩", "hy", "hanyang", "han", "5678", "韩 朱")] == [0] * 7
    assert [await count(q) for q in ("朱", "zqgs", "zhuqin")] == [1] * 3
    assert await count(PHONE) == (rule == "mask")
    everything = acting(dict.fromkeys(["name", "company", "email", "phone"], rule))
    assert (await service.list_(platform.db, everything, q="朱")).items == []


@pytest.mark.parametrize(("scope", "found"), [("all", "abcd"), ("team", "abc"), ("own", "a")])
async def test_scopes(platform: Platform, scope: str, found: str) -> None:
    async with platform.db.transaction() as connection:
        rows = await connection.fetch(
            "INSERT INTO customer (name, owner, team) VALUES "
            "('张 a', 7, NULL), ('张 b', NULL, 3), ('张 c', 8, 4), ('张 d', 8, 5) RETURNING id"
        )
        await index.renew(connection, [row["id"] for row in rows])
    actor = acting({}, teams=frozenset({3, 4}), scopes={"customers.read": scope})
    page = await service.list_(platform.db, actor, q="zhang")
    assert sorted(customer.name for customer in page.items) == [f"张 {letter}" for letter in found]
    nobody = Actor(kind="token", id=1, name="x", role="x", permissions=frozenset())
    assert (await service.list_(platform.db, nobody, q="zhang")).items == []


async def test_whoever_gets_a_customer_finds_them(
    client: httpx.AsyncClient, platform: Platform, record: Record
) -> None:
    [stored] = await record(event(PHONE, name="尤许"))
    actor = acting({}, scopes={"customers.read": "own"})
    assert (await service.list_(platform.db, actor, q="尤")).items == []
    async with platform.db.transaction() as connection:
        await connection.execute(
            "INSERT INTO app_user (id, login, name, role, password_hash) VALUES (7, 'a', 'A', 'agent', '')"
        )
    changed = await client.patch(f"{CUSTOMERS}/{stored.customer_id}", json={"owner": 7})
    assert changed.status_code == 200, changed.text
    assert len((await service.list_(platform.db, actor, q="尤")).items) == 1


async def test_customers_from_before_are_indexed_by_a_job(
    platform: Platform, find: Find, run_until_idle: RunUntilIdle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refill, "_CHUNK", 2)
    async with platform.db.transaction() as connection:
        await connection.execute("INSERT INTO customer (name) SELECT '何吕' FROM generate_series(1, 5)")
        await connection.execute(
            "INSERT INTO job (name, key, payload) VALUES ($1, $1, '{\"after\": 0}')", refill.REFILL
        )
    assert await find("hl") == []
    await run_until_idle()
    assert await find("hl") == ["何吕"] * 5
