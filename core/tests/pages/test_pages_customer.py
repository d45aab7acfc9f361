"""The page of one customer: who they are, what they did, who said so, and what one may do with them."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

import pytest

from zhike.access.actor import Actor
from zhike.customers import defining
from zhike.customers.field import Choice
from zhike.customers.field_schemas import NewField

if TYPE_CHECKING:
    from zhike.access.roles import Rule, Scope
    from zhike.platform import Platform
    from zhike.testing.plugin import Record, RunUntilIdle
    from zhike.testing.visiting import Visitor, Visits

ALL: Scope = "all"
MASKS: dict[str, Rule] = {"phone": "mask", "email": "hide", "attributes.city": "mask"}
OWN: Scope = "own"
FACTS = {
    "name": "order.paid",
    "message_id": "o1",
    "occurred_at": "2026-05-01T10:00:00+08:00",
    "amount": 120,
    "currency": "CNY",
    "source": "shop",
    "identities": {"phone": "13800138000"},
    "traits": {"name": "王芳", "city": "上海", "email": "fang@example.com"},
    "properties": {"product": "竹纤维毛巾"},
}


@pytest.fixture
async def fang(record: Record) -> int:
    """A customer with an order, and one more with what breaks pages."""
    views = [
        {"name": "page.viewed", "occurred_at": f"2026-05-0{day}T09:00:00+08:00", "properties": {"page": f"第 {day} 页"}}
        for day in (2, 3)
    ]
    known = {"identities": {"phone": "13800138000"}, "source": "app"}
    service = {
        "name": "service.contacted",
        "occurred_at": "2026-05-04T09:00:00+08:00",
        "properties": {"topic": "退换货"},
    }
    campaign = {
        "name": "campaign.clicked",
        "occurred_at": "2026-05-05T09:00:00+08:00",
        "properties": {"campaign": "夏促"},
    }
    made = await record(FACTS, *({**each, **known} for each in (*views, service, campaign)))
    return made[0].customer_id


async def define(platform: Platform, **what: Any) -> None:
    await defining.create(platform, Actor.command("test"), NewField(**what))


def typed(page: str) -> dict[str, Any]:
    """Return what a form on a page would send."""
    form: dict[str, Any] = {}
    for tag in re.findall(r"<input [^>]*>", page):
        found = {name: html.unescape(value) for name, value in re.findall(r'(\w+)="([^"]*)"', tag)}
        if found.get("type") == "checkbox":
            if " checked" in tag:
                form.setdefault(found["name"], []).append(found["value"])
        elif "name" in found:
            form[found["name"]] = found.get("value", "")
    for name, body in re.findall(r'<select [^>]*name="([^"]*)"[^>]*>(.*?)</select>', page, re.DOTALL):
        chosen = re.search(r'value="([^"]*)" selected', body)
        form[name] = html.unescape(chosen[1]) if chosen else ""
    for name, body in re.findall(r'<textarea [^>]*name="([^"]*)"[^>]*>\n?(.*?)</textarea>', page, re.DOTALL):
        form[name] = html.unescape(body)
    return form


async def edited(visitor: Visitor, customer: int, **changes: str | list[str]) -> Any:
    """Return the answer to a form that was opened, changed and sent."""
    form = typed((await visitor.part(f"/customers/{customer}/edit")).text)
    return await visitor.post(f"/customers/{customer}/edit", data={**form, **changes})


async def test_it_says_where_each_value_comes_from(visit: Visits, fang: int) -> None:
    admin = await visit("admin")
    page = (await admin.get(f"/customers/{fang}")).text
    assert "Says shop, 2026-05-01 10:00" in page
    await edited(admin, fang, **{"attributes.city": "成都"})
    assert "Says our staff, " in (await admin.get(f"/customers/{fang}")).text


async def test_the_timeline_is_filtered_searched_and_paged_both_ways(visit: Visits, record: Record, fang: int) -> None:
    admin = await visit("admin")
    path = f"/customers/{fang}/timeline"
    for query, there, gone in (
        ("q=%E6%AF%9B%E5%B7%BE", "竹纤维毛巾", "退换货"),
        ("name=service.contacted", "退换货", "竹纤维毛巾"),
        ("kind=platform", "customer.created", "竹纤维毛巾"),
        ("source=shop", "竹纤维毛巾", "退换货"),
        ("at_from=2026-05-04&at_to=2026-05-04", "退换货", "夏促"),
    ):
        found = (await admin.part(f"{path}?{query}")).text
        assert there in found, query
        assert gone not in found, query
    assert "Nothing matches" in (await admin.part(f"{path}?source=nowhere")).text
    many = [
        {"name": "app.login", "occurred_at": f"2026-06-01T09:{minute:02}:00+08:00", "identities": FACTS["identities"]}
        for minute in range(40)
    ]
    await record(*many)
    first = (await admin.part(path)).text
    older = html.unescape(re.findall(r'hx-get="([^"]*cursor[^"]*)"', first)[0])
    assert "竹纤维毛巾" not in first
    second = (await admin.part(older)).text
    assert "竹纤维毛巾" in second
    assert "<form" not in second
    whole = (await admin.get(older.replace("&more=1", ""))).text
    newer = html.unescape(re.findall(r'<a class="btn btn-sm" href="([^"]*cursor[^"]*)"', whole)[0])
    assert (await admin.part(newer)).text.count("Logged in</span>") == 29


async def test_it_hints_at_new_events(visit: Visits, record: Record, fang: int) -> None:
    admin = await visit("admin")
    timeline = (await admin.part(f"/customers/{fang}/timeline")).text
    again = html.unescape(re.findall(r'hx-get="([^"]*timeline/new[^"]*)"', timeline)[0])
    assert "Something new" not in (await admin.part(again)).text
    await record({"name": "app.login", "identities": FACTS["identities"]})
    assert "Something new" in (await admin.part(again)).text


async def test_fields_of_all_types_are_edited_with_errors_beside_them(
    visit: Visits, platform: Platform, fang: int
) -> None:
    choices = (Choice(key="a", label="甲"), Choice(key="b", label="乙"))
    for key, kind, more in (
        ("note", "text", {"help": "Who calls?"}),
        ("points", "number", {"group": "member"}),
        ("spent", "money", {"currency": "CNY"}),
        ("birthday", "date", {}),
        ("level", "choice", {"choices": choices}),
        ("likes", "multi_choice", {"choices": choices}),
        ("vip", "boolean", {}),
        ("site", "link", {}),
    ):
        await define(platform, key=key, label=f"L {key}", type=kind, **more)
    admin = await visit("admin")
    page = (await admin.get(f"/customers/{fang}/edit")).text
    for shown in ("L likes", "Who calls?", "In CNY", 'type="date"', "甲", ">member<"):
        assert shown in page, shown
    good: dict[str, str | list[str]] = {
        "note": "早上打",
        "points": "12.5",
        "spent": "99.90",
        "birthday": "1990-02-03",
        "level": "b",
        "vip": "true",
        "site": "https://example.com/x",
        "likes": ["a", "b"],
    }
    saved = await edited(admin, fang, **{f"attributes.{key}": value for key, value in good.items()})
    assert saved.status_code == 303
    shown = (await admin.get(f"/customers/{fang}")).text
    for value in ("早上打", "12.5", "CN¥99.90", ">3 Feb 1990<", "乙", "甲, 乙", "Yes", 'href="https://example.com/x"'):
        assert value in shown, value
    assert ">3 Feb 1990<" in (await admin.get("/customers?columns=attributes.birthday")).text
    bad = {"points": "viele", "spent": "1.234", "birthday": "gestern", "site": "javascript:alert(1)", "note": "abends"}
    wrong = await edited(admin, fang, **{f"attributes.{key}": value for key, value in bad.items()})
    assert wrong.status_code == 422
    assert wrong.text.count('aria-invalid="true"') == 4
    said = dict(re.findall(r'id="f-attributes\.(\w+)-error">.*?<span>(.*?)</span>', wrong.text))
    assert {key: html.unescape(each) for key, each in said.items()} == {
        "points": "expected a number such as 12.5, got 'viele'",
        "spent": "expected an amount with no more digits than CNY has, got '1.234'",
        "birthday": "expected a date such as 2024-01-05, got 'gestern'",
        "site": "expected an address such as https://example.com, got 'javascript:alert(1)'",
    }
    for value in bad.values():
        assert value in wrong.text, value
    unchanged = (await admin.get(f"/customers/{fang}")).text
    assert "早上打" in unchanged
    emptied = await edited(admin, fang, **{"attributes.note": "", "attributes.vip": ""})
    assert emptied.status_code == 303
    assert "早上打" not in (await admin.get(f"/customers/{fang}")).text


async def test_two_who_edit_one_customer_lose_nothing(visit: Visits, fang: int) -> None:
    one, other = await visit("admin"), await visit("manager")
    form = typed((await one.part(f"/customers/{fang}/edit")).text)
    await edited(other, fang, **{"attributes.city": "成都", "company": "晨光贸易"})
    mine = {**form, "attributes.city": "西安", "name": "王芳芳"}
    clash = await one.post(f"/customers/{fang}/edit", data=mine)
    assert clash.status_code == 409
    for shown in ("西安", "成都", "王芳芳", "晨光贸易"):
        assert shown in clash.text, shown
    again = await one.post(f"/customers/{fang}/edit", data=typed(clash.text))
    assert again.status_code == 303
    page = (await one.get(f"/customers/{fang}")).text
    for shown in ("西安", "王芳芳", "晨光贸易"):
        assert shown in page, shown
    late = {**form, "attributes.city": "西安", "name": "王芳芳", "email": "new@example.com"}
    merged = await other.post(f"/customers/{fang}/edit", data=late)
    assert merged.status_code == 303
    page = (await one.get(f"/customers/{fang}")).text
    assert "晨光贸易" in page
    assert "new@example.com" in page


async def test_stage_owner_and_identities_are_changed_from_the_page(visit: Visits, fang: int, record: Record) -> None:
    agent = await visit("agent")
    path = f"/customers/{fang}"
    assert 'name="stage"' in (await agent.part(f"{path}/change/stage")).text
    assert (await agent.post(f"{path}/change/stage", data={"stage": "成交"})).status_code == 303
    assert (await agent.post(f"{path}/change/owner", data={"owner": str(agent.user_id)})).status_code == 303
    nobody = await agent.post(f"{path}/change/owner", data={"owner": "999"})
    assert (nobody.status_code, ">there is no active user 999<" in nobody.text) == (422, True)
    no_team = await agent.post(f"{path}/change/team", data={"team": "999"})
    assert (no_team.status_code, ">there is no team 999<" in no_team.text) == (422, True)
    assert (await agent.get(f"{path}/change/attributes.city")).status_code == 404
    page = (await agent.get(path)).text
    assert "成交" in page
    assert "agent1" in page
    assert "成交" in (await agent.get(f"{path}/history")).text
    added = await agent.post(f"{path}/identities/new", data={"namespace": "email", "value": "A@Example.com"})
    assert added.status_code == 303
    assert "a@example.com" in (await agent.get(path)).text
    wrong = await agent.post(f"{path}/identities/new", data={"namespace": "phone", "value": "12"})
    assert (wrong.status_code, 'value="12"' in wrong.text) == (422, True)
    assert ">**** is no phone number; expected" in wrong.text
    removed = await agent.post(f"{path}/identities/remove", data={"namespace": "email", "value": "a@example.com"})
    assert removed.status_code == 303
    assert "a@example.com" not in (await agent.get(path)).text
    last = await agent.post(f"{path}/identities/remove", data={"namespace": "phone", "value": "+8613800138000"})
    assert last.status_code == 409


async def test_relations_lead_both_ways(visit: Visits, fang: int, record: Record) -> None:
    agent = await visit("agent")
    [firm] = await record(
        {"name": "lead.created", "identities": {"external_id": "f1"}, "traits": {"kind": "company", "name": "晨光"}}
    )
    path, other = f"/customers/{fang}/relations", f"/customers/{firm.customer_id}/relations"
    assert "No relation is noted" in (await agent.get(path)).text
    assert 'data-url="/search/pick?kind=customer"' in (await agent.part(f"{path}/new")).text
    form = {"kind": "employee", "other": str(firm.customer_id), "title": "采购经理", "since": "2026-01-01"}
    assert (await agent.post(f"{path}/new", data=form)).status_code == 303
    here, there = (await agent.get(path)).text, (await agent.get(other)).text
    assert "Works for" in here
    assert f'href="/customers/{firm.customer_id}"' in here
    assert "Employs" in there
    assert "采购经理" in there
    twice = await agent.post(f"{path}/new", data=form)
    assert (twice.status_code, "采购经理" in twice.text) == (409, True)
    assert (await agent.post(f"{path}/new", data={**form, "until": "2025-01-01", "title": "x"})).status_code == 422
    assert (await agent.post(f"{path}/new", data={**form, "other": ""})).status_code == 422
    for wrong, said in (("999", "There is no customer with the id 999"), (str(fang), "expected another customer")):
        refused = await agent.post(f"{path}/new", data={**form, "other": wrong})
        assert re.findall(r'id="f-(\w+)-error">.*?<span>(.*?)</span>', refused.text) == [("other", said)]
    remove = re.findall(rf"{path}/\d+/remove", here)[0]
    assert (await agent.post(remove)).status_code == 303
    assert (await agent.post(remove)).status_code == 303
    assert "Works for" not in (await agent.get(path)).text


async def test_what_is_masked_stays_so_until_it_is_revealed_for_a_reason(visit: Visits, fang: int) -> None:
    viewer = await visit("viewer")
    for path in ("", "/timeline", "/relations", "/history", "/panels/pages.browsing"):
        page = (await viewer.get(f"/customers/{fang}{path}")).text
        for secret in ("13800138000", "138 0013 8000", "fang@example.com"):
            assert secret not in page, path
    page = (await viewer.get(f"/customers/{fang}")).text
    assert "138****8000" in page
    for action in ("tel:", "/edit", "/erase", "/export", "/reveal", "/change/", "/identities/", "/tasks/new", "/merge"):
        assert action not in page, action
    for path in ("edit", "erase", "export", "reveal?field=phone", "change/stage", "identities/new", "relations/new"):
        assert (await viewer.get(f"/customers/{fang}/{path}")).status_code == 403, path


async def test_a_reveal_is_audited(visit: Visits, platform: Platform, fang: int) -> None:
    from zhike.access import own_roles

    granted = dict.fromkeys(("customers.read", "customers.reveal", "events.read", "customers.write"), ALL)
    role = own_roles.NewRole(name="desk", label="desk", permissions=granted, rules=MASKS)
    await own_roles.create(platform.db, Actor.command("test"), role, platform.directory)
    desk, admin = await visit("desk"), await visit("admin")
    page = (await desk.get(f"/customers/{fang}")).text
    assert "138****8000" in page
    assert "fang@example.com" not in page
    assert "/reveal?field=phone" in page
    assert "Reason" in (await desk.part(f"/customers/{fang}/reveal?field=phone")).text
    silent = await desk.post(f"/customers/{fang}/reveal", data={"field": "phone", "reason": " "})
    assert silent.status_code == 422
    hidden = await desk.post(f"/customers/{fang}/reveal", data={"field": "email", "reason": "because"})
    assert hidden.status_code == 403
    shown = await desk.post(
        f"/customers/{fang}/reveal", data={"field": "phone", "reason": "回电"}, headers={"hx-request-type": "partial"}
    )
    assert 'href="tel:+8613800138000"' in shown.text
    whole = await desk.post(f"/customers/{fang}/reveal", data={"field": "attributes.city", "reason": "回电"})
    assert ">上海<" in whole.text
    again = (await desk.get(f"/customers/{fang}")).text
    assert "138 0013 8000" not in again
    assert "上海" not in again
    trail = (await admin.get(f"/customers/{fang}/history")).text
    assert "Saw masked fields" in trail
    assert "回电" in trail
    assert "上海" not in (await desk.get(f"/customers/{fang}/edit")).text
    kept = await edited(desk, fang, name="王小芳")
    assert kept.status_code == 303
    page = (await admin.get(f"/customers/{fang}")).text
    for shown_ in ("138 0013 8000", "上海", "王小芳"):
        assert shown_ in page, "what is masked is not emptied by who edits the rest"


async def test_a_masked_number_is_revealed_as_it_is_written(
    visit: Visits, platform: Platform, record: Record, fang: int
) -> None:
    from zhike.access import own_roles

    await define(platform, key="points", type="number")
    await record({"name": "a.b", "identities": {"phone": "13800138000"}, "traits": {"points": 1234}})
    granted = dict.fromkeys(("customers.read", "customers.reveal"), ALL)
    role = own_roles.NewRole(name="desk", label="desk", permissions=granted, rules={"attributes.points": "mask"})
    await own_roles.create(platform.db, Actor.command("test"), role, platform.directory)
    desk = await visit("desk")
    assert "1,234" not in (await desk.get(f"/customers/{fang}")).text
    shown = await desk.post(f"/customers/{fang}/reveal", data={"field": "attributes.points", "reason": "回电"})
    assert (shown.status_code, ">1,234<" in shown.text) == (200, True)


async def test_those_out_of_scope_are_not_there(visit: Visits, platform: Platform, fang: int) -> None:
    from zhike.access import own_roles

    names = (
        "customers.read",
        "customers.write",
        "customers.erase",
        "customers.export",
        "customers.reveal",
        "events.read",
    )
    role = own_roles.NewRole(name="ownonly", label="own", permissions=dict.fromkeys(names, OWN), rules={})
    await own_roles.create(platform.db, Actor.command("test"), role, platform.directory)
    someone, admin = await visit("ownonly"), await visit("admin")
    paths = (
        "",
        "/timeline",
        "/timeline/new",
        "/edit",
        "/relations",
        "/history",
        "/panels/good0.card",
        "/export",
        "/erase",
        "/reveal?field=phone",
        "/change/stage",
        "/identities/new",
        "/relations/new",
    )
    for path in paths:
        assert (await someone.get(f"/customers/{fang}{path}")).status_code == 404, path
    for path in ("/edit", "/change/stage", "/identities/new", "/identities/remove", "/relations/1/remove", "/erase"):
        sent = await someone.post(
            f"/customers/{fang}{path}", data={"name": "王芳", "namespace": "email", "value": "a@b.cn"}
        )
        assert sent.status_code == 404, path
    await admin.post(f"/customers/{fang}/change/owner", data={"owner": str(someone.user_id)})
    assert (await someone.get(f"/customers/{fang}")).status_code == 200


async def test_it_is_erased_after_the_name_was_typed(visit: Visits, fang: int, run_until_idle: RunUntilIdle) -> None:
    admin, manager = await visit("admin"), await visit("manager")
    assert "/erase" not in (await manager.get(f"/customers/{fang}")).text
    asked = (await admin.part(f"/customers/{fang}/erase")).text
    assert "What stays" in asked
    wrong = await admin.post(f"/customers/{fang}/erase", data={"name": "王方", "reason": "letter 7"})
    assert (wrong.status_code, 'value="letter 7"' in wrong.text) == (422, True)
    done = await admin.post(f"/customers/{fang}/erase", data={"name": " 王芳 ", "reason": "letter 7"})
    assert done.status_code == 303
    assert (await admin.get(f"/customers/{fang}")).status_code == 404
    assert "letter 7" in (await admin.get(done.headers["location"])).text
    await run_until_idle()
    assert "Nothing is left" in (await admin.part(done.headers["location"])).text


async def test_a_copy_is_handed_out_and_audited(visit: Visits, fang: int) -> None:
    manager, admin = await visit("manager"), await visit("admin")
    copy = await manager.get(f"/customers/{fang}/export")
    assert copy.json()["customer"]["name"] == "王芳"
    assert f"customer-{fang}.json" in copy.headers["content-disposition"]
    assert "Exported what is stored" in (await admin.get(f"/customers/{fang}/history")).text
    assert "Exported what is stored" not in (await manager.get(f"/customers/{fang}/history")).text


async def test_who_was_merged_away_leads_to_the_winner(visit: Visits, fang: int, record: Record) -> None:
    admin = await visit("admin")
    [visitor] = await record({"name": "app.login", "identities": {"device_id": "d1"}})
    await record({"name": "app.login", "identities": {"device_id": "d1", "phone": "13800138000"}})
    there = await admin.get(f"/customers/{visitor.customer_id}")
    assert (there.status_code, there.headers["location"]) == (303, f"/customers/{fang}")
    assert (await admin.get("/customers/999999")).status_code == 404
    assert (await admin.get("/customers/x")).status_code == 404


async def test_any_name_can_be_shown(visit: Visits, record: Record) -> None:
    names = ("<script>alert(1)</script>", "长" * 500, '"><img src=x>', "{{ 7*7 }} {n}")
    made = await record(
        *(
            {
                "name": "app.login",
                "identities": {"external_id": f"<i>{number}"},
                "traits": {"name": name, "city": name, "note": name},
                "properties": {"title": name},
                "source": "<u>",
            }
            for number, name in enumerate(names)
        )
    )
    admin = await visit("admin")
    for name, event in zip(names, made, strict=True):
        for path in ("", "/timeline", "/edit", "/relations", "/history"):
            page = await admin.get(f"/customers/{event.customer_id}{path}")
            assert page.status_code == 200, path
            for raw in ("<script>alert", "<img src=x", "<i>", "<u>"):
                assert raw not in page.text, (path, raw)
            assert html.escape(name, quote=False)[:300] in page.text.replace("&#34;", '"'), path
    path = f"/customers/{made[1].customer_id}/erase"
    assert f"<b>{made[1].customer_id}</b>" in (await admin.part(path)).text, "nobody types 500 characters"
    assert (await admin.post(path, data={"name": "长"})).status_code == 422
    assert (await admin.post(path, data={"name": str(made[1].customer_id)})).status_code == 303


async def test_a_bad_address_of_the_timeline_says_what_is_wrong(visit: Visits, fang: int) -> None:
    admin = await visit("admin")
    for query in ("cursor=elsewhere", "at_from=gestern", "kind=dog", "q=%00", "at_from=0001-01-01", "seen=x"):
        assert (await admin.get(f"/customers/{fang}/timeline?{query}")).status_code == 400, query
