"""POST /customers/search: who is found, in which order, page by page, and to whom a cursor is good."""

from __future__ import annotations

import itertools
import json
import random
from decimal import Decimal

import msgspec
import pytest

from zhike.access.actor import Actor
from zhike.conditions.decode import decode
from zhike.conditions.search import search

EVERYBODY = {"type": "all", "of": []}
BUYERS = {"type": "event", "event": "order.paid", "measure": "count", "op": "gte", "value": 1}


@pytest.fixture
def find(client):
    async def ask(condition=EVERYBODY, **more):
        return await client.post("/api/v1/customers/search", json={"condition": condition} | more)

    return ask


@pytest.fixture
def ids(find):
    async def ask(condition=EVERYBODY, **more):
        answer = await find(condition, **({"limit": 1000} | more))
        assert answer.status_code == 200, answer.text
        return [item["id"] for item in answer.json()["items"]]

    return ask


async def fill(platform, *customers):
    """Store customers: `id`, columns, and `attributes` for the rest."""
    async with platform.db.connection() as connection:
        await connection.executemany(
            "INSERT INTO customer (id, name, stage, owner, attributes, updated_at, merged_into)"
            " VALUES ($1, $2, $3, $4, $5, timestamptz '2026-01-01Z' + $6::int * interval '1 microsecond', $7)",
            [
                (
                    *(each.get(key) for key in ("id", "name", "stage", "owner")),
                    msgspec.json.Encoder(decimal_format="number").encode(each.get("attributes", {})).decode(),
                    each.get("updated", 0),
                    each.get("merged_into"),
                )
                for each in customers
            ],
        )


async def test_customers_are_shown_as_everywhere(client, find, record):
    [event] = await record(
        {"name": "order.paid", "identities": {"phone": "13800138000"}, "traits": {"name": "Zoë", "city": "上海"}}
    )
    page = (await find(BUYERS)).json()
    assert page == {"items": [(await client.get(f"/api/v1/customers/{event.customer_id}")).json()], "next": None}


async def test_the_next_search_sees_a_write(client, ids):
    assert await ids(BUYERS) == []
    for number in range(3):
        body = {"events": [{"name": "order.paid", "identities": {"external_id": f"c{number}"}}]}
        assert (await client.post("/api/v1/events", json=body)).json()["accepted"] == 1
        assert len(await ids(BUYERS)) == number + 1


async def test_what_counts_as_now_is_the_callers(ids, record):
    [event] = await record(
        {"name": "order.paid", "identities": {"external_id": "c"}, "occurred_at": "2026-03-01T00:00:00Z"}
    )
    assert await ids(BUYERS, at="2026-03-01T00:00:00Z") == [event.customer_id]
    assert await ids(BUYERS, at="2026-02-28T23:59:59Z") == []


async def test_those_merged_away_are_not_found(platform, ids):
    await fill(platform, {"id": 1}, {"id": 2, "merged_into": 1}, {"id": 3})
    assert await ids() == [1, 3]
    assert await ids({"type": "not", "of": {"type": "any", "of": []}}, sort=["-id"]) == [3, 1]


ORDERS = [
    ([], [1, 2, 3, 4, 5]),
    (["-id"], [5, 4, 3, 2, 1]),
    (["name"], [4, 2, 1, 3, 5]),  # by code point; who has no name comes last
    (["-name"], [3, 1, 2, 4, 5]),
    (["customer.name"], [4, 2, 1, 3, 5]),
    (["stage", "-id"], [3, 5, 2, 4, 1]),
    (["-updated_at"], [5, 4, 3, 2, 1]),
    (["-owner", "name"], [3, 4, 2, 1, 5]),
    (["attributes.score"], [2, 1, 4, 3, 5]),  # numbers, texts, nothing
    (["-attributes.score"], [4, 1, 2, 3, 5]),
    (["attributes.none"], [1, 2, 3, 4, 5]),
    (["id", "name"], [1, 2, 3, 4, 5]),
]


async def test_order(platform, ids):
    await fill(
        platform,
        {"id": 1, "name": "é", "updated": 1, "attributes": {"score": Decimal("10.5")}},
        {"id": 2, "name": "a", "stage": "lead", "updated": 2, "attributes": {"score": Decimal(9)}},
        {"id": 3, "name": "上海", "stage": "Won", "owner": 9, "updated": 3, "attributes": {"score": "10"}},
        {"id": 4, "name": "Z", "owner": 8, "updated": 4, "attributes": {"score": 10**30}},
        {"id": 5, "stage": "lead", "updated": 5, "attributes": {"score": None}},
    )
    for sort, expected in ORDERS:
        assert await ids(sort=sort) == expected, sort


async def test_pages_join_to_the_whole_order(platform, find, ids):
    dice = random.Random(1)
    texts = ["", "a", "A", "上", "上海", "x" * 100, "x" * 100 + "y", "𝄞" * 150, "'", None]
    await fill(
        platform,
        *(
            {
                "id": number,
                "name": dice.choice(texts),
                "stage": dice.choice([None, "lead", "won"]),
                "owner": dice.choice([None, 1, 2]),
                "updated": dice.randrange(3),
                "attributes": {
                    key: dice.choice([*texts, 1, Decimal("1.5"), -(10**300), True, [1], {"x": 1}])
                    for key in ("a", "b b'\"")
                    if dice.random() < 0.7
                },
            }
            for number in range(1, 61)
        ),
    )
    keys = ["name", "stage", "owner", "updated_at", "attributes.a", "attributes.b b'\"", "id"]
    for width in (1, 2, 3):
        for chosen in dice.sample(list(itertools.permutations(keys, width)), 6):
            sort = [dice.choice(["", "-"]) + key for key in chosen]
            whole, seen, cursor = await ids(sort=sort), [], None
            assert sorted(whole) == list(range(1, 61))
            while True:
                page = (await find(sort=sort, limit=7, **({"cursor": cursor} if cursor else {}))).json()
                seen += [item["id"] for item in page["items"]]
                cursor = page["next"]
                if cursor is None:
                    break
                assert len(cursor) <= 2000
                assert len(page["items"]) == 7
            assert seen == whole, sort


