"""The order of fields and their headings: read and said in one piece, by one at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

FIELDS, LAYOUT = "/api/v1/customers/fields", "/api/v1/customers/fields/layout"
COLUMNS = ["kind", "name", "phone", "email", "company", "stage"]


async def define(client: httpx.AsyncClient, *keys: str, **more: Any) -> None:
    for key in keys:
        assert (await client.post(FIELDS, json={"key": key, **more})).status_code == 200


async def read(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get(LAYOUT)
    assert answer.status_code == 200, answer.text
    layout: dict[str, Any] = answer.json()
    return layout


async def test_fields_are_put_into_groups_and_an_order(client, database):
    await define(client, "city", "hobby", "size")
    before = await read(client)
    assert (before["groups"], before["ungrouped"]) == ([], [*COLUMNS, "city", "hobby", "size"])
    groups = [
        {"key": "taste", "label": "喜好", "fields": ["size", "hobby"]},
        {"key": "basic", "label": "基本资料", "fields": ["name", "phone"]},
    ]
    wanted = {"version": before["version"], "groups": groups, "ungrouped": ["city"]}
    answer = await client.put(LAYOUT, json=wanted)
    assert answer.status_code == 200, answer.text
    after = answer.json()
    assert after == await read(client)
    # What was left out comes last.
    assert (after["groups"], after["ungrouped"]) == (groups, ["city", "kind", "email", "company", "stage"])
    assert after["version"] != before["version"]
    items = {each["key"]: each for each in (await client.get(FIELDS)).json()["items"]}
    assert {key: items[key]["group"] for key in ("size", "name", "city", "kind")} == {
        **{"size": "taste", "name": "basic", "city": "", "kind": ""}
    }
    assert [each for each in items if each not in COLUMNS] == ["size", "hobby", "city"]
    async with database.connection() as connection:
        action = await connection.fetchval("SELECT action FROM audit ORDER BY id DESC LIMIT 1")
    assert action == "field.layout"
    # A heading that goes leaves its fields; its name may change.
    renamed = [{"key": "taste", "label": "Taste", "fields": ["hobby"]}]
    answer = await client.put(LAYOUT, json={"version": after["version"], "groups": renamed, "ungrouped": ["size"]})
    assert answer.json()["groups"] == renamed
    assert answer.json()["ungrouped"][0] == "size"
    same = await client.put(LAYOUT, json=answer.json())
    assert same.json() == answer.json()


async def test_a_group_that_only_a_field_names_is_shown(client):
    await define(client, "city", group="Where")
    layout = await read(client)
    assert layout["groups"] == [{"key": "Where", "label": "Where", "fields": ["city"]}]


async def test_of_two_at_once_one_is_told(client):
    await define(client, "city", "hobby")
    version = (await read(client))["version"]
    bodies = [{"version": version, "groups": [], "ungrouped": order} for order in (["hobby", "city"], ["city", "name"])]
    answers = await asyncio.gather(*(client.put(LAYOUT, json=body) for body in bodies))
    assert sorted(each.status_code for each in answers) == [200, 409]
    # So is whoever has not seen the change of a field.
    version = (await read(client))["version"]
    await client.patch(f"{FIELDS}/city", json={"help": "Where they live"})
    answer = await client.put(LAYOUT, json={"version": version, "groups": []})
    assert (answer.status_code, answer.json()["code"]) == (409, "version")


async def test_what_is_no_layout(client, acting):
    await define(client, "city")
    version = (await read(client))["version"]
    group = {"key": "a", "label": "A"}
    for groups, ungrouped, status in [
        ([group, group], [], 400),
        ([{**group, "fields": ["city", "city"]}], [], 400),
        ([{**group, "fields": ["city"]}], ["city"], 400),
        ([{"key": "", "label": "A"}], [], 400),
        ([{"key": "a", "label": "\0"}], [], 400),
        ([{"key": "a", "label": " "}], [], 400),
        ([group], ["nothing"], 404),
        ([{"key": f"{n}", "label": "A"} for n in range(201)], [], 400),
    ]:
        answer = await client.put(LAYOUT, json={"version": version, "groups": groups, "ungrouped": ungrouped})
        assert answer.status_code == status, (groups, answer.text)
    assert (await read(client))["version"] == version
    reader = await acting({"customers.read": "all"})
    assert (await reader.get(LAYOUT)).status_code == 200
    assert (await reader.put(LAYOUT, json={"version": version, "groups": []})).status_code == 403
