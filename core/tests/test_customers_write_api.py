"""Writing customers through the API: made by what identifies them, changed by id, many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from zhike.access.actor import Actor
from zhike.access.roles import ROLES
from zhike.conditions import bulk
from zhike.customers import write
from zhike.customers.said import Said, pairs_of, said_of
from zhike.customers.schemas import CustomerChange
from zhike.customers.upsert import upsert
from zhike.errors import NotFound, ZhikeError
from zhike.hooks import Rejected, hookimpl
from zhike.work import begin

if TYPE_CHECKING:
    import httpx

    from zhike.orm import Database
    from zhike.platform import Platform

CUSTOMERS = "/api/v1/customers"
PHONE = "13800138000"

Write = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def make(client: httpx.AsyncClient) -> Write:
    """Makes a customer, or changes the one with these identities, and returns it."""

    async def make(**said: Any) -> dict[str, Any]:
        answer = await client.post(CUSTOMERS, json={"identities": {"phone": PHONE}, **said})
        assert answer.is_success, answer.text
        made: dict[str, Any] = answer.json()
        assert answer.status_code == (201 if made["created"] else 200)
        return made

    return make


@pytest.fixture
def change(client: httpx.AsyncClient) -> Write:
    """Changes a customer and returns it."""

    async def change(customer_id: int, **said: Any) -> dict[str, Any]:
        answer = await client.patch(f"{CUSTOMERS}/{customer_id}", json=said)
        assert answer.status_code == 200, answer.text
        changed: dict[str, Any] = answer.json()
        return changed

    return change


@pytest.fixture
async def user(database: Database) -> int:
    """An active user's id."""
    async with database.connection() as connection:
        user_id: int = await connection.fetchval(
            "INSERT INTO app_user (login, name, password_hash, role) VALUES ('li', 'Li', 'x', 'agent') RETURNING id"
        )
    return user_id


async def told(database: Database, customer_id: int) -> list[tuple[str, dict[str, Any]]]:
    """Return name and properties of what the core has recorded of a customer."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT name, properties::text FROM event WHERE customer_id = $1 AND NOT behaviour ORDER BY id", customer_id
        )
    return [(name, msgspec.json.decode(properties)) for name, properties in rows]


async def audited(database: Database, customer_id: int) -> list[tuple[str, dict[str, Any]]]:
    """Return what the audit trail says of a customer."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT action, details::text FROM audit WHERE object = $1 ORDER BY id", f"customer:{customer_id}"
        )
    return [(action, msgspec.json.decode(details)) for action, details in rows]


# --- making -----------------------------------------------------------------------------------------------------------


async def test_a_customer_is_made_with_all_that_follows(make, client, database):
    made = await make(
        kind="company",
        name="中车",
        stage="线索",
        identities={"phone": PHONE, "external_id": ["A1", "A2"]},
        attributes={"city": "株洲", "size": 3},
    )
    assert made["created"] is True
    assert made["identities"] == {"external_id": ["A1", "A2"], "phone": ["+8613800138000"]}
    assert (made["kind"], made["name"], made["phone"], made["stage"]) == ("company", "中车", "+8613800138000", "线索")
    assert made["attributes"] == {"city": "株洲", "size": 3}
    shown = (await client.get(f"{CUSTOMERS}/{made['id']}")).json()
    assert shown == {name: value for name, value in made.items() if name != "created"}
    # Phone numbers are masked for some, so that their values are told nobody.
    fields = {"kind": "company", "name": "中车", "stage": "线索", "city": "株洲", "size": 3}
    assert await told(database, made["id"]) == [("customer.created", {"fields": fields})]
    [(action, details)] = await audited(database, made["id"])
    assert action == "customer.create"
    assert details["fields"] == ["city", "kind", "name", "phone", "size", "stage"]
    assert PHONE not in str(details)
    assert (await client.get(CUSTOMERS, params={"q": "中车"})).json()["items"] == [shown]


async def test_the_same_identity_changes_the_customer(make, database):
    made = await make(name="Ann", attributes={"city": "Rome"})
    again = await make(name="Ann", identities={"phone": "+86 138 0013 8000", "email": "a@b.cn"}, attributes={"age": 7})
    assert (again["id"], again["created"]) == (made["id"], False)
    assert again["attributes"] == {"city": "Rome", "age": 7}
    assert again["email"] == "a@b.cn"
    # Which e-mail address it is, is told nobody.
    changes = {"age": {"old": None, "new": 7}, "email": {}}
    assert (await told(database, made["id"]))[1:] == [("customer.updated", {"changes": changes})]
    unchanged = await make(name="Ann")
    assert unchanged["attributes"] == again["attributes"]
    assert len(await told(database, made["id"])) == 2


