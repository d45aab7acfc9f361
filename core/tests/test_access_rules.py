"""Field rules and permissions of event types: what a role does not see, it learns nowhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from zhike.access import own_roles
from zhike.contracts import EventType
from zhike.hooks import hookimpl
from zhike.platform import assemble

if TYPE_CHECKING:
    import httpx

    from conftest import As
    from zhike.platform import Platform
    from zhike.testing.plugin import Record

BASE = "/api/v1"
RULES: dict[str, Any] = {
    **{"phone": "mask", "email": "hide", "name": "mask", "company": "hide", "attributes.city": "mask"},
    **{"attributes.income": "hide", "identities.crm": "mask", "identities.passport": "hide", "owner": "mask"},
}
# None is so short, or so like one, that a time or the id of an event may hold it.
SECRETS = ("13812340000", "2340000", "ann@example.com", "Ann Lee", "Acme", "Harbin", "912345678", "crm-77", "E1234")
HELD: dict[str, Any] = dict.fromkeys(("customers.read", "events.read", "conditions.count"), "all")
PROBE = """
from zhike.contracts import EventType, Permission
from zhike.hooks import hookimpl

@hookimpl
def register_permissions():
    return [
        Permission(key="probe.read", label="See probes", roles=("agent",)),
        Permission(key="probe.tune", label="Tune probes", whole=True),
    ]

@hookimpl
def register_event_types():
    return [
        EventType(
            name="probe.taken", kind="behaviour", label="Taken", permission="probe.read", replaces=("sample.taken",)
        ),
    ]
"""


@pytest.fixture(scope="module")
def hooks_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plugin whose events are not for everybody."""
    folder = tmp_path_factory.mktemp("hooks")
    (folder / "probe.py").write_text(PROBE, encoding="utf-8")
    return folder


@pytest.fixture
async def known(record: Record) -> int:
    """The id of a customer whose every field is known."""
    identities = {"phone": "13812340000", "email": "ann@example.com", "crm": "crm-77", "passport": "E1234"}
    traits = {"name": "Ann Lee", "company": "Acme", "city": "Harbin", "income": 912345678, "size": "L"}
    [event] = await record({"name": "order.paid", "identities": identities, "traits": traits})
    await record({"name": "order.paid", "identities": identities, "traits": {"city": "Harbin S", "income": 912345679}})
    return event.customer_id


def leaked(*answers: httpx.Response) -> list[str]:
    return [secret for secret in SECRETS for answer in answers if secret in answer.text]


async def test_fields_are_masked_or_left_out_wherever_they_are_shown(acting: As, known: int) -> None:
    client = await acting(HELD, RULES)
    one = await client.get(f"{BASE}/customers/{known}")
    answer = one.json()
    assert (answer["phone"], answer["email"], answer["name"], answer["company"]) == ("138****0000", None, "****", None)
    assert answer["attributes"] == {"city": "****", "size": "L"}
    assert answer["identities"] == {"phone": ["138****0000"], "crm": ["****"]}
    listed = await client.get(f"{BASE}/customers")
    searched = await client.post(f"{BASE}/customers/search", json={"condition": {"type": "all", "of": []}})
    assert listed.json()["items"] == searched.json()["items"] == [answer]
    timeline = await client.get(f"{BASE}/customers/{known}/events")
    facts = {item["name"]: item["properties"] for item in timeline.json()["items"]}
    assert facts["customer.updated"] == {"changes": {"city": {"old": "****", "new": "****"}}}
    created = facts["customer.created"]["fields"]
    assert {"email", "company", "income"}.isdisjoint(created)
    assert (created["name"], created["city"], created["size"]) == ("****", "****", "L")
    assert not leaked(one, listed, searched, timeline)


