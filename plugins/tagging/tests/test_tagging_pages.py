"""The pages of tagging: tagging in bulk, a rule that takes effect, who may do what, and what stands in the way."""

from __future__ import annotations

import html
import json
import re
from urllib.parse import unquote_plus, urlencode

import pytest

from zhike.access import own_roles
from zhike.access.actor import Actor


def viewed(value):
    rule = {"type": "event", "event": "page.viewed", "measure": "count", "within": "P30D", "op": "gte", "value": value}
    return {"type": "all", "of": [rule]}


def typed(group, name, condition=None, **more):
    given = {"group": group, "name": name, "colour": "red", "position": "10", "expires": "", "condition.on": ""}
    if condition is not None:
        given |= {"condition.on": "1", "condition": json.dumps(condition)}
    return given | more


@pytest.fixture
async def admin(tagging, visit):
    return await visit("admin")


async def test_tag_in_bulk_build_a_rule_and_watch_it_take_effect(tagging, admin):
    lin, wang = await tagging.customer("lin", traits={"name": "林"}), await tagging.customer("wang")
    form = await admin.get("/tagging/groups/new")
    key = re.search(r'name="key" value="(\w+)"', form.text)[1]
    made = await admin.post("/tagging/groups/new", data={"key": key, "name": "兴趣", "kind": "static", "position": "1"})
    assert (made.status_code, made.headers["location"]) == (303, "/tagging")
    await admin.post("/tagging/tags/new", data=typed(key, "会员"))
    picked = (await admin.get("/search/pick?kind=tag&q=会")).json()["items"]
    assert picked == [{"value": "会员", "label": "会员", "hint": "兴趣"}]
    asked = await admin.post("/customers/bulk/tagging.add", data={"ids": [str(lin), str(wang)]})
    assert "kind=tag" in asked.text
    assert "2 customers get the tag" in asked.text
    started = await admin.post("/customers/bulk/tagging.add/start", data={"ids": [str(lin)], "option_tag": "会员"})
    assert started.status_code == 200
    await tagging.idle()
    seen = await admin.part(f"/customers/{lin}/panels/tagging.tags")
    assert "会员" in seen.text

    saved = await admin.post("/tagging/tags/new", data=typed(key, "爱逛", viewed(2)))
    page = saved.headers["location"]
    await tagging.idle()
    shown = await admin.get(page)
    assert "in the last 30 days, Viewed a page: how often at least 2" in shown.text
    assert await tagging.names(lin) == {"会员"}
    await tagging.customer("lin")
    await tagging.idle()
    assert await tagging.names(lin) == {"会员", "爱逛"}
    theirs = re.search(r'href="(/customers\?condition=[^"]+)"', shown.text)[1]
    assert "林" in (await admin.get(theirs)).text
    members = await admin.part(f"{page}?counted=1")
    assert re.search(r"zk-tile-value\">1<", members.text)
    why = re.search(r"/tagging/assignments/\d+", (await admin.part(f"/customers/{lin}/panels/tagging.tags")).text)[0]
    answers = [(await admin.get(f"/tagging/assignments/{number}")).text for number in (1, 2)]
    assert why in {"/tagging/assignments/1", "/tagging/assignments/2"}
    assert any("found: 2" in answer for answer in answers)
    counted = await admin.part("/tagging?counted=1")
    assert len(re.findall(r"text-end\">1<", counted.text)) == 2
    history = await admin.get(f"/tagging/customers/{lin}/history")
    assert "爱逛" in history.text


async def test_a_tag_is_given_and_taken_in_the_panel(tagging, admin):
    await tagging.group("a")
    tag = await tagging.tag("a", "<script>x</script>")
    lin = await tagging.customer("lin")
    given = await admin.post(f"/tagging/customers/{lin}/tags", data={"add": tag["name"]})
    assert "&lt;script&gt;x" in given.text
    assert "<script>x" not in given.text
    for path in ("/tagging", "/tagging/tags", f"/tagging/tags/{tag['id']}", f"/tagging/tags/{tag['id']}/edit"):
        page = await admin.get(path)
        assert (page.status_code, "<script>x" in page.text, "&lt;script&gt;x" in page.text) == (200, False, True), path
    listed = await admin.get("/customers?columns=tagging.tags")
    assert "&lt;script&gt;x" in listed.text
    taken = await admin.post(f"/tagging/customers/{lin}/tags", data={"remove": tag["name"]})
    assert "script&gt;x" not in taken.text
    assert (await admin.post(f"/tagging/customers/{lin}/tags", data={"add": "nothing"})).status_code == 404


