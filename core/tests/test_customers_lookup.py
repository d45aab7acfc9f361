"""Who calls, and the search of the command palette: what is found, in scope, masked, and left in the audit trail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

    from conftest import MakeToken
    from zhike.orm import Database
    from zhike.testing.databases import QueryCounter
    from zhike.testing.plugin import Record

LOOKUP, SEARCH, TASKS = "/api/v1/customers/lookup", "/api/v1/search", "/api/v1/tasks"
PHONE = {"phone": "13800138000"}


async def get(client: httpx.AsyncClient, path: str, **query: Any) -> dict[str, Any]:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def looked_up(database: Database) -> list[str]:
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT details::text FROM audit WHERE action = 'customer.lookup' ORDER BY id")
    return [row[0] for row in rows]


async def test_who_calls_is_shown_with_what_they_did_and_what_is_to_be_done(
    client: httpx.AsyncClient, record: Record, database: Database
) -> None:
    paid = {"name": "order.paid", "identities": PHONE, "amount": "99.50", "properties": {"order": "A1"}}
    [first, *_] = await record(paid, {**paid, "amount": "0.50"}, {"name": "page.viewed", "identities": PHONE})
    customer = first.customer_id
    for status in ("open", "in_progress", "done"):
        made = (await client.post(TASKS, json={"title": status, "customer_id": customer})).json()
        await client.patch(f"{TASKS}/{made['id']}", json={"status": status})
    found = await get(client, LOOKUP, phone="+86 138-0013-8000")
    assert (found["phone"], found["create"]) == ("+8613800138000", None)
    assert [each["id"] for each in found["customers"]] == [customer]
    assert [each["name"] for each in found["recent"]] == ["page.viewed", "order.paid", "order.paid"]
    [figure] = found["figures"]
    assert (figure["name"], figure["count"], figure["amount"], figure["currency"]) == ("order.paid", 2, 100.0, "CNY")
    assert [each["title"] for each in found["tasks"]] == ["open", "in_progress"]
    assert await looked_up(database) == []


async def test_several_callers_are_listed_and_an_unknown_one_is_made(
    client: httpx.AsyncClient, make_token: MakeToken, database: Database
) -> None:
    unknown = await get(client, LOOKUP, phone="13800138000")
    assert (unknown["customers"], unknown["recent"], unknown["tasks"]) == ([], [], [])
    for body in (unknown["create"], {"identities": {"email": "li@example.com"}, "phone": "13800138000"}):
        assert (await client.post("/api/v1/customers", json=body)).status_code in {200, 201}
    both = await get(client, LOOKUP, phone="13800138000")
    assert ([each["id"] for each in both["customers"]], both["create"], both["recent"]) == ([2, 1], None, [])
    client.headers["authorization"] = f"Bearer {await make_token('viewer')}"
    nobody = await get(client, LOOKUP, phone="13900139000")
    assert (nobody["customers"], nobody["create"]) == ([], None)  # they may not make anybody
    shown = await get(client, LOOKUP, phone="13800138000")
    assert {each["phone"] for each in shown["customers"]} == {"138****8000"}
    assert await looked_up(database) == ['{"by": "phone", "found": []}', '{"by": "phone", "found": [2, 1]}']


async def test_only_whole_numbers_are_looked_up_and_only_by_whom_they_are_not_hidden_from(
    client: httpx.AsyncClient, record: Record, make_token: MakeToken
) -> None:
    await record({"name": "page.viewed", "identities": PHONE})
    for query in ({}, {"phone": ""}, {"phone": "8000"}, {"phone": "x"}, {"phone": "\0"}, {"phone": "1" * 101}):
        assert (await client.get(LOOKUP, params=query)).status_code == 400, query
    role = {"permissions": {"customers.read": "all"}, "rules": {"phone": "hide"}}
    answer = await client.post("/api/v1/roles", json={"name": "blind", "label": "Blind", **role})
    assert answer.status_code in {200, 201}, answer.text
    client.headers["authorization"] = f"Bearer {await make_token('blind')}"
    refused = await client.get(LOOKUP, params=PHONE)
    assert (refused.status_code, refused.json()["code"]) == (403, "hidden")


async def test_the_palette_finds_customers_and_unfinished_tasks(
    client: httpx.AsyncClient, record: Record, make_token: MakeToken, query_counter: QueryCounter
) -> None:
    [event] = await record({"name": "app.login", "identities": PHONE, "traits": {"name": "张三丰"}})
    for title, status in (("回访张三丰", "open"), ("Call 100%", "in_progress"), ("张三丰的旧事", "done")):
        made = (await client.post(TASKS, json={"title": title, "customer_id": event.customer_id})).json()
        await client.patch(f"{TASKS}/{made['id']}", json={"status": status})

    async def found(q: str, **query: Any) -> tuple[list[str], list[str]]:
        hits = await get(client, SEARCH, q=q, **query)
        return [each["name"] for each in hits["customers"]], [each["title"] for each in hits["tasks"]]

    query_counter.reset()
    assert await found("张三") == (["张三丰"], ["回访张三丰"])
    assert query_counter.count <= 4  # the token too
    assert await found("zsf") == (["张三丰"], [])
    assert await found("13800138000") == (["张三丰"], [])
    assert await found("call 100%") == ([], ["Call 100%"])
    assert await found("_all") == ([], [])
    assert await found("2") == ([], ["Call 100%"])
    for query in ({}, {"q": ""}, {"q": "x", "limit": 0}, {"q": "x" * 201}):
        assert (await client.get(SEARCH, params=query)).status_code == 400, query
    assert await found("9" * 30) == await found(" ") == ([], [])
    client.headers["authorization"] = f"Bearer {await make_token('viewer')}"
    assert (await get(client, SEARCH, q="zsf"))["customers"][0]["phone"] == "138****8000"
