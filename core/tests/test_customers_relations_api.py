"""Relations between customers and the history of their stages."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from zhike.access.actor import Actor
from zhike.access.roles import ROLES
from zhike.customers import relating, relations
from zhike.customers.relation_schemas import NewRelation
from zhike.errors import BadRequest, NotFound
from zhike.plugins.rows import move_rows
from zhike.work import begin

if TYPE_CHECKING:
    import httpx


CUSTOMERS = "/api/v1/customers"


@pytest.fixture
async def people(client: httpx.AsyncClient) -> list[int]:
    """The ids of a person, a company and another company."""
    ids = []
    for number, (kind, name) in enumerate([("person", "Ann"), ("company", "Acme"), ("company", "Holding")]):
        said = {"identities": {"external_id": f"p{number}"}, "kind": kind, "name": name}
        ids.append((await client.post(CUSTOMERS, json=said)).json()["id"])
    return ids


async def relate(client: httpx.AsyncClient, customer: int, other: int, kind: str = "employee", **more: Any) -> Any:
    said = {"kind": kind, "other_customer_id": other, **more}
    answer = await client.post(f"{CUSTOMERS}/{customer}/relations", json=said)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def related(client: httpx.AsyncClient, customer: int) -> list[Any]:
    return (await client.get(f"{CUSTOMERS}/{customer}/relations")).json()["items"]


async def test_both_sides_show_a_relation_and_its_end(client, people, database):
    ann, acme, holding = people
    made = await relate(client, ann, acme, title="采购经理", since="2026-01-01")
    assert made == {
        **{"id": made["id"], "kind": "employee", "reverse": False, "title": "采购经理"},
        **{"since": "2026-01-01", "until": None, "other": {"id": acme, "kind": "company", "name": "Acme"}},
    }
    owner = await relate(client, acme, holding, "parent_company", reverse=True)
    assert await related(client, ann) == [made]
    mirrored = made | {"reverse": True, "other": {"id": ann, "kind": "person", "name": "Ann"}}
    assert await related(client, acme) == [mirrored, owner]
    answer = await client.delete(f"{CUSTOMERS}/{acme}/relations/{made['id']}")
    assert answer.json()["items"] == [owner]
    assert await related(client, ann) == []
    assert (await client.delete(f"{CUSTOMERS}/{acme}/relations/{made['id']}")).status_code == 404
    assert (await client.delete(f"{CUSTOMERS}/{ann}/relations/{owner['id']}")).status_code == 404
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT name, properties->>'other_customer_id', properties->>'reverse' FROM event"
            " WHERE customer_id = $1 AND name LIKE 'customer.%related' ORDER BY id",
            acme,
        )
        audited = await connection.fetch("SELECT action FROM audit WHERE action LIKE 'customer.%relate' ORDER BY id")
    assert [tuple(row) for row in rows] == [
        ("customer.related", str(ann), "true"),
        ("customer.related", str(holding), "true"),
        ("customer.unrelated", str(ann), "true"),
    ]
    assert [row[0] for row in audited] == ["customer.relate", "customer.relate", "customer.unrelate"]


async def test_what_is_no_relation(client, people, make_token):
    ann, acme, _ = people
    await relate(client, ann, acme)
    path, good = f"{CUSTOMERS}/{ann}/relations", {"kind": "employee", "other_customer_id": acme}
    for said, status in [
        (good, 409),
        (good | {"other_customer_id": ann}, 400),
        (good | {"other_customer_id": 999}, 400),
        (good | {"kind": "Chef!"}, 400),
        (good | {"kind": "contact", "since": "2026-02-01", "until": "2026-01-01"}, 400),
        (good | {"kind": "contact", "title": "a\0"}, 400),
        (good | {"kind": "contact", "until": "2026-02-30"}, 400),
    ]:
        assert (await client.post(path, json=said)).status_code == status, said
    assert (await client.post(f"{CUSTOMERS}/999/relations", json=good)).status_code == 404
    assert (await client.get(f"{CUSTOMERS}/999/relations")).status_code == 404
    headers = {"authorization": f"Bearer {await make_token('viewer')}"}
    assert (await client.get(path, headers=headers)).status_code == 200
    assert (await client.post(path, json=good, headers=headers)).status_code == 403


async def test_whom_one_does_not_see_has_no_name(client, people, platform, database):
    ann, acme, _ = people
    await relate(client, ann, acme)
    async with database.connection() as connection:
        await connection.execute("UPDATE customer SET owner = 7 WHERE id = $1", ann)
    scopes = {"customers.read": "own", "customers.write": "own"}
    li = Actor(kind="user", id=7, user_id=7, name="li", role="own", permissions=ROLES["agent"], scopes=scopes, rules={})
    [shown] = (await relations.list_(database, li, ann)).items
    assert (shown.kind, shown.other) == ("employee", None)
    with pytest.raises(NotFound):
        await relations.list_(database, li, acme)
    with pytest.raises(BadRequest, match="other_customer_id"):
        async with begin(platform, origin=li.origin) as work:
            await relating.relate(work, li, ann, NewRelation(kind="contact", other_customer_id=acme))


async def test_a_merge_moves_relations_and_leaves_none_to_oneself(client, people, database):
    ann, acme, holding = people
    await relate(client, ann, acme)
    await relate(client, ann, holding)
    await relate(client, acme, holding, "parent_company", reverse=True)
    async with database.transaction() as connection:
        await connection.execute("UPDATE customer SET merged_into = $2 WHERE id = $1", holding, acme)
        await move_rows(connection, [(holding, acme)])
    [item] = await related(client, ann)
    assert (item["kind"], item["other"]["id"]) == ("employee", acme)
    assert [(each["kind"], each["other"]["id"]) for each in await related(client, acme)] == [("employee", ann)]


# --- stages -----------------------------------------------------------------------------------------------------------


async def test_every_way_to_a_stage_leaves_its_trace(client, record, frozen_now, database):
    start = frozen_now.instant
    event = {"name": "app.login", "identities": {"external_id": "1"}}
    [stored] = await record(event | {"traits": {"stage": "线索"}})
    one = f"{CUSTOMERS}/{stored.customer_id}"
    for days, stage in [(1, "商机"), (2, "商机"), (3, None), (4, "成交")]:
        frozen_now.set(start + timedelta(days=days))
        await client.patch(one, json={"stage": stage})
    frozen_now.set(start + timedelta(days=5))
    await record(event | {"traits": {"stage": "流失"}})
    items = (await client.get(f"{one}/stages")).json()["items"]
    assert [each["value"] for each in items] == ["线索", "商机", None, "成交", "流失"]
    begins = [f"2026-03-{14 + days}T08:00:00Z" for days in (0, 1, 3, 4, 5)]
    assert [each["valid_from"] for each in items] == begins
    assert [each["valid_to"] for each in items] == [*begins[1:], None]
    assert (await client.get(f"{CUSTOMERS}/999/stages")).status_code == 404


async def test_a_merged_visitor_brings_its_stage(record, client):
    visitor = {"name": "app.login", "identities": {"anonymous_id": "a"}, "traits": {"stage": "线索"}}
    await record(visitor)
    both = {"name": "app.login", "identities": {"external_id": "1", "anonymous_id": "a"}}
    await record({"name": "app.login", "identities": {"external_id": "1"}})
    [event] = await record(both)
    items = (await client.get(f"{CUSTOMERS}/{event.customer_id}/stages")).json()["items"]
    assert [(each["value"], each["valid_to"]) for each in items] == [("线索", None)]


async def test_conditions_ask_how_long_a_stage_has_held(record, client, frozen_now, platform, database):
    from zhike.conditions import service

    start = frozen_now.instant
    ids = []
    for name, steps in {
        "old": [(0, "活跃")],
        "new": [(0, "线索"), (10, "活跃")],
        "gap": [(0, "活跃"), (9, None), (10, "活跃")],
    }.items():
        for days, stage in steps:
            frozen_now.set(start + timedelta(days=days))
            said = {"identities": {"external_id": name}, "stage": stage}
            made = (await client.post(CUSTOMERS, json=said)).json()
        ids.append(made["id"])
    await record({"name": "app.login", "identities": {"external_id": "none"}})
    condition = {"type": "field", "field": "customer.stage", "op": "eq", "value": "活跃", "for": "P14D"}
    checked = service.check(platform, condition)
    dependencies = service.dependencies(platform, checked)
    assert dependencies.timed
    assert "customer.updated" in dependencies.events
    old, new, gap = ids
    for day, expected in [(13, set()), (14, {old}), (23, {old}), (24, {old, new, gap})]:
        moment = service.moment(platform.settings, start + timedelta(days=day))
        async with database.connection() as connection:
            found = await service.members(connection, checked, moment)
            few = await service.members(connection, checked, moment, among=ids)
        assert found == few == expected, day
        for customer_id in ids:
            at = start + timedelta(days=day)
            explained = await service.explain(platform, Actor.command("test"), condition, customer_id, at=at)
            assert explained.held is (customer_id in expected)
    async with database.connection() as connection:
        crossed = [
            await service.edges(
                connection, checked, start + timedelta(days=first), start + timedelta(days=last), platform.settings.zone
            )
            for first, last in [(12, 13), (13, 15), (23, 25)]
        ]
    assert old not in crossed[0]
    assert old in crossed[1]
    assert {new, gap} <= crossed[2]
    # Without `for` it is the stage that counts, for whoever has one.
    now = service.check(platform, condition | {"for": None})
    async with database.connection() as connection:
        assert await service.members(connection, now, service.moment(platform.settings)) == {*ids}
