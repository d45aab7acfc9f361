"""R047: tags are defined by the business itself, along several dimensions, and change as customers do."""

import json


async def test_staff_make_dimensions_and_tags_without_a_programmer(tagging, visit):
    manager = await visit("manager")
    rule = {"type": "event", "event": "page.viewed", "measure": "count", "op": "gte", "value": 2}
    groups = {"interest": ("兴趣", "behaviour", "green"), "region": ("地区", "static", "")}
    for key, (name, kind, colour) in groups.items():
        group = {"key": key, "name": name, "kind": kind, "colour": colour, "position": "1"}
        assert (await manager.post("/tagging/groups/new", data=group)).status_code == 303
    given = {"position": "1", "colour": ""}
    await manager.post("/tagging/tags/new", data={**given, "group": "region", "name": "华东", "condition.on": ""})
    by_rule = {"group": "interest", "name": "爱逛", "condition.on": "1", "condition": json.dumps(rule)}
    await manager.post("/tagging/tags/new", data=given | by_rule)
    lin = await tagging.customer("lin")
    await manager.post(f"/tagging/customers/{lin}/tags", data={"add": "华东"})
    await tagging.idle()
    assert await tagging.names(lin) == {"华东"}
    await tagging.customer("lin")
    await tagging.idle()
    assert {(each["group"], each["tag"], each["colour"]) for each in await tagging.tags(lin)} == {
        ("region", "华东", ""),
        ("interest", "爱逛", "green"),
    }
    panel = (await manager.part(f"/customers/{lin}/panels/tagging.tags")).text
    assert all(each in panel for each in ("兴趣", "爱逛", "地区", "华东"))
    stricter = {"version": "1", "condition": json.dumps({**rule, "value": 9})}
    await manager.post("/tagging/tags/2/edit", data=given | by_rule | stricter)
    await tagging.idle()
    assert await tagging.names(lin) == {"华东"}
