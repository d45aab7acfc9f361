"""Tags by hand: who may, expiry, two people at once, merges, exports, erasing, and ten thousand tags."""

from __future__ import annotations


async def test_a_tag_by_hand_expires(tagging, frozen_now):
    await tagging.group("a")
    tag = await tagging.tag("a", "试用", expires="P7D")
    lin = await tagging.customer("lin")
    await tagging.assign([lin], add=[tag])
    [given] = await tagging.tags(lin)
    assert (given["source"], given["expires_at"]) == ("manual", "2026-03-21T08:00:00Z")
    frozen_now.advance(days=6)
    await tagging.assign([lin], add=[tag])  # once more, for another seven days
    frozen_now.advance(days=6)
    await tagging.idle()
    assert await tagging.names(lin) == {"试用"}
    frozen_now.advance(days=1, minutes=1)
    await tagging.idle()
    assert await tagging.names(lin) == set()
    assert await tagging.told(lin) == [("tag.added", "试用"), ("tag.removed", "试用")]


async def test_what_cannot_be_done(tagging):
    await tagging.group("a", exclusive=True)
    one = await tagging.tag("a", "一")
    two = await tagging.tag("a", "二", condition={"type": "all", "of": []})
    lin = await tagging.customer("lin")
    await tagging.idle()
    await tagging.assign([lin], remove=[one, two])  # what it has by a rule stays
    assert await tagging.names(lin) == {"二"}
    assert (await tagging.assign([lin], add=[one, two], status=400))["code"] == "exclusive"
    await tagging.ask("POST", "/tagging/assign", 404, customers=[lin], add=["无"])
    assert (await tagging.tag("a", "一", 409))["code"] == "name"
    await tagging.tag("nowhere", "三", 404)
    await tagging.ask("POST", "/tagging/groups", 409, key="a", name="a")
    await tagging.tag("a", "三", 400, expires="soon")
    await tagging.tag("a", "三", 400, condition={"type": "field", "field": "nothing", "op": "eq", "value": 1})
    await tagging.tag("a", "三", 400, task={"title": "x", "due_in": "soon"})
    await tagging.tag("a", "  ", 400)
    assert (await tagging.change(two, 409, name="别的"))["code"] == "used"
    await tagging.ask("GET", "/tagging/assignments/99", 404)


async def test_two_people_edit_one_rule(tagging):
    group = await tagging.group("a")
    tag = await tagging.tag("a", "一")
    await tagging.change(tag, colour="red")
    assert (await tagging.change(tag, 409, colour="blue"))["code"] == "version"
    await tagging.ask("PATCH", "/tagging/groups/a", version=group["version"], name="A")
    await tagging.ask("PATCH", "/tagging/groups/a", 409, version=group["version"], name="B")
    [left] = (await tagging.ask("GET", "/tagging/tags"))["items"]
    assert (left["colour"], left["version"]) == ("red", 2)


async def test_an_archived_group_is_nobodys(tagging):
    group = await tagging.group("a")
    tag = await tagging.tag("a", "一")
    lin = await tagging.customer("lin")
    await tagging.assign([lin], add=[tag])
    await tagging.ask("PATCH", "/tagging/groups/a", version=group["version"], archived=True)
    await tagging.idle()
    assert await tagging.names(lin) == set()
    assert [each["tag"] for each in await tagging.tags(lin, history=True)] == ["一"]
    await tagging.assign([lin], add=[tag], status=404)


async def test_a_merge_unites_tags_and_its_undoing_parts_them(tagging):
    await tagging.group("a", exclusive=True)
    one, two = await tagging.tag("a", "一"), await tagging.tag("a", "二")
    lin, wang = await tagging.customer("lin"), await tagging.customer("wang")
    await tagging.assign([lin, wang], add=[one])
    await tagging.assign([wang], add=[two])
    merged = await tagging.ask("POST", "/customers/merge", winner=lin, losers=[wang], mixed=True)
    await tagging.idle()
    assert await tagging.names(lin) == {"一", "二"}  # staff decide which of the two is right
    await tagging.ask("POST", "/customers/unmerge", merge_id=merged["merge_id"])
    await tagging.idle()
    assert (await tagging.names(lin), await tagging.names(wang)) == ({"一"}, {"二"})
    copy = await tagging.ask("GET", f"/customers/{wang}/export")
    assert len(copy["tables"]["tagging_assignment"]) == 2
    await tagging.ask("DELETE", f"/customers/{wang}", 202)
    await tagging.idle()
    assert await tagging.holders("二") == set()