async def test_before_a_field_is_archived_it_says_which_rules_and_views_look_at_it(tagging, admin):
    await admin.post("/settings/fields/field", data={"label": "城市", "key": "city", "type": "text"})
    condition = {"type": "field", "field": "customer.attributes.city", "op": "eq", "value": "上海"}
    await tagging.group("a")
    await tagging.tag("a", "沪上", condition=condition)
    known = await tagging.tag("a", "沪上二", condition=condition)
    assert "no field of this name" not in (await admin.get(f"/tagging/tags/{known['id']}")).text
    mistyped = await tagging.tag("a", "别处", condition={**condition, "field": "customer.attributes.citys"})
    assert "(no field of this name is defined)" in (await admin.get(f"/tagging/tags/{mistyped['id']}")).text
    address = urlencode({"page": "customers", "condition": json.dumps(condition)})
    await admin.post("/views/new", data={"page": "customers", "address": address, "name": "上海客户", "shared": "me"})
    told = "Used by View: 上海客户, Tags: 沪上, Tags: 沪上二"
    assert told in (await admin.get("/settings/fields/use?key=city")).text
    asked = re.findall(r"data-confirm-lines='([^']*)'", (await admin.get("/settings/fields/field?key=city")).text)
    assert told in json.loads(html.unescape(asked[0]))
    assert "No rule and no saved view" in (await admin.get("/settings/fields/use?key=stage")).text


async def test_a_preset_is_adopted_by_one_click(tagging, admin):
    offered = await admin.get("/tagging")
    assert "in the last 1 year, Order paid: sum of amount at least 5,000" in offered.text
    await admin.post("/tagging/presets/customer_value")
    after = await admin.get("/tagging")
    assert "/tagging/presets/customer_value" not in after.text
    assert "/tagging/presets/life_cycle" in after.text
    assert "高价值" in after.text


async def test_who_may_do_what(tagging, visit):
    await tagging.group("a")
    tag = await tagging.tag("a", "一")
    lin = await tagging.customer("lin")
    await tagging.assign([lin], add=[tag])
    viewer = await visit("viewer")
    for path in ("/tagging", f"/tagging/tags/{tag['id']}"):
        page = await viewer.get(path)
        assert page.status_code == 200
        assert not re.search(r"/tagging/(groups|presets)|/edit|/archive|tags/new", page.text)
    panel = (await viewer.part(f"/customers/{lin}/panels/tagging.tags")).text
    assert "一" in panel
    assert f"/tagging/customers/{lin}/tags" not in panel
    for path in ("/tagging/groups/new", "/tagging/tags/new?group=a", "/tagging/groups/a", "/tagging/tags/1/edit"):
        assert (await viewer.get(path)).status_code == 403
    for path in ("/tagging/presets/life_cycle", "/tagging/tags/1/archive", f"/tagging/customers/{lin}/tags"):
        assert (await viewer.post(path, data={"add": "一", "archived": "1", "version": "1"})).status_code == 403
    agent = await visit("agent")
    assert f"/tagging/customers/{lin}/tags" in (await agent.part(f"/customers/{lin}/panels/tagging.tags")).text


async def test_what_does_not_fit_is_shown_with_all_that_was_typed(tagging, admin):
    await tagging.group("a")
    await tagging.tag("a", "一")
    named = await admin.post("/tagging/tags/new", data=typed("a", "一", viewed(7)))
    assert (named.status_code, "There is a tag 一 already" in named.text) == (409, True)
    assert "&#34;value&#34;: 7" in named.text or "&#34;value&#34;:7" in named.text
    nameless = await admin.post("/tagging/tags/new", data=typed("a", "", **{"task.on": "1", "task.title": "Call"}))
    assert (nameless.status_code, "This is needed" in nameless.text, 'value="Call"' in nameless.text) == (
        422,
        True,
        True,
    )
    long = await admin.post("/tagging/tags/new", data=typed("a", "长" * 500))
    assert (long.status_code, "At most 100 characters" in long.text, "长" * 500 in long.text) == (422, True, True)
    long = await admin.post("/tagging/groups/new", data={"key": "b", "name": "长" * 500, "position": "1"})
    assert (long.status_code, "At most 100 characters" in long.text, "长" * 500 in long.text) == (422, True, True)
    untitled = await admin.post("/tagging/tags/new", data=typed("a", "二", **{"task.on": "1", "task.title": ""}))
    assert (untitled.status_code, "This is needed" in untitled.text) == (422, True)
    gone = {"type": "field", "field": "gone.field", "op": "eq", "value": 1}
    bad = await admin.post("/tagging/tags/new", data=typed("a", "二", gone))
    assert (bad.status_code, "gone.field" in bad.text, 'value="二"' in bad.text) == (422, True, True)
    done = await admin.post(
        "/tagging/tags/new", data=typed("a", "二", **{"task.on": "1", "task.title": "Call", "task.to": "team"})
    )
    assert done.status_code == 303
    assert "Call" in (await admin.get(done.headers["location"])).text


