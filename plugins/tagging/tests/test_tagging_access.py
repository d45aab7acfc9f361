"""Who may manage tags that are everybody's, and what a rule tells those who do not see all that it asks about."""

from __future__ import annotations

import pytest

from zhike.access import own_roles
from zhike.access.actor import Actor
from zhike.errors import BadRequest

# Long enough that no random token of a page has the same digits.
SECRET = {"type": "field", "field": "customer.attributes.income", "op": "gte", "value": 52013145}
CALLED = {"type": "field", "field": "customer.phone", "op": "starts_with", "value": "13801380"}
VIEWED = {"type": "event", "event": "page.viewed", "measure": "count", "op": "gte", "value": 1}


@pytest.fixture
async def role(platform):
    async def make(name, permissions, **rules):
        new = own_roles.NewRole(name=name, label=name, permissions=permissions, rules=rules)
        await own_roles.create(platform.db, Actor.command("test"), new, platform.directory)
        return name

    return make


async def test_who_manages_their_own_customers_does_not_manage_tags(tagging, role, visit, make_token):
    await tagging.group("a")
    tag = await tagging.tag("a", "一")
    lin = await tagging.customer("lin")
    await tagging.assign([lin], add=[tag])
    read = dict.fromkeys(("customers.read", "tagging.read"), "all")
    for scope in ("own", "team"):
        with pytest.raises(BadRequest, match=r"tagging\.manage is granted for all customers"):
            await role(f"manages-{scope}", read | {"tagging.manage": scope})
    name = await role("reads", read)
    someone = await visit(name)
    for path in ("/tagging", f"/tagging/tags/{tag['id']}"):
        page = await someone.get(path)
        assert page.status_code == 200
        assert not any(each in page.text for each in ("/archive", "/edit", "/presets/", "/new"))
    assert (await someone.get(f"/tagging/tags/{tag['id']}/edit")).status_code == 403
    away = await someone.post(f"/tagging/tags/{tag['id']}/archive", data={"version": "1", "archived": "1"})
    assert away.status_code == 403
    tagging.client.headers["authorization"] = f"Bearer {await make_token(name)}"
    refused = await tagging.change(tag, 403, archived=True)
    assert "does not grant tagging.manage" in refused["detail"]
    await tagging.ask("PATCH", "/tagging/groups/a", 403, version=1, archived=True)
    await tagging.ask("POST", "/tagging/presets", 403, groups=[])
    assert await tagging.names(lin) == {"一"}
    everybody = await visit(await role("manages-all", read | {"tagging.manage": "all"}))
    assert (await everybody.get(f"/tagging/tags/{tag['id']}/edit")).status_code == 200


async def test_a_rule_is_told_as_far_as_the_reader_could_have_asked(tagging, role, visit, make_token):
    await tagging.group("a")
    tag = await tagging.tag("a", "贵客", condition={"type": "all", "of": [SECRET, CALLED, VIEWED]})
    plain = await tagging.tag("a", "来过", condition=VIEWED)
    lin = await tagging.customer("lin", traits={"income": 60000000, "phone": "13801380000"})
    await tagging.idle()
    assert await tagging.names(lin) == {"贵客", "来过"}
    [given] = [each for each in await tagging.tags(lin) if each["tag"] == "贵客"]
    seen = ("customers.read", "conditions.count", "tagging.read", "tagging.manage")
    name = await role("masked", dict.fromkeys(seen, "all"), **{"attributes.income": "hide", "phone": "mask"})
    someone, boss = await visit(name), await visit("admin")
    paths = [f"/tagging/tags/{tag['id']}", f"/tagging/assignments/{given['id']}", "/tagging", "/tagging/tags"]
    for path in paths[:2]:
        assert "52,013,145" in (await boss.get(path)).text
    for path in paths:
        page = (await someone.get(path)).text
        assert not any(each in page for each in ("income", "52013145", "52,013", "13801380")), path
    told = (await someone.get(paths[0])).text
    assert "something that you do not see" in told
    assert "Viewed a page: how often at least 1" in told
    assert "/edit" not in told
    assert "asks about something that you do not see" in (await someone.get(paths[1])).text
    assert (await someone.get(f"{paths[0]}/edit")).status_code == 403
    assert (await someone.get(f"/tagging/tags/{plain['id']}/edit")).status_code == 200

    tagging.client.headers["authorization"] = f"Bearer {await make_token(name)}"
    listed = {each["name"]: each["condition"] for each in (await tagging.ask("GET", "/tagging/tags"))["items"]}
    assert listed == {"贵客": {"type": "hidden"}, "来过": plain["condition"]}
    why = await tagging.ask("GET", f"/tagging/assignments/{given['id']}")
    assert (why["condition"], why["explained"]) == ({"type": "hidden"}, None)
    refused = await tagging.change(tag, 403, colour="red")
    assert "asks about what you do not see" in refused["detail"]
    await tagging.change(plain, 400, condition=SECRET)  # nor write one


async def test_why_a_rule_is_paused_is_kept_from_whom_the_rule_is(tagging, role, visit, make_token, platform):
    gone = {"type": "field", "field": "tasks.open", "op": "is_set"}
    await tagging.group("a")
    tag = await tagging.tag("a", "忙", condition={"type": "all", "of": [CALLED, gone]})
    known = platform.fields._known.pop("tasks.open")  # as if the plugin whose field it is had gone
    await tagging.tag("a", "别的")
    await tagging.customer("lin")
    await platform.db.pool.execute("UPDATE tagging_state SET generation = generation + 1")
    await tagging.idle()
    [problem] = [each["problem"] for each in (await tagging.ask("GET", "/tagging/tags"))["items"] if each["problem"]]
    assert "tasks.open" in problem
    viewer = await visit("viewer")  # who sees phones masked
    page = (await viewer.get(f"/tagging/tags/{tag['id']}")).text
    assert "The rule is paused" in page
    assert "13801380" not in page
    assert "Paused" in (await viewer.get("/tagging/tags")).text
    tagging.client.headers["authorization"] = f"Bearer {await make_token('viewer')}"
    paused = {each["name"]: each["problem"] for each in (await tagging.ask("GET", "/tagging/tags"))["items"]}
    assert paused == {"忙": "", "别的": None}
    platform.fields._known["tasks.open"] = known


async def test_the_assignment_of_an_unseen_customer_is_as_if_it_were_not_there(tagging, role, visit, make_token):
    await tagging.group("a")
    tag = await tagging.tag("a", "一")
    await tagging.assign([await tagging.customer("lin")], add=[tag])
    name = await role("own", dict.fromkeys(("customers.read", "tagging.read"), "own"))
    tagging.client.headers["authorization"] = f"Bearer {await make_token(name)}"
    theirs = await tagging.ask("GET", "/tagging/assignments/1", 404)
    nobodys = await tagging.ask("GET", "/tagging/assignments/2", 404)
    assert theirs["detail"].replace("1", "2") == nobodys["detail"]