async def test_events_find_whom_the_api_has_made(make, record):
    made = await make(name="Ann")
    [event] = await record({"name": "order.paid", "identities": {"phone": PHONE}, "traits": {"name": "Anna"}})
    assert event.customer_id == made["id"]


async def test_identities_of_two_customers_contradict_each_other(make, client, make_token):
    first, second = await make(), await make(identities={"email": "a@b.cn"})
    both = {"identities": {"phone": PHONE, "email": "a@b.cn"}, "name": "Eve"}
    answer = await client.post(CUSTOMERS, json=both)
    assert (answer.status_code, answer.json()["code"]) == (409, "identities")
    assert f"{first['id']}, {second['id']}" in answer.json()["detail"]
    answer = await client.patch(f"{CUSTOMERS}/{first['id']}", json={"add_identities": {"email": "a@b.cn"}})
    assert (answer.status_code, answer.json()["code"]) == (409, "identities")
    assert (await client.get(f"{CUSTOMERS}/{first['id']}")).json()["name"] is None


async def test_whoever_does_not_see_a_customer_learns_no_id(make, platform, database, user):
    made = await make()
    await make(identities={"email": "a@b.cn"}, owner=user)
    narrow = Actor(
        kind="user",
        id=user,
        user_id=user,
        name="li",
        role="own",
        permissions=ROLES["agent"],
        scopes={"customers.read": "own", "customers.write": "own"},
        rules={},
    )
    for identities in ({"phone": PHONE, "email": "a@b.cn"}, {"phone": PHONE}):
        with pytest.raises(ZhikeError) as refused:
            await said_by(platform, narrow, identities)
        assert str(refused.value.message) == "An identity belongs to another customer"
    # Whoever sees their own only makes customers of their own.
    mine = await said_by(platform, narrow, {"external_id": "new"})
    assert mine.owner == user
    with pytest.raises(NotFound):
        async with begin(platform, origin="user:1") as work:
            await write.change(work, narrow, made["id"], Said({"name": "x"}, {}, "staff"))


async def said_by(platform: Platform, actor: Actor, identities: dict[str, str]) -> Any:
    given = Said({"name": "x"}, {}, "staff")
    async with begin(platform, origin=actor.origin) as work:
        customer_id, _ = await upsert(work, actor, pairs_of(identities, "identities"), given)
        return await write.read(work, actor, customer_id)


async def test_many_who_make_the_same_customer_make_one(client, database):
    async def one(number: int) -> Any:
        said = {"identities": {"phone": PHONE, "external_id": f"n{number}"}, "attributes": {f"a{number}": number}}
        return (await client.post(CUSTOMERS, json=said)).json()

    made = await asyncio.gather(*(one(number) for number in range(8)))
    assert len({each["id"] for each in made}) == 1
    assert sum(each["created"] for each in made) == 1
    last = (await client.get(f"{CUSTOMERS}/{made[0]['id']}")).json()
    assert len(last["attributes"]) == len(last["identities"]["external_id"]) == 8


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"identities": {}}, "bad_request", "identities"),
    ({"identities": {"phone": []}}, "bad_request", "identities"),
    ({"identities": {"phone": "12"}}, "identity", "identities.phone"),
    ({"identities": {"Phone!": "x"}}, "identity", "identities.Phone!"),
    ({"owner": 999}, "bad_request", "owner"),
    ({"team": 999}, "bad_request", "team"),
    ({"kind": "dog"}, "bad_request", "kind"),
    ({"name": 5}, "bad_request", "name"),
    ({"name": "a\0b"}, "trait", "name"),
    ({"attributes": {"name": "x"}}, "bad_request", "attributes.name"),
    ({"attributes": {"owner": 5}}, "trait", "attributes.owner"),
    ({"attributes": {"a": {"b": 1}}}, "bad_request", "attributes"),
    ({"phone": "138****0000"}, "masked", "phone"),
    ({"email": "a***@b.cn"}, "masked", "email"),
    ({"surname": "x"}, "bad_request", "surname"),
]


async def test_what_is_refused(client, database):
    for said, code, place in WRONG:
        answer = await client.post(CUSTOMERS, json={"identities": {"phone": PHONE}, **said})
        assert (answer.status_code, answer.json()["code"]) == (400, code), said
        assert place in answer.json()["detail"]
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM customer") == 0


