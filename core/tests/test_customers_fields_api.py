"""Fields of customers: what is said about them, which values fit, whose word counts, what is encrypted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from zhike.access.actor import Actor
from zhike.access.roles import ROLES
from zhike.customers.field import Choice, Field
from zhike.customers.fields import CustomerFields
from zhike.customers.sealing import is_sealed
from zhike.customers.values import BadValue, fitted
from zhike.events.service import record as store

if TYPE_CHECKING:
    import httpx

    from zhike.orm import Database

FIELDS, CUSTOMERS = "/api/v1/customers/fields", "/api/v1/customers"
COLORS = [{"key": "red", "label": "红"}, {"key": "blue"}]
Define = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def define(client: httpx.AsyncClient) -> Define:
    """Makes a field and returns it."""

    async def define(key: str, type: str = "text", **more: Any) -> dict[str, Any]:
        answer = await client.post(FIELDS, json={"key": key, "type": type, **more})
        assert answer.status_code == 200, answer.text
        made: dict[str, Any] = answer.json()
        return made

    return define


def event(number: int = 1, source: str = "", at: str | None = None, **traits: Any) -> dict[str, Any]:
    identities = {"external_id": str(number)}
    return {"name": "app.login", "identities": identities, "traits": traits, "source": source, "occurred_at": at}


async def stored(database: Database, number: int = 1) -> Any:
    """Return the attributes of a customer as they are in the database."""
    import msgspec

    async with database.connection() as connection:
        attributes = await connection.fetchval(
            "SELECT c.attributes::text FROM customer AS c JOIN identity AS i ON i.customer_id = c.id"
            " WHERE i.value = $1",
            str(number),
        )
    return msgspec.json.decode(attributes)


# --- what is said about them ------------------------------------------------------------------------------------------


async def test_a_field_is_made_changed_and_taken_out_of_use(client, define, database):
    made = await define("color", "choice", label="颜色", choices=COLORS, sources=["crm"], group="Taste", position=2)
    assert made == {
        **{"key": "color", "label": "颜色", "type": "choice", "currency": None, "help": "", "group": "Taste"},
        **{"position": 2, "sources": ["crm"], "encrypted": False, "archived": False, "version": 1, "built_in": False},
        "choices": [
            {"key": "red", "label": "红", "archived": False},
            {"key": "blue", "label": "", "archived": False},
        ],
    }
    answer = await client.patch(f"{FIELDS}/color", json={"help": "As told", "version": 1})
    assert answer.json() == made | {"help": "As told", "version": 2}
    answer = await client.patch(f"{FIELDS}/color", json={"help": "Else", "version": 1})
    assert (answer.status_code, answer.json()["code"]) == (409, "version")
    assert (await client.patch(f"{FIELDS}/color", json={"archived": True})).json()["archived"] is True
    assert (await client.patch(f"{FIELDS}/colour", json={"archived": True})).status_code == 404
    answer = await client.post(FIELDS, json={"key": "color"})
    assert (answer.status_code, answer.json()["code"]) == (409, "key")
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT action FROM audit WHERE object = 'customer_field:color' ORDER BY id")
    assert [row[0] for row in rows] == ["field.create", "field.change", "field.change"]


async def test_columns_are_among_them(client, anonymous, make_token, define):
    await define("color", label="Color")
    items = (await client.get(FIELDS, headers={"accept-language": "zh-CN"})).json()["items"]
    assert [each["key"] for each in items] == ["kind", "name", "phone", "email", "company", "stage", "color"]
    assert all(each["built_in"] and each["version"] == 0 for each in items[:-1])
    answer = await client.patch(f"{FIELDS}/name", json={"label": "Called", "sources": ["crm", "shop"], "version": 0})
    assert (answer.json()["label"], answer.json()["version"]) == ("Called", 1)
    for said in ({"type": "number"}, {"encrypted": True}, {"choices": COLORS}, {"archived": True}):
        assert (await client.patch(f"{FIELDS}/name", json=said)).status_code == 400, said
    assert (await client.post(FIELDS, json={"key": "name"})).status_code == 409
    for role, read, write in [("viewer", 200, 403), ("manager", 200, 403)]:
        headers = {"authorization": f"Bearer {await make_token(role)}"}
        assert (await client.get(FIELDS, headers=headers)).status_code == read
        assert (await client.post(FIELDS, json={"key": "x"}, headers=headers)).status_code == write


async def test_what_is_no_field(client):
    for said in [
        {"key": ""},
        {"key": " a"},
        {"key": "a\0"},
        {"key": "owner"},
        {"key": "a", "type": "colour"},
        {"key": "a", "type": "choice"},
        {"key": "a", "type": "text", "choices": COLORS},
        {"key": "a", "type": "choice", "choices": [*COLORS, {"key": "red"}]},
        {"key": "a", "type": "choice", "choices": [{"key": ""}]},
        {"key": "a", "type": "money", "currency": "XXX"},
        {"key": "a", "currency": "CNY"},
        {"key": "a", "type": "number", "encrypted": True},
        {"key": "a", "sources": ["crm", "crm"]},
        {"key": "a", "position": -1},
    ]:
        assert (await client.post(FIELDS, json=said)).status_code == 400, said


async def test_what_is_in_use_is_not_taken_away(client, define, record):
    await define("color", "choice", choices=COLORS)
    await define("tags", "multi_choice", choices=COLORS)
    await record(event(color="red", tags=["red", "blue"]))
    for key, said, gone in [
        ("color", {"type": "text", "choices": []}, "1 customer has a value"),
        ("color", {"choices": COLORS[1:]}, "1 customer has one of the choices red"),
        ("tags", {"choices": COLORS[:1]}, "1 customer has one of the choices blue"),
    ]:
        answer = await client.patch(f"{FIELDS}/{key}", json=said)
        assert (answer.status_code, answer.json()["code"]) == (409, "in_use")
        assert gone in answer.json()["detail"]
    assert (await client.patch(f"{FIELDS}/color", json={"choices": COLORS[:1]})).status_code == 200
    # An archived choice is still taken.
    archived = [COLORS[0] | {"archived": True}]
    assert (await client.patch(f"{FIELDS}/color", json={"choices": archived})).status_code == 200
    await record(event(2, color="red"))


# --- values -----------------------------------------------------------------------------------------------------------

CHOICES = (Choice(key="red"), Choice(key="blue", archived=True))
VALUES: list[tuple[str, list[tuple[Any, Any]], list[Any]]] = [
    ("text", [("x", "x"), ("", "")], [1, True, ["x"], {"a": 1}]),
    ("number", [(1, 1), (1.5, 1.5), ("2.50", Decimal("2.50")), ("-3", -3)], ["1e3", "", "x", True, [1], "0x1"]),
    (
        "money",
        [(1, Decimal("1.00")), (12.3, Decimal("12.30")), ("12.30", Decimal("12.30"))],
        ["1.234", 0.001, "x", True, 10**30],
    ),
    (
        "date",
        [("2024-01-05", "2024-01-05"), ("2024/1/5", "2024-01-05"), ("2024.12.31", "2024-12-31")],
        ["2023-02-29", "24-1-5", "2024-1/5", "5/1/2024", 20240105, "2024-01-05T08:00:00Z"],
    ),
    ("choice", [("red", "red"), ("blue", "blue")], ["green", "", 1, ["red"]]),
    ("multi_choice", [(["red"], ["red"]), (["blue", "red"], ["blue", "red"])], ["red", ["red", "red"], ["green"], [1]]),
    ("boolean", [(True, True), (False, False)], [1, "true", 0]),
    (
        "link",
        [("https://例子.中国/a?b=c", "https://例子.中国/a?b=c"), ("http://a", "http://a")],
        ["javascript:alert(1)", "a.cn", "ftp://a.cn", "https://", "http://a b", "https://[", 5],
    ),
]


@pytest.mark.parametrize(("kind", "good", "bad"), VALUES, ids=[row[0] for row in VALUES])
def test_which_values_fit(kind, good, bad):
    currency = "CNY" if kind == "money" else None
    field = Field(key="f", label="Label", type=kind, choices=CHOICES, currency=currency)
    for given, expected in good:
        found = fitted(field, given)
        assert (type(found) is bool, found) == (type(expected) is bool, expected)
        assert fitted(field, found) == found
    for given in bad:
        with pytest.raises(BadValue) as refused:
            fitted(field, given)
        assert "Label: expected" in str(refused.value.message)
        assert len(str(refused.value.message)) < 200
    assert fitted(field, None) is None
    assert fitted(field, []) is None


def test_exact_decimals_are_kept():
    money = Field(key="f", type="money", currency="KWD")
    assert str(fitted(money, "12.3")) == "12.300"
    assert str(fitted(Field(key="f", type="number"), "0.10")) == "0.10"


def test_an_encrypted_value_is_not_told():
    field = Field(key="id_card", type="choice", choices=CHOICES, encrypted=True)
    with pytest.raises(BadValue) as refused:
        fitted(field, "4403011990")
    assert "4403011990" not in str(refused.value.message)


async def test_a_trait_that_does_not_fit_spoils_no_other_event(client, define, database):
    await define("age", "number", label="年龄")
    events = [event(1, age="old"), event(2, age="7"), event(3, height="tall"), event(4, age=None)]
    answer = (await client.post("/api/v1/events", json={"events": events})).json()
    [rejected] = answer.pop("rejected")
    assert answer == {"accepted": 3, "duplicate": 0}
    assert (rejected["index"], rejected["code"]) == (0, "trait")
    assert rejected["message"] == "events[0].traits.age: 年龄: expected a number such as 12.5, got 'old'"
    assert (await stored(database, 2), await stored(database, 3)) == ({"age": 7}, {"height": "tall"})
    answer = await client.post(CUSTOMERS, json={"identities": {"external_id": "2"}, "attributes": {"age": "old"}})
    assert (answer.status_code, answer.json()["code"]) == (400, "trait")
    assert "attributes.age" in answer.json()["detail"]


async def test_stages_are_any_text_until_there_are_choices(client, record, define):
    await record(event(1, stage="whatever"))
    answer = await client.patch(f"{FIELDS}/stage", json={"choices": [{"key": "A"}, {"key": "whatever"}]})
    assert answer.status_code == 200
    answer = (await client.post("/api/v1/events", json={"events": [event(1, stage="B"), event(1, stage="A")]})).json()
    assert (answer["accepted"], answer["rejected"][0]["code"]) == (1, "trait")
    # Stages that nobody is in can be taken away.
    assert (await client.patch(f"{FIELDS}/stage", json={"choices": [{"key": "A"}]})).status_code == 200
    answer = await client.patch(f"{FIELDS}/stage", json={"choices": [{"key": "B"}]})
    assert (answer.status_code, answer.json()["code"]) == (409, "in_use")


async def test_without_fields_events_cost_no_query_more(platform, query_counter, define):
    async def cost(number: int) -> int:
        query_counter.reset()
        await store(platform, [event(number, age=7, name="x")], origin="test")
        return query_counter.count

    await cost(1)
    before = await cost(2)
    await define("age", "number", sources=["crm"])
    await cost(3)
    assert await cost(4) == before


# --- whose word counts ------------------------------------------------------------------------------------------------


async def test_the_better_source_counts_and_among_equals_the_newer(client, define, record, database):
    await define("city", sources=["crm", "shop"])
    day = "2026-03-{:02}T00:00:00Z"
    for source, at, value, expected in [
        ("form", 5, "Form", "Form"),
        ("web", 4, "Older", "Form"),  # both are listed nowhere: the newer one counts
        ("shop", 1, "Shop", "Shop"),  # the better one counts though it is older
        ("form", 9, "Later", "Shop"),
        ("shop", 2, "Shop 2", "Shop 2"),
        ("crm", 1, "Crm", "Crm"),
        ("staff", 9, "Staff", "Crm"),
        ("crm", 1, "Crm 2", "Crm 2"),
    ]:
        await record(event(1, source, day.format(at), city=value))
        assert (await stored(database))["city"] == expected, value
    [customer] = (await client.get(CUSTOMERS)).json()["items"]
    answer = await client.patch(f"{CUSTOMERS}/{customer['id']}", json={"attributes": {"city": "By hand"}})
    assert answer.json()["attributes"]["city"] == "Crm 2"
    provenance = f"{CUSTOMERS}/{customer['id']}/provenance"
    expected = [{"field": "attributes.city", "source": "crm", "at": "2026-03-01T00:00:00Z", "rank": 1}]
    assert (await client.get(provenance)).json()["items"] == expected
    await client.patch(f"{FIELDS}/city", json={"sources": ["staff", "crm"]})
    await client.patch(f"{CUSTOMERS}/{customer['id']}", json={"attributes": {"city": "By hand"}})
    assert (await stored(database))["city"] == "By hand"
    [item] = (await client.get(provenance)).json()["items"]
    assert (item["source"], item["rank"]) == ("staff", 1)


async def test_columns_rank_their_sources_too(client, record):
    await client.patch(f"{FIELDS}/name", json={"sources": ["crm"]})
    await record(event(1, "crm", name="Ann"), event(1, "shop", name="ann88"))
    [customer] = (await client.get(CUSTOMERS)).json()["items"]
    assert customer["name"] == "Ann"


# --- what is encrypted ------------------------------------------------------------------------------------------------


async def test_encrypted_values_are_nowhere_to_be_read(client, define, record, database, platform):
    await define("id_card", encrypted=True)
    secret = "110101199001011234"
    await record(event(1, id_card=secret, city="Rome"))
    answer = await client.post(CUSTOMERS, json={"identities": {"external_id": "1"}, "attributes": {"id_card": secret}})
    customer = answer.json()
    assert customer["attributes"] == {"id_card": secret, "city": "Rome"}
    changed = await client.patch(f"{CUSTOMERS}/{customer['id']}", json={"attributes": {"id_card": "X1"}})
    assert changed.json()["attributes"]["id_card"] == "X1"
    kept = await stored(database)
    assert is_sealed(kept["id_card"])
    async with database.connection() as connection:
        tables = [row[0] for row in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname='public'")]
        everything = [str(await connection.fetch(f'SELECT t::text FROM "{table}" AS t')) for table in tables]
        events = await connection.fetch("SELECT properties::text FROM event WHERE name = 'customer.updated'")
    assert not any(secret in each for each in everything)
    assert [row[0] for row in events] == ['{"changes": {"id_card": {}}}']
    # Equal values are known by their hash, which says nothing by itself.
    await record(event(2, id_card="X1"))
    other = await stored(database, 2)
    assert other["id_card"]["hash"] == kept["id_card"]["hash"]
    assert other["id_card"]["sealed"] != kept["id_card"]["sealed"]
    shown = (await client.get(f"{CUSTOMERS}/{customer['id']}")).json()
    assert shown["attributes"] == {"id_card": "X1", "city": "Rome"}
    found = await client.get(CUSTOMERS)
    assert {each["attributes"]["id_card"] for each in found.json()["items"]} == {"X1"}


async def test_encryption_is_neither_begun_nor_ended_while_there_are_values(client, define, record):
    await define("id_card")
    await record(event(1, id_card="X1", passport="P1"))
    for method, path, said in [
        ("PATCH", f"{FIELDS}/id_card", {"encrypted": True}),
        ("POST", FIELDS, {"key": "passport", "encrypted": True}),
    ]:
        answer = await client.request(method, path, json=said)
        assert (answer.status_code, answer.json()["code"]) == (409, "in_use")
    await record(event(1, id_card=None))
    assert (await client.patch(f"{FIELDS}/id_card", json={"encrypted": True})).status_code == 200
    await record(event(1, id_card="X1"))
    assert (await client.patch(f"{FIELDS}/id_card", json={"encrypted": False})).status_code == 409


async def test_a_process_learns_what_another_has_changed(client, define, platform, monkeypatch):
    monkeypatch.setattr("zhike.customers.fields.FRESH", 600.0)  # longer than any machine stands still
    other = CustomerFields(platform.db, platform.vault)
    await other.renew()
    await define("age", "number")
    assert "age" in platform.customer_fields.known
    assert "age" not in (await other.renew()).known
    assert "age" in (await other.renew(now=True)).known


# --- conditions -------------------------------------------------------------------------------------------------------

TYPED: dict[str, tuple[dict[str, Any], Any, Any]] = {
    "n": ({"type": "number"}, 7, 12.5),
    "m": ({"type": "money"}, "7.10", 12),
    "d": ({"type": "date"}, "2026-01-05", "1990/3/4"),
    "c": ({"type": "choice", "choices": COLORS}, "red", "blue"),
    "s": ({"type": "multi_choice", "choices": COLORS}, ["red", "blue"], ["blue"]),
    "b": ({"type": "boolean"}, True, False),
    "e": ({"encrypted": True}, "X1", "X2"),
}
# Customer 3 has none of them.
ASKED: list[tuple[str, str, Any, set[str]]] = [
    ("n", "gt", 7, {"2"}),
    ("n", "is_not_set", None, {"3"}),
    ("n", "ne", 7, {"2", "3"}),
    ("m", "eq", 7.1, {"1"}),
    ("m", "between", [7, 12], {"1", "2"}),
    ("d", "before", "2000-01-01", {"2"}),
    ("d", "eq", "2026-01-05", {"1"}),
    ("d", "is_set", None, {"1", "2"}),
    ("c", "in", ["red", "green"], {"1"}),
    ("c", "not_in", ["red"], {"2", "3"}),
    ("s", "contains", "red", {"1"}),
    ("s", "contains", "blue", {"1", "2"}),
    ("s", "not_contains", "red", {"2", "3"}),
    ("s", "in", ["red", "green"], {"1"}),
    ("s", "not_in", ["red"], {"2", "3"}),
    ("s", "is_set", None, {"1", "2"}),
    ("s", "is_not_set", None, {"3"}),
    ("b", "eq", False, {"2"}),
    ("b", "ne", False, {"1", "3"}),
    ("e", "eq", "X1", {"1"}),
    ("e", "ne", "X1", {"2", "3"}),
    ("e", "in", ["X1", "X2"], {"1", "2"}),
    ("e", "not_in", ["X2"], {"1", "3"}),
    ("e", "is_set", None, {"1", "2"}),
    ("e", "is_not_set", None, {"3"}),
]


async def test_conditions_ask_for_them_by_their_type(client, define, record, platform, database):
    from zhike.conditions import service

    for key, (said, *_) in TYPED.items():
        await define(key, **{"type": "text"} | said)
    await record(event(1, **{key: row[1] for key, row in TYPED.items()}))
    await record(event(2, **{key: row[2] for key, row in TYPED.items()}))
    await record(event(3, s=[]))
    async with database.connection() as connection:
        ids = {row[1]: row[0] for row in await connection.fetch("SELECT value, customer_id FROM identity")}
    moment = service.moment(platform.settings)
    for key, op, value, expected in ASKED:
        asked = {"type": "field", "field": f"customer.attributes.{key}", "op": op, "value": value}
        for condition, members in [(asked, expected), ({"type": "not", "of": asked}, {"1", "2", "3"} - expected)]:
            checked = service.check(platform, condition)
            async with database.connection() as connection:
                found = await service.members(connection, checked, moment)
                few = await service.members(connection, checked, moment, among=list(ids))
            assert {ids[each] for each in found} == {ids[each] for each in few} == members, (key, op)
            for customer_id, name in ids.items():
                explained = await service.explain(platform, Actor.command("test"), condition, customer_id)
                assert explained.held is (name in members)
                assert "sealed" not in str(explained)
    # One look at the edges of all: nothing here depends on time.
    checked = service.check(platform, {"type": "field", "field": "customer.attributes.d", "op": "anniversary"})
    assert service.dependencies(platform, checked).timed


async def test_fields_are_offered_with_the_ops_of_their_type(client, define, record):
    for key, (said, *_) in TYPED.items():
        await define(key, label=f"Label {key}", **{"type": "text"} | said)
    await define("old", "number")
    await record(event(1, n=5, old=5, free="x"))
    await client.patch(f"{FIELDS}/old", json={"archived": True})
    await client.patch(f"{FIELDS}/company", json={"label": "Works for"})
    items = (await client.get("/api/v1/conditions/fields")).json()["items"]
    offered = {each["field"].removeprefix("customer.attributes."): each for each in items}
    assert len(offered) == len(items)
    types = {"n": "number", "m": "number", "d": "instant", "c": "text", "s": "text", "b": "boolean", "e": "text"}
    assert {key: offered[key]["type"] for key in TYPED} == types
    assert all(offered[key]["label"] == f"Label {key}" for key in TYPED)
    assert offered["s"]["ops"] == ["contains", "not_contains", "in", "not_in", "is_set", "is_not_set"]
    assert offered["e"]["ops"] == ["eq", "ne", "in", "not_in", "is_set", "is_not_set"]
    assert "old" not in offered
    assert offered["free"]["label"] == "free"
    assert offered["customer.company"]["label"] == "Works for"
    for key, op, value in [("e", "contains", "X"), ("e", "gt", "X"), ("s", "eq", "red"), ("n", "gt", "7")]:
        condition = {"type": "field", "field": f"customer.attributes.{key}", "op": op, "value": value}
        answer = await client.post("/api/v1/conditions/count", json={"condition": condition})
        assert answer.status_code == 400
        assert "condition." in answer.json()["detail"]


async def test_an_encrypted_date_is_found_in_any_form_and_nothing_else_is_asked_for(client, define, record):
    await define("born", "date", encrypted=True)
    await record(event(1, born="1990-01-02"))
    for value, status in (("1990-01-02", 200), ("1990/1/2", 200), ("2 January", 400)):
        asked = {"type": "field", "field": "customer.attributes.born", "op": "in", "value": [value]}
        answer = await client.post("/api/v1/conditions/count", json={"condition": asked})
        assert answer.status_code == status
        said = {"count": 1} if status == 200 else {"code": "condition"}
        assert said.items() <= answer.json().items()


async def test_what_is_masked_is_not_asked_about(define, record, platform):
    from zhike.conditions import service
    from zhike.conditions.problems import BadCondition

    await define("id_card", encrypted=True)
    await record(event(1, id_card="X1"))
    clerk = Actor(
        kind="user", id=1, name="c", role="c", permissions=ROLES["agent"], rules={"attributes.id_card": "mask"}
    )
    asked = {"type": "field", "field": "customer.attributes.id_card", "op": "eq", "value": "X1"}
    with pytest.raises(BadCondition) as refused:
        await service.count(platform, clerk, asked)
    assert refused.value.code == "masked"