async def test_two_people_edit_one_rule(tagging, admin, visit):
    await tagging.group("a")
    tag = await tagging.tag("a", "一", condition=viewed(2), position=10, colour="red")
    other, path = await visit("manager"), f"/tagging/tags/{tag['id']}/edit"
    await other.post(path, data=typed("a", "一", viewed(5), version="1"))
    refused = await admin.post(path, data=typed("a", "一", viewed(9), version="1"))
    assert refused.status_code == 409
    assert "how often at least 5" in refused.text
    assert re.search(r"&#34;value&#34;: ?9", refused.text)
    assert 'name="version" value="2"' in refused.text
    again = await admin.post(path, data=typed("a", "一", viewed(9), version="2"))
    assert again.status_code == 303
    page = await admin.get(again.headers["location"])
    assert "how often at least 9" in page.text


async def test_what_is_archived_comes_back(tagging, admin):
    group = await tagging.group("a")
    tag = await tagging.tag("a", "一")
    away = {"version": "1", "archived": "1"}
    assert (await admin.post(f"/tagging/tags/{tag['id']}/archive", data=away)).status_code == 303
    assert "archived" in (await admin.get(f"/tagging/tags/{tag['id']}")).text
    assert "一" in (await admin.get("/tagging/tags?archived=1")).text
    await admin.post("/tagging/groups/a/archive", data={"version": str(group["version"]), "archived": "1"})
    assert "Archived groups" in (await admin.get("/tagging")).text
    await admin.post("/tagging/groups/a/archive", data={"version": "2", "archived": ""})
    assert "Archived groups" not in (await admin.get("/tagging")).text
    changed = await admin.post("/tagging/groups/a", data={"key": "a", "name": "甲", "kind": "static", "version": "3"})
    assert changed.status_code == 303
    assert "甲" in (await admin.get("/tagging")).text


async def test_a_rule_on_a_deleted_field_says_which(tagging, admin, platform, frozen_now):
    await tagging.group("a")
    tag = await tagging.tag("a", "忙", condition={"type": "field", "field": "tasks.open", "op": "is_set"})
    known = platform.fields._known.pop("tasks.open")  # as if the plugin whose field it is had gone
    frozen_now.advance(minutes=1)
    await tagging.idle()
    page = await admin.get(f"/tagging/tags/{tag['id']}")
    assert "The rule is paused: it asks for tasks.open" in page.text
    assert "Paused" in (await admin.get("/tagging")).text
    platform.fields._known["tasks.open"] = known
    frozen_now.advance(minutes=1)
    await tagging.idle()
    assert "The rule is paused" not in (await admin.get(f"/tagging/tags/{tag['id']}")).text


async def test_why_a_tag_was_given_has_figures_as_people_write_them(tagging, admin):
    await tagging.group("a")
    points = {"type": "field", "field": "customer.attributes.points", "op": "gte", "value": 12000}
    await tagging.tag("a", "多", condition=points)
    lin = await tagging.customer("lin", traits={"points": 12345.5})
    await tagging.idle()
    [given] = await tagging.tags(lin)
    why = (await admin.get(f"/tagging/assignments/{given['id']}")).text
    assert "at least 12,000" in why
    assert "found: 12,345.5" in why


async def test_a_rule_on_an_archived_field_goes_on_and_says_so(tagging, admin):
    await tagging.group("a")
    await tagging.ask("POST", "/customers/fields", key="points", label="积分", type="number")
    points = {"type": "field", "field": "customer.attributes.points", "op": "gte", "value": 12000}
    tag = await tagging.tag("a", "多", condition=points)
    await tagging.ask("PATCH", "/customers/fields/points", version=1, archived=True)
    page = (await admin.get(f"/tagging/tags/{tag['id']}")).text
    assert "积分 at least 12,000 (the field is archived" in page
    assert "The rule is paused" not in page