async def test_who_may_write(client, make, make_token):
    made = await make()
    for role, status in [("viewer", 403), ("agent", 200)]:
        headers = {"authorization": f"Bearer {await make_token(role)}"}
        answer = await client.patch(f"{CUSTOMERS}/{made['id']}", json={"name": role}, headers=headers)
        assert answer.status_code == status


# --- changing ---------------------------------------------------------------------------------------------------------


async def test_what_is_changed_and_what_stays(make, change, database, user):
    made = await make(name="Ann", company="Acme", attributes={"city": "Rome", "age": 7})
    changed = await change(made["id"], company=None, owner=user, attributes={"age": None, "pets": ["cat", "dog"]})
    assert (changed["name"], changed["company"], changed["owner"]) == ("Ann", None, user)
    assert changed["attributes"] == {"city": "Rome", "pets": ["cat", "dog"]}
    [_, (name, properties)] = await told(database, made["id"])
    assert name == "customer.updated"
    assert properties["changes"] == {
        "company": {"old": "Acme", "new": None},
        "age": {"old": 7, "new": None},
        "pets": {"old": None, "new": ["cat", "dog"]},
        "owner": {"old": None, "new": user},
    }
    [_, (action, details)] = await audited(database, made["id"])
    assert (action, details["fields"], details["owner"]) == (
        "customer.change",
        ["age", "company", "owner", "pets"],
        user,
    )
    assert await change(made["id"], company=None) == changed | {"updated_at": (await change(made["id"]))["updated_at"]}
    assert len(await told(database, made["id"])) == 2


async def test_a_change_of_what_somebody_else_has_changed_is_refused(make, change, client, frozen_now):
    made = await make(name="Ann")
    frozen_now.advance(seconds=1)
    changed = await change(made["id"], name="Anna", if_updated_at=made["updated_at"])
    answer = await client.patch(f"{CUSTOMERS}/{made['id']}", json={"name": "Anne", "if_updated_at": made["updated_at"]})
    assert (answer.status_code, answer.json()["code"]) == (409, "changed")
    assert (await client.get(f"{CUSTOMERS}/{made['id']}")).json() == changed


async def test_identities_come_and_go(make, change, client, record):
    made = await make()
    changed = await change(made["id"], add_identities={"phone": "13900139000", "device_id": "d1"})
    assert changed["identities"] == {"phone": ["+8613800138000", "+8613900139000"], "device_id": ["d1"]}
    assert changed["phone"] == "+8613800138000"
    changed = await change(made["id"], remove_identities={"phone": PHONE})
    assert changed["identities"] == {"phone": ["+8613900139000"], "device_id": ["d1"]}
    [event] = await record({"name": "app.login", "identities": {"phone": PHONE}})
    assert event.customer_id != made["id"]
    # The last strong one stays: without it the next event that names the device would make them somebody else's.
    answer = await client.patch(f"{CUSTOMERS}/{made['id']}", json={"remove_identities": {"phone": "13900139000"}})
    assert (answer.status_code, answer.json()["code"]) == (409, "last_identity")
    answer = await client.patch(f"{CUSTOMERS}/{made['id']}", json={"remove_identities": {"email": "a@b.cn"}})
    assert (answer.status_code, answer.json()["code"]) == (400, "identity")


async def test_a_masked_reader_cannot_write_what_they_are_shown(make, platform):
    made = await make(attributes={"salary": "9000"})
    clerk = Actor(
        kind="user", id=1, name="clerk", role="clerk", permissions=ROLES["agent"], rules={"attributes.salary": "mask"}
    )
    for value in ("****", "90****00"):
        body = CustomerChange(attributes={"salary": value})
        with pytest.raises(ZhikeError) as refused:
            said_of(platform, clerk, body)
        assert refused.value.code == "masked"
    body = CustomerChange(attributes={"salary": "9500"})
    assert said_of(platform, clerk, body).traits == {"salary": "9500"}
    assert made["attributes"] == {"salary": "9000"}


async def test_a_plugin_may_stop_it(make_platform, database):
    seen: list[Any] = []

    class Guard:
        @hookimpl
        async def before_customers_save(self, customers):
            seen.extend(customers)
            if any("stop" in each.fields.values() for each in customers):
                raise Rejected("No")

    platform = make_platform(database, guard=Guard())
    actor = Actor.command("test")
    given = Said({"name": "Ann", "city": "Rome"}, {}, "crm")
    async with begin(platform, origin="test") as work:
        customer_id, _ = await upsert(work, actor, [("external_id", "1")], given)
    [draft] = seen
    assert (draft.id, draft.new, draft.source) == (customer_id, True, "crm")
    assert draft.fields == {"kind": "person", "name": "Ann", "city": "Rome"}
    assert draft.changed == {"name", "city"}
    with pytest.raises(Rejected):
        async with begin(platform, origin="test") as work:
            await write.change(work, actor, customer_id, Said({"name": "stop"}, {}, "crm"))
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT name FROM customer WHERE id = $1", customer_id) == "Ann"


