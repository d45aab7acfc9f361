"""What a role sees masked it cannot learn: not by reading, searching, counting, sorting, explaining, nor by errors."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest

from zhike.access.actor import Actor
from zhike.access.masking import masked, masked_fields
from zhike.access.roles import ROLES, RULES
from zhike.conditions import service
from zhike.conditions.problems import BadCondition
from zhike.customers import service as customers
from zhike.platform import Platform

if TYPE_CHECKING:
    import httpx

    from zhike.testing.plugin import MakeToken, Record

PHONE, EMAIL = "13812340000", "ann@example.com"
# None is so short, or so like one, that a time or the id of an event may hold it.
SECRETS = (
    *(PHONE[3:], PHONE[:7], f"*{PHONE[3:7]}", f"{PHONE[3:7]}*"),
    *("ann@", "13900005555", "landline@", "62345678"),
)


def event(phone: str, email: str, /, **more: Any) -> dict[str, Any]:
    identities = {"phone": phone, "email": email, "external_id": f"x-{phone[-4:]}"}
    return {"name": "order.paid", "identities": identities, "traits": {"name": "Ann", **more}}


@pytest.fixture
async def known(record: Record) -> int:
    """The id of a customer with two phone numbers; there is another one."""
    stored = await record(
        event(PHONE, EMAIL), event("021-62345678", "landline@example.com"), event(PHONE, EMAIL, phone="13900005555")
    )
    return stored[0].customer_id


@pytest.fixture
async def viewer(client: httpx.AsyncClient, make_token: MakeToken) -> httpx.AsyncClient:
    client.headers["authorization"] = f"Bearer {await make_token('viewer')}"
    return client


def field(key: str, op: str, *value: Any) -> dict[str, Any]:
    return {"type": "field", "field": key, "op": op} | ({"value": value[0]} if value else {})


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("phone", "+8613812340000", "138****0000"),
        ("phone", "13812340000", "138****0000"),
        ("phone", "+16502530000", "+16****0000"),
        ("phone", "+862162345678", "****"),
        ("phone", "110", "****"),
        ("phone", "", "****"),
        ("email", "ann@example.com", "a***@example.com"),
        ("email", "a@example.com", "a***@example.com"),
        ("email", '"a@b"@example.com', '"***@example.com'),
        ("email", "@example.com", "***@example.com"),
        ("email", "ann", "****"),
        ("name", "Ann", "****"),
    ],
)
def test_what_is_shown_instead(name: str, value: str, shown: str) -> None:
    assert masked(name, value) == shown


def test_every_role_is_ruled_and_unknown_ones_see_least() -> None:
    assert RULES.keys() == ROLES.keys()
    assert masked_fields(Actor.of_token(1, "n", "viewer")) == {"phone", "email"}
    assert masked_fields(Actor.of_token(1, "n", "kiosk")) == {"phone", "email"}
    assert masked_fields(Actor.of_token(1, "n", "agent")) == set()
    assert masked_fields(Actor.system()) == masked_fields(Actor.command("export")) == set()


async def test_who_may_see_all_sees_all(client: httpx.AsyncClient, make_token: MakeToken, known: int) -> None:
    for role in ("admin", "manager", "agent"):
        client.headers["authorization"] = f"Bearer {await make_token(role)}"
        answer = (await client.get(f"/api/v1/customers/{known}")).json()
        assert (answer["phone"], answer["email"]) == ("13900005555", EMAIL)
        assert answer["identities"]["phone"] == [f"+86{PHONE}"]
        for q, found in [(EMAIL, [known]), (PHONE, [known])]:
            items = (await client.get("/api/v1/customers", params={"q": q})).json()["items"]
            assert [item["id"] for item in items] == found
        condition = field("customer.email", "eq", EMAIL)
        counted = await client.post("/api/v1/conditions/count", json={"condition": condition})
        assert counted.json() == {"count": 1}


async def test_customers_are_shown_masked_wherever_they_are_shown(viewer: httpx.AsyncClient, known: int) -> None:
    one = (await viewer.get(f"/api/v1/customers/{known}")).json()
    assert (one["phone"], one["email"], one["name"]) == ("139****5555", "a***@example.com", "Ann")
    assert one["identities"] == {
        "external_id": ["x-0000"],
        "phone": ["138****0000"],
        "email": ["a***@example.com"],
    }
    listed = await viewer.get("/api/v1/customers")
    assert {item["phone"] for item in listed.json()["items"]} == {"139****5555", "****"}
    searched = await viewer.post("/api/v1/customers/search", json={"condition": {"type": "all", "of": []}})
    assert sorted(searched.json()["items"], key=str) == sorted(listed.json()["items"], key=str)
    assert one in searched.json()["items"]
    timeline = await viewer.get(f"/api/v1/customers/{known}/events")
    facts = {item["name"]: item["properties"] for item in timeline.json()["items"] if item["kind"] == "platform"}
    assert facts["customer.created"]["fields"] | {"phone": "", "email": ""} == {
        "kind": "person",
        "name": "Ann",
        "phone": "",
        "email": "",
    }
    for answer in (listed, searched, timeline):
        assert not [secret for secret in SECRETS if secret in answer.text]


async def test_a_change_is_shown_masked(viewer: httpx.AsyncClient, record: Record, known: int) -> None:
    await record(event(PHONE, EMAIL, phone="13700001111", score=1.10))
    timeline = await viewer.get(f"/api/v1/customers/{known}/events")
    changes = [item["properties"]["changes"] for item in timeline.json()["items"] if item["name"] == "customer.updated"]
    assert changes[0]["phone"] == {}  # of protected fields only the name
    assert changes[0]["score"]["new"] == 1.1
    assert not [secret for secret in SECRETS if secret in timeline.text]


async def test_masked_values_are_not_searched(viewer: httpx.AsyncClient, known: int) -> None:
    for q in (EMAIL, "ANN@example.com", "a***@example.com", "138****0000", "0000", "1381234000"):
        assert (await viewer.get("/api/v1/customers", params={"q": q})).json() == {"items": [], "next": None}, q


async def test_a_whole_phone_number_is_found_and_that_is_audited(
    viewer: httpx.AsyncClient, platform: Platform, known: int
) -> None:
    for q in (PHONE, "+86 138-1234-0000"):
        [found] = (await viewer.get("/api/v1/customers", params={"q": q})).json()["items"]
        assert (found["id"], found["phone"]) == (known, "139****5555")
    await viewer.get("/api/v1/customers", params={"q": "13812349999"})
    await viewer.get("/api/v1/customers", params={"q": "x-0000"})
    async with platform.db.connection() as connection:
        rows = await connection.fetch("SELECT actor, details FROM audit WHERE action = 'customer.lookup' ORDER BY id")
    assert [json.loads(row["details"])["found"] for row in rows] == [[known], [known], []]
    assert all(row["actor"].startswith("token:") for row in rows)
    assert not [secret for secret in SECRETS if secret in str(rows)]


@pytest.mark.parametrize("key", ["customer.phone", "customer.email"])
async def test_conditions_on_masked_fields_are_refused(viewer: httpx.AsyncClient, known: int, key: str) -> None:
    plain = field("customer.stage", "is_not_set")
    asked = [("eq", EMAIL), ("ne", ""), ("starts_with", "+86138"), ("gt", "+8613"), ("is_set",), ("is_not_set",)]
    routes: dict[str, dict[str, Any]] = {
        "conditions/count": {},
        "conditions/explain": {"customer_id": known},
        "customers/search": {},
    }
    for (path, more), (op, *value) in itertools.product(routes.items(), asked):
        hidden = {"type": "any", "of": [plain, {"type": "not", "of": field(key, op, *value)}]}
        answer = await viewer.post(f"/api/v1/{path}", json={"condition": hidden, **more})
        assert (answer.status_code, answer.json()["code"]) == (400, "masked"), path
        assert answer.json()["detail"] == f"condition.of[1].of asks about {key}, which your role sees masked"
        answer = await viewer.post(f"/api/v1/{path}", json={"condition": plain, **more})
        assert answer.status_code == 200, path


async def test_masked_fields_are_not_sorted_by(viewer: httpx.AsyncClient, known: int) -> None:
    everybody: dict[str, Any] = {"type": "all", "of": []}
    for key in ("phone", "-phone", "email", "customer.phone", "-customer.email"):
        body = {"condition": everybody, "sort": ["name", key]}
        answer = await viewer.post("/api/v1/customers/search", json=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "masked")
        name = key.removeprefix("-").removeprefix("customer.")
        assert answer.json()["detail"] == f"sort[1] asks about customer.{name}, which your role sees masked"


async def test_what_does_not_fit_is_told_alike_for_all_values(viewer: httpx.AsyncClient, known: int) -> None:
    told = {
        (await viewer.post("/api/v1/conditions/count", json={"condition": field("customer.phone", "eq", value)})).text
        for value in (PHONE, f"+86{PHONE}", "13899999999")
    }
    assert len(told) == 1


async def test_the_explanation_of_other_fields_shows_nothing_masked(viewer: httpx.AsyncClient, known: int) -> None:
    condition = {
        "type": "all",
        "of": [field("customer.name", "eq", "Ann"), field("customer.attributes.phone", "is_set")],
    }
    answer = await viewer.post("/api/v1/conditions/explain", json={"condition": condition, "customer_id": known})
    assert answer.status_code == 200, answer.text
    assert not [secret for secret in SECRETS if secret in answer.text]


async def test_saved_rules_run_as_the_system_and_see_all(platform: Platform, known: int) -> None:
    condition = field("customer.email", "eq", EMAIL)
    for actor in (None, Actor.system()):
        checked = service.check(platform, condition, actor=actor)
        async with platform.db.connection() as connection:
            assert await service.members(connection, checked, service.moment(platform.settings)) == {known}
    with pytest.raises(BadCondition, match=r"customer\.email, which your role sees masked"):
        service.check(platform, condition, actor=Actor.of_token(1, "n", "viewer"))
    whole = await customers.get(platform.db, Actor.system(), known)
    assert whole.email == EMAIL
