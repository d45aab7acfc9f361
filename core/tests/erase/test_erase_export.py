"""The copy for a person: all that is stored, as the role may see it, in one document."""

from __future__ import annotations

import json

import pytest

from zhike.access.actor import Actor
from zhike.customers import person_export
from zhike.errors import NotFound


async def copy_for(platform, actor, customer_id):
    stream = await person_export.export(platform, actor, customer_id)
    return json.loads(b"".join([piece async for piece in stream.pieces]))


async def test_a_copy_has_everything(api, geng, known, platform):
    answer = await api.client.get(f"/api/v1/customers/{geng}/export")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert f'filename="customer-{geng}.json"' in answer.headers["content-disposition"]
    copy = answer.json()
    assert copy["format"] == "zhike-person-export/1"
    assert copy["customer"] == await api("GET", f"/customers/{geng}")
    assert {each["field"] for each in copy["provenance"]} >= {"name", "city", "stage"}
    assert {each["message_id"] for each in copy["events"]} >= {"geng-0", "geng-1", "geng-2"}
    shown = (await api("GET", f"/customers/{geng}/events"))["items"][0]
    assert copy["events"][0].keys() == shown.keys() - {"label", "summary"}
    assert [merge["reason"] for merge in copy["merges"]] == ["anonymous"]
    assert copy["tables"]["task"][0]["title"] == f"Call {known.name}"
    assert copy["tables"]["customer_stage"][0]["value"] == "阶段七"
    assert copy["sections"] == {"watcher": {"nickname": "Geng of 13912345678"}}
    async with platform.db.connection() as connection:
        actor = await connection.fetchval("SELECT actor FROM audit WHERE action = 'customer.export'")
    assert actor.startswith("token:")


async def test_masked_and_hidden_values_stand_nowhere_in_a_copy(api, geng, known, platform):
    await api.post({"message_id": "more", "properties": {"call": known.phone, "to": f"{known.name} <{known.mail}>"}})
    rules = {"phone": "mask", "email": "hide", "name": "mask", "attributes.city": "hide"}
    permissions = frozenset({"customers.read", "customers.export", "events.read"})
    actor = Actor(kind="user", id=5, name="ann", role="desk", permissions=permissions, rules=rules)
    copy = await copy_for(platform, actor, geng)
    told = json.dumps(copy, ensure_ascii=False)
    for secret in ("13912345678", known.mail, known.name, known.city):
        assert secret not in told
    assert copy["customer"]["phone"] == "139****5678"
    assert "139****5678" in copy["sections"]["watcher"]["nickname"]


async def test_without_the_permission_to_read_events_there_are_none_in_it(geng, platform):
    permissions = frozenset({"customers.read", "customers.export"})
    actor = Actor(kind="user", id=5, name="ann", role="desk", permissions=permissions, rules={})
    assert (await copy_for(platform, actor, geng))["events"] is None


@pytest.mark.parametrize(("scope", "customers"), [("own", 0), ("all", 1)])
async def test_a_copy_keeps_to_the_scope(geng, platform, scope, customers):
    permissions = frozenset({"customers.read", "customers.export"})
    scopes = {"customers.export": scope}
    actor = Actor(kind="user", id=5, name="ann", role="desk", permissions=permissions, scopes=scopes, user_id=5)
    if customers:
        assert (await copy_for(platform, actor, geng))["customer"]["id"] == geng
        return
    with pytest.raises(NotFound):
        await copy_for(platform, actor, geng)


async def test_many_events_are_sent_in_pieces(api, geng, platform, monkeypatch):
    monkeypatch.setattr(person_export, "IN_MEMORY", 1000)
    monkeypatch.setattr(person_export, "PIECE", 500)
    await api.post(*({"message_id": f"many-{number:04}", "properties": {"n": number}} for number in range(1200)))
    stream = await person_export.export(platform, Actor.system(), geng)
    pieces = [piece async for piece in stream.pieces]
    assert max(map(len, pieces)) == 500
    copy = json.loads(b"".join(pieces))
    assert len([each for each in copy["events"] if each["message_id"].startswith("many")]) == 1200