async def test_ten_thousand_tags_are_a_few_statements_and_a_page(tagging, admin, database, query_counter):
    await tagging.group("a")
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO tagging_tag (group_id, name, colour, position) "
            "SELECT 1, 'tag ' || n, '', 1 FROM generate_series(1, 10000) AS n"
        )
    for path, most in (("/tagging?counted=1", 30), ("/tagging/tags?group=a", 50)):
        await admin.get(path)
        query_counter.reset()
        page = await admin.get(path)
        assert query_counter.count <= 15
        assert len(re.findall(r"/tagging/tags/\d+", page.text)) == most
    assert "All 10,000 tags" in (await admin.get("/tagging")).text
    assert len((await admin.get("/search/pick?kind=tag&q=")).json()["items"]) == 20


async def test_tags_of_many_groups_are_shown_with_theirs(tagging, admin, database):
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO tagging_group (key, name, colour, exclusive, kind, position) "
            "SELECT 'g' || n, '组' || n, 'teal', false, 'static', n FROM generate_series(1, 201) AS n"
        )
        await connection.execute(
            "INSERT INTO tagging_tag (group_id, name, colour, position) "
            "SELECT g, 'tag ' || g || ' ' || n, '', 1 FROM generate_series(1, 200) AS g, generate_series(1, 10) AS n"
        )
    tag = await tagging.tag("g201", "一")
    lin = await tagging.customer("lin")
    await tagging.assign([lin], add=[tag])
    for path in ("/tagging", "/tagging/tags?q=一", f"/customers/{lin}/panels/tagging.tags"):
        page = await admin.get(path)
        assert (page.status_code, "组201" in page.text, "一" in page.text) == (200, True, True), path
    shown = (await admin.get("/tagging")).text
    assert len(set(re.findall(r"/tagging/tags/\d+", shown))) == 1000  # a few of each, and the rest in a list
    assert shown.count("All 10 tags") == 200


async def test_what_was_tagged_by_mistake_is_found_and_taken_back(tagging, visit, frozen_now):
    await tagging.group("a")
    viewed_twice = {"type": "event", "event": "page.viewed", "measure": "count", "op": "gte", "value": 2}
    tag = await tagging.tag("a", "一", condition=viewed_twice)
    before, lin, wang, ruled = [await tagging.customer(name) for name in ("before", "lin", "wang", "ruled")]
    await tagging.assign([before], add=[tag])
    frozen_now.advance(days=2)
    await tagging.customer("ruled")
    await tagging.idle()
    admin = await visit("admin")
    page = html.unescape((await admin.get(f"/tagging/tags/{tag['id']}")).text)
    got, lost = re.findall(r'btn-sm" href="/customers\?condition=([^"]+)"', page)

    async def do(way, **selected):
        given = {**selected, "option_tag": "一"}
        asked = await admin.post(f"/customers/bulk/tagging.{way}", data=given)
        assert (await admin.post(f"/customers/bulk/tagging.{way}/start", data=given)).status_code == 200
        await tagging.idle()
        return asked.text

    await do("add", ids=[str(each) for each in (before, lin, wang)])
    assert await tagging.holders("一") == {before, lin, wang, ruled}
    assert "2 customers" in await do("remove", all="1", condition=unquote_plus(got))
    assert await tagging.holders("一") == {before, ruled}
    assert "2 customers" in await do("add", all="1", condition=unquote_plus(lost))
    assert await tagging.holders("一") == {before, lin, wang, ruled}


async def test_others_customers_are_neither_counted_nor_shown(tagging, visit, platform):
    await tagging.group("a")
    tag = await tagging.tag("a", "一")
    lin = await tagging.customer("lin")
    await tagging.assign([lin], add=[tag])
    names = ("customers.read", "tagging.read", "tagging.assign")
    role = own_roles.NewRole(name="ownonly", label="own", permissions=dict.fromkeys(names, "own"), rules={})
    await own_roles.create(platform.db, Actor.command("test"), role, platform.directory)
    someone = await visit("ownonly")
    assert re.search(r"text-end\">0<", (await someone.part("/tagging?counted=1")).text)
    assert re.search(r"zk-tile-value\">0<", (await someone.part(f"/tagging/tags/{tag['id']}?counted=1")).text)
    for path in (f"/tagging/customers/{lin}/history", "/tagging/assignments/1"):
        assert (await someone.get(path)).status_code == 404
    assert (await someone.post(f"/tagging/customers/{lin}/tags", data={"remove": "一"})).status_code == 404
    assert await tagging.names(lin) == {"一"}