async def test_what_is_not_seen_is_not_asked_about(acting: As, known: int) -> None:
    client = await acting(HELD, RULES)
    for field in ("phone", "email", "name", "company", "owner", "attributes.city", "attributes.income"):
        condition = {"type": "field", "field": f"customer.{field}", "op": "is_set"}
        for path, more in [("conditions/count", {}), ("conditions/explain", {"customer_id": known})]:
            answer = await client.post(f"{BASE}/{path}", json={"condition": condition, **more})
            assert (answer.status_code, answer.json()["code"]) == (400, "masked"), field
        body = {"condition": {"type": "all", "of": []}, "sort": [f"-{field}"]}
        answer = await client.post(f"{BASE}/customers/search", json=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "masked"), field
    for name in ("customer.created", "customer.updated"):
        where = {"type": "field", "field": "event.properties.changes", "op": "contains", "value": "Harbin"}
        condition = {"type": "event", "event": name, "measure": "count", "op": "gte", "value": 1, "where": where}
        answer = await client.post(f"{BASE}/conditions/count", json={"condition": condition})
        assert (answer.status_code, answer.json()["code"]) == (400, "masked"), name
    offered = {item["field"] for item in (await client.get(f"{BASE}/conditions/fields")).json()["items"]}
    assert "customer.attributes.size" in offered
    assert offered.isdisjoint(f"customer.{field}" for field in RULES)
    for q in ("Ann", "ann@example.com", "crm-77", "E1234", "Acme", "Harbin", "0000"):
        assert (await client.get(f"{BASE}/customers", params={"q": q})).json()["items"] == [], q


async def test_a_hidden_phone_is_not_looked_up_and_a_masked_one_is(acting: As, known: int) -> None:
    for rule, found in [("hide", []), ("mask", [known])]:
        client = await acting(HELD, {"phone": rule})
        items = (await client.get(f"{BASE}/customers", params={"q": "13812340000"})).json()["items"]
        assert [item["id"] for item in items] == found, rule


# --- seeing what is masked --------------------------------------------------------------------------------------------


async def revealed(platform: Platform) -> list[Any]:
    async with platform.db.connection() as connection:
        rows = await connection.fetch("SELECT object, details FROM audit WHERE action = 'customer.reveal' ORDER BY id")
    return [(row[0], json.loads(row[1])) for row in rows]


async def test_masked_fields_are_revealed_for_a_reason_that_is_kept(acting: As, platform: Platform, known: int) -> None:
    client = await acting({"customers.reveal": "all"}, RULES)
    body = {"fields": ["phone", "attributes.city", "identities.crm", "owner"], "reason": "calls back"}
    answer = await client.post(f"{BASE}/customers/{known}/reveal", json=body)
    assert answer.json() == {
        "id": known,
        "fields": {
            "phone": "+8613812340000",
            "attributes.city": "Harbin S",
            "identities.crm": ["crm-77"],
            "owner": None,
        },
        "identities": {"phone": ["+8613812340000"]},
    }
    assert await revealed(platform) == [
        (f"customer:{known}", {"fields": sorted(body["fields"]), "reason": "calls back"}),
    ]


async def test_what_is_not_revealed(acting: As, platform: Platform, known: int) -> None:
    client = await acting({"customers.reveal": "all"}, RULES)
    for body, status in [
        ({"fields": ["email"], "reason": "x"}, 403),
        ({"fields": ["phone", "attributes.income"], "reason": "x"}, 403),
        ({"fields": ["identities.passport"], "reason": "x"}, 403),
        ({"fields": [], "reason": "x"}, 400),
        ({"fields": ["phone"]}, 400),
        ({"fields": ["phone"], "reason": " "}, 400),
        ({"fields": ["phone"], "reason": "a\u0000"}, 400),
        ({"fields": ["attributes.\u0000"], "reason": "x"}, 400),
        ({"fields": ["merged_into"], "reason": "x"}, 400),
        ({"fields": ["__class__"], "reason": "x"}, 400),
    ]:
        answer = await client.post(f"{BASE}/customers/{known}/reveal", json=body)
        assert answer.status_code == status, body
        assert not leaked(answer)
    assert await revealed(platform) == []


# --- events that are not for everybody --------------------------------------------------------------------------------


@pytest.fixture
async def probed(record: Record) -> int:
    """The id of a customer with an order, a probe, and one from when probes were called samples."""
    identities = {"external_id": "1"}
    [event] = await record({"name": "order.paid", "identities": identities})
    for name in ("probe.taken", "sample.taken"):
        await record({"name": name, "identities": identities})
    return event.customer_id


def events(name: Any) -> dict[str, Any]:
    return {"type": "event", "event": name, "measure": "count", "op": "gte", "value": 1}