async def test_roles(tagging, make_token):
    await tagging.group("a")
    tag = await tagging.tag("a", "一")
    lin = await tagging.customer("lin", traits={"name": "林"})
    headers = tagging.client.headers
    phone = {"type": "field", "field": "customer.phone", "op": "starts_with", "value": "138"}
    headers["authorization"] = f"Bearer {await make_token('viewer')}"
    await tagging.ask("GET", "/tagging/tags")
    await tagging.assign([lin], add=[tag], status=403)
    headers["authorization"] = f"Bearer {await make_token('agent')}"
    assert await tagging.assign([lin, 99], add=[tag]) == {"customers": 1}
    await tagging.tag("a", "二", 403)
    headers["authorization"] = f"Bearer {await make_token('manager')}"
    await tagging.tag("a", "二", condition=phone)


async def test_a_rule_on_a_field_that_is_gone_pauses_its_tag_alone(tagging, platform, database, frozen_now):
    await tagging.group("a")
    viewed = {"type": "event", "event": "page.viewed", "measure": "count", "op": "gte", "value": 2}
    open_tasks = {"type": "field", "field": "tasks.open", "op": "is_not_set"}
    await tagging.tag("a", "在", condition=viewed)
    await tagging.tag("a", "忙", condition=open_tasks)
    lin = await tagging.customer("lin")
    await tagging.idle()
    assert await tagging.names(lin) == {"忙"}
    known = platform.fields._known.pop("tasks.open")  # as if the plugin whose field it is had gone
    frozen_now.advance(minutes=1)
    await tagging.customer("lin")
    await tagging.idle()
    assert await tagging.names(lin) == {"在", "忙"}
    problems = {each["name"]: each["problem"] for each in (await tagging.ask("GET", "/tagging/tags"))["items"]}
    assert "tasks.open" in problems["忙"]
    assert problems["在"] is None
    platform.fields._known["tasks.open"] = known
    await tagging.ask("POST", "/tasks", title="Call", customer_id=lin)
    frozen_now.advance(minutes=1)
    await tagging.idle()
    assert await tagging.names(lin) == {"在"}
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM tagging_tag WHERE problem IS NOT NULL") == 0


async def test_ten_thousand_tags(tagging, database, visit):
    await tagging.group("a")
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO tagging_tag (group_id, name, colour, position) "
            "SELECT 1, 'tag ' || n, '', 1 FROM generate_series(1, 10000) AS n"
        )
    first = await tagging.ask("GET", "/tagging/tags?limit=1000")
    assert (len(first["items"]), first["next"] is None) == (1000, False)
    second = await tagging.ask("GET", f"/tagging/tags?limit=1000&cursor={first['next']}")
    assert second["items"][0]["name"] == "tag 1001"
    found = await tagging.ask("GET", "/tagging/tags?q=TAG 9999")
    assert [each["name"] for each in found["items"]] == ["tag 9999"]
    admin, row = await visit("admin"), r'href="(/tagging/tags/\d+)"'
    forth = await admin.walk("/tagging/tags?q=tag+99", row)
    back = await admin.walk(forth[-1][0], row, "Previous")
    assert [len(rows) for _, rows in forth] == [50, 50, 11]
    assert [rows for _, rows in back] == [rows for _, rows in reversed(forth)]
    lin = await tagging.customer("lin")
    for start in range(0, 200, 50):
        await tagging.assign([lin], add=first["items"][start : start + 50])
    await tagging.customer("lin")
    await tagging.idle()
    assert len(await tagging.tags(lin)) == 200