async def test_what_is_too_long_for_an_event_is_told_by_name(make, change, database):
    made = await make()
    await change(made["id"], attributes={f"a{number}": "字" * 10_000 for number in range(8)})
    assert (await told(database, made["id"]))[-1][1] == {"changes": {f"a{number}": {} for number in range(8)}}


# --- many at once -----------------------------------------------------------------------------------------------------


async def test_many_named_customers(make, client, user):
    ids = [(await make(identities={"external_id": str(number)}))["id"] for number in range(3)]
    answer = await client.post(f"{CUSTOMERS}/bulk", json={"ids": [*ids, 999_999], "set": {"owner": user, "stage": "A"}})
    assert answer.json() == {"matched": 3}
    for customer_id in ids:
        shown = (await client.get(f"{CUSTOMERS}/{customer_id}")).json()
        assert (shown["owner"], shown["stage"]) == (user, "A")


async def test_a_condition_names_them(make, client, monkeypatch, database):
    ids = [
        (await make(identities={"external_id": str(number)}, stage="A" if number else "B"))["id"] for number in range(8)
    ]
    condition = {"type": "field", "field": "customer.stage", "op": "eq", "value": "A"}
    body = {"condition": condition, "set": {"stage": "C"}}
    monkeypatch.setattr(bulk, "MAX_AT_ONCE", 5)
    refused = await client.post(f"{CUSTOMERS}/bulk", json=body)
    assert refused.status_code == 400
    assert "POST /desk/bulk" in refused.json()["detail"]
    monkeypatch.setattr(bulk, "MAX_AT_ONCE", 7)
    assert (await client.post(f"{CUSTOMERS}/bulk", json=body)).json() == {"matched": 7}
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT id, stage FROM customer ORDER BY id")
    assert [tuple(row) for row in rows] == [(ids[0], "B"), *((each, "C") for each in ids[1:])]
    body["condition"] = condition | {"value": "B"}
    assert (await client.post(f"{CUSTOMERS}/bulk", json=body)).json() == {"matched": 1}


async def test_what_is_no_change_of_many(client):
    stage, condition = {"stage": "A"}, {"type": "field", "field": "customer.name", "op": "is_set"}
    for body in [
        {"set": stage},
        {"ids": [1], "set": {}},
        {"ids": [1], "condition": condition, "set": stage},
        {"ids": [1], "set": {"owner": 999}},
        {"ids": [1], "set": {"name": "x"}},
        {"condition": condition | {"field": "customer.nobody"}, "set": stage},
        {"ids": [0], "set": stage},
        {"ids": list(range(1, 5002)), "set": stage},
    ]:
        assert (await client.post(f"{CUSTOMERS}/bulk", json=body)).status_code == 400, body


@pytest.mark.parametrize("source", ["\0", "é" * 101])
async def test_a_source_is_checked_like_that_of_an_event(client, make, source):
    made = await make()
    answer = await client.patch(f"{CUSTOMERS}/{made['id']}", json={"name": "Lin", "source": source})
    assert (answer.status_code, answer.json()["code"]) == (400, "source")
    assert answer.json()["detail"].startswith("source: ")


async def test_writes_beside_a_merge_come_to_the_winner(client, make):
    winner = await make(identities={"external_id": "a"})
    for n in range(5):
        loser = await make(identities={"external_id": f"b{n}"})
        url = f"{CUSTOMERS}/{loser['id']}"
        answers = await asyncio.gather(
            client.post(f"{CUSTOMERS}/merge", json={"winner": winner["id"], "losers": [loser["id"]]}),
            client.patch(url, json={"attributes": {f"patched{n}": True}}),
            client.post(CUSTOMERS, json={"identities": {"external_id": f"b{n}"}, "attributes": {f"posted{n}": True}}),
        )
        assert [answer.status_code for answer in answers] == [200] * 3
    found = (await client.get(f"{CUSTOMERS}/{winner['id']}")).json()["attributes"]
    assert set(found) == {f"{how}{n}" for how in ("patched", "posted") for n in range(5)}