async def test_events_need_the_permission_of_their_type(acting: As, probed: int) -> None:
    for more, shown in [({}, {"order.paid"}), ({"probe.read": "all"}, {"order.paid", "probe.taken", "sample.taken"})]:
        client = await acting({**HELD, **more})
        items = (await client.get(f"{BASE}/customers/{probed}/events")).json()["items"]
        assert {item["name"] for item in items} - {"customer.created"} == shown
        first = (await client.get(f"{BASE}/customers/{probed}/events", params={"limit": 1})).json()
        rest = await client.get(f"{BASE}/customers/{probed}/events", params={"cursor": first["next"]})
        assert [*first["items"], *rest.json()["items"]] == items
        exporter = await acting({**HELD, "customers.export": "all", **more})
        stored = [{key: value for key, value in item.items() if key not in {"label", "summary"}} for item in items]
        assert [*stored[0], "label", "summary"] == [*items[0]]  # words for people are not in the file
        assert (await exporter.get(f"{BASE}/customers/{probed}/export")).json()["events"] == stored
        body = {"customer_id": probed}
        for name, seen in [("order.paid", True), ("probe.taken", more), ("sample.taken", more), ("*", more)]:
            asked = await client.post(f"{BASE}/conditions/explain", json={"condition": events(name), **body})
            counted = await client.post(
                f"{BASE}/conditions/count", json={"condition": {"type": "not", "of": events(name)}}
            )
            assert [asked.status_code, counted.status_code] == ([200, 200] if seen else [400, 400]), (name, asked.text)
            if not seen:
                assert asked.json()["code"] == counted.json()["code"] == "unseen"


async def test_events_are_seen_of_customers_in_the_scope_of_their_permission(acting: As, probed: int) -> None:
    client = await acting({**HELD, "probe.read": "own"})
    items = (await client.get(f"{BASE}/customers/{probed}/events")).json()["items"]
    assert "probe.taken" not in {item["name"] for item in items}
    answer = await client.post(f"{BASE}/conditions/count", json={"condition": events("probe.taken")})
    assert answer.json()["code"] == "unseen"


async def test_the_shipped_roles_that_a_permission_names_have_it(
    client: httpx.AsyncClient, make_token: Any, probed: int
) -> None:
    for role, status in [("viewer", 400), ("agent", 200), ("admin", 200)]:
        headers = {"authorization": f"Bearer {await make_token(role)}"}
        body = {"condition": events("probe.taken")}
        answer = await client.post(f"{BASE}/conditions/count", json=body, headers=headers)
        assert answer.status_code == status, role


def test_an_event_type_with_an_unknown_permission_is_refused() -> None:
    class Bad:
        @staticmethod
        @hookimpl
        def register_event_types() -> list[EventType]:
            return [EventType(name="bad.event", kind="behaviour", label="x", permission="bad.read")]

    [problem] = assemble({"bad": Bad()}).problems
    assert "bad.event needs the unknown permission 'bad.read'" in str(problem.text)


async def test_what_concerns_everybody_is_granted_whole_or_not_at_all(
    client: httpx.AsyncClient, platform: Platform
) -> None:
    role: dict[str, Any] = {"name": "tuner", "label": "Tuner"}
    for scope in ("own", "team"):
        refused = await client.post(f"{BASE}/roles", json={**role, "permissions": {"probe.tune": scope}})
        assert refused.status_code == 400
        assert 'probe.tune is granted for all customers ("all") or not at all' in refused.json()["detail"]
    made = await client.post(f"{BASE}/roles", json={**role, "permissions": {"probe.tune": "all"}})
    assert made.json()["permissions"] == {"probe.tune": "all"}
    change = {"version": 1, "permissions": {"probe.tune": "team"}}
    assert (await client.patch(f"{BASE}/roles/tuner", json=change)).status_code == 400
    # One that was stored before grants nothing, is read, and can be changed.
    async with platform.db.connection() as connection:
        await connection.execute("UPDATE role_permission SET scope = 'own' WHERE role = 'tuner'")
    platform.directory.forget()
    changed = await client.patch(f"{BASE}/roles/tuner", json={"version": 1, "label": "Nobody"})
    assert (changed.status_code, changed.json()["permissions"]) == (200, {})


async def test_a_permission_whose_plugin_is_gone_is_passed_over(platform: Platform, acting: As) -> None:
    await acting({"customers.read": "all", "probe.read": "all"})
    from zhike.access.directory import Directory

    [role] = [each for each in await own_roles.list_(platform.db, Directory(platform.db)) if not each.shipped]
    assert role.permissions == {"customers.read": "all"}