async def test_the_worst_cursor_is_taken_again(platform, find):
    worst = {key: "𝄞" * 200 for key in "abc"}
    await fill(platform, *({"id": number, "attributes": worst} for number in (1, 2)))
    sort = ["attributes.a", "-attributes.b", "attributes.c"]
    first = (await find(sort=sort, limit=1)).json()
    second = (await find(sort=sort, limit=1, cursor=first["next"])).json()
    assert ([item["id"] for item in second["items"]], second["next"]) == ([2], None)


async def test_all_pages_take_the_same_instant(find, ids, record, frozen_now):
    await record(*({"name": "order.paid", "identities": {"external_id": f"c{number}"}} for number in range(3)))
    first = (await find(BUYERS, limit=1)).json()
    frozen_now.advance(hours=1)
    late = BUYERS | {"within": "PT30M"}
    assert await ids(late) == []
    await record({"name": "order.paid", "identities": {"external_id": "late"}})
    rest = (await find(BUYERS, cursor=first["next"])).json()
    assert len(first["items"]) + len(rest["items"]) == 3
    assert len(await ids(BUYERS)) == 4


async def test_a_cursor_is_good_for_its_own_search_only(client, platform, find):
    await fill(platform, *({"id": number, "name": "x"} for number in range(1, 5)))
    asked = {"condition": {"type": "field", "field": "customer.name", "op": "eq", "value": "x"}}
    asked |= {"sort": ["name"], "at": "2026-03-14T08:00:00Z"}
    cursor = (await find(**asked, limit=2)).json()["next"]
    for changed in (
        {"condition": EVERYBODY},
        {"sort": []},
        {"sort": ["-name"]},
        {"at": "2026-03-14T08:00:01Z"},
        {"at": None},
    ):
        answer = await find(**(asked | changed), cursor=cursor)
        assert (answer.status_code, answer.json()["code"]) == (400, "cursor"), changed
    other = (await client.get("/api/v1/customers?limit=1")).json()["next"]
    for forged in (other, "", "x", cursor[:-4] + "AAAA", "é", "A" * 2000):
        answer = await find(**asked, cursor=forged)
        assert (answer.status_code, answer.json()["code"]) == (400, "cursor"), forged
    assert (await find(**asked, cursor="A" * 2001)).status_code == 400
    # The page's size is no part of the search, nor is how the body is written.
    again = await client.post("/api/v1/customers/search", content=json.dumps(asked | {"cursor": cursor}, indent=1),
                              headers={"content-type": "application/json"})  # fmt: skip
    assert [item["id"] for item in again.json()["items"]] == [3, 4]


async def test_a_masked_field_is_no_order(anonymous, make_token, platform):
    await fill(platform, {"id": 1})
    headers = {"authorization": f"Bearer {await make_token('viewer')}"}
    for sort in (["name", "phone"], ["-customer.phone"]):
        body = {"condition": EVERYBODY, "sort": sort}
        answer = await anonymous.post("/api/v1/customers/search", json=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "masked")
        assert "sort[" in answer.json()["detail"]


async def test_masked_values_are_not_shown(anonymous, make_token, record):
    await record({"name": "order.paid", "identities": {"phone": "13800138000"}})
    headers = {"authorization": f"Bearer {await make_token('viewer')}"}
    answer = await anonymous.post("/api/v1/customers/search", json={"condition": BUYERS}, headers=headers)
    assert answer.status_code == 200
    assert "13800138000" not in answer.text


async def test_nobody_out_of_scope_is_found(platform):
    await fill(platform, {"id": 1})
    condition = decode(EVERYBODY)
    assert len((await search(platform, Actor.system(), condition)).items) == 1
    nobody = Actor(kind="token", id=1, name="x", role="none", permissions=frozenset())
    assert (await search(platform, nobody, condition)).items == []


BAD_SORTS = [
    *(["nothing"], ["tags"], [""], ["-"], ["--name"], ["customer."], ["attributes."], ["name; DROP TABLE customer"]),
    *(["provenance"], ["attributes.\x00"], ["a" * 201], ["name"] * 4, "name", [None], {"name": 1}, [["name"]]),
]
BAD_LIMITS = [0, -1, "5", 1.5, None, True, []]


async def test_what_is_no_order_or_limit_is_refused(find):
    for name, values in (("sort", BAD_SORTS), ("limit", BAD_LIMITS)):
        for value in values:
            answer = await find(**{name: value})
            assert answer.status_code == 400, value
            assert name in answer.json()["detail"], value


async def test_no_field_of_a_plugin_is_offered_as_an_order(find):
    answer = await find(sort=["tasks.open"])
    assert (answer.status_code, "tasks.open" in answer.json()["detail"]) == (400, True)
    assert answer.json()["detail"].count("tasks.open") == 1


async def test_a_great_limit_counts_as_1000(platform, find):
    await fill(platform, *({"id": number} for number in range(1, 1003)))
    page = (await find(limit=10**9)).json()
    assert len(page["items"]) == 1000
    assert len((await find(limit=10**9, cursor=page["next"])).json()["items"]) == 2


async def test_a_list_of_customers_takes_a_fixed_number_of_statements(platform, find, query_counter):
    await fill(platform, *({"id": number} for number in range(1, 200)))
    query_counter.reset()
    await find(limit=200)
    assert query_counter.count < 10
