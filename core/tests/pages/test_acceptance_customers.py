"""R034 to R038 and R041: one file of each customer, with all there is, for everybody and for very many.

R039 is in test_pages_model.py, R040 in test_pages_lookup.py.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from zhike.access.actor import Actor
from zhike.customers import defining
from zhike.customers.field import Choice
from zhike.customers.field_schemas import NewField

if TYPE_CHECKING:
    import httpx

    from zhike.platform import Platform
    from zhike.testing.databases import QueryCounter
    from zhike.testing.plugin import Record
    from zhike.testing.visiting import Visits

API = "/api/v1"
PHONE = {"phone": "13800138000"}
KINDS = {
    "page.viewed": {"page": "竹纤维毛巾详情"},
    "app.login": {"client": "小程序"},
    "cart.added": {"product": "乳胶枕"},
    "order.paid": {"order_no": "A1001"},
    "order.refunded": {"reason": "尺寸不合适"},
    "service.contacted": {"topic": "退换货"},
    "ticket.closed": {"ticket": "T-77"},
    "call.made": {"by": "苏静"},
    "message.sent": {"text": "生日祝福"},
    "campaign.clicked": {"campaign": "夏促"},
}
"""What happens between a company and a customer, and a word of each by which it is known again."""
MANY, AT_ONCE = 12_000, 1_000


@pytest.fixture
async def fang(platform: Platform, record: Record) -> int:
    """A customer with something of each kind, a day apart."""
    likes = NewField(
        key="likes", label="偏好", type="multi_choice", choices=(Choice("bath", "卫浴"), Choice("bed", "床品"))
    )
    await defining.create(platform, Actor.command("test"), likes)
    who = {"name": "王芳", "city": "上海", "email": "fang@example.com", "likes": ["bath"]}
    events: list[dict[str, Any]] = [
        {"name": name, "occurred_at": f"2026-05-{day:02}T09:00:00+08:00", "identities": PHONE, "properties": said}
        for day, (name, said) in enumerate(KINDS.items(), start=1)
    ]
    events[0]["traits"] = who
    events[3] |= {"amount": "129.00", "currency": "CNY"}
    made = await record(*events)
    return made[0].customer_id


async def test_r034_whatever_comes_from_wherever_is_in_one_file_at_once(
    visit: Visits, client: httpx.AsyncClient
) -> None:
    said = [
        {"name": "page.viewed", "source": "官网", "identities": {"anonymous_id": "v1"}, "properties": {"page": "浴巾"}},
        {"name": "order.paid", "source": "天猫", "identities": PHONE, "amount": "99.00", "traits": {"name": "王芳"}},
        {"name": "ticket.new", "source": "企微", "identities": {"wecom_unionid": "w1"}, "properties": {"on": "发票"}},
    ]  # fmt: skip
    for each in said:
        answer = await client.post(f"{API}/events", json={"events": [each]})
        assert answer.status_code < 300, answer.text
    admin = await visit("admin")
    assert len((await client.get(f"{API}/customers")).json()["items"]) == 3
    # They log in: now it is known that the three are one. Two who are known by name are joined by somebody's decision.
    login = {"name": "app.login", "identities": {"anonymous_id": "v1", "wecom_unionid": "w1", **PHONE}}
    await client.post(f"{API}/events", json={"events": [login]})
    [pair] = (await client.get(f"{API}/customers/duplicates")).json()["items"]
    merged = await client.post(f"{API}/customers/duplicates/{pair['id']}/decide", json={"decision": "merge"})
    assert merged.status_code == 200, merged.text
    [one] = (await client.get(f"{API}/customers")).json()["items"]
    timeline = (await admin.part(f"/customers/{one['id']}/timeline")).text
    for word in ("浴巾", "天猫", "发票"):
        assert word in timeline, word
    assert "王芳" in (await admin.get("/customers")).text
    later = {"name": "page.viewed", "identities": {"anonymous_id": "v1"}, "traits": {"city": "杭州"}}
    await client.post(f"{API}/events", json={"events": [later]})
    assert "杭州" in (await admin.get(f"/customers/{one['id']}")).text


async def test_r035_data_transactions_service_communication_and_preferences(visit: Visits, fang: int) -> None:
    agent = await visit("agent")
    page = (await agent.get(f"/customers/{fang}")).text
    for basic in ("王芳", "上海", "fang@example.com", "138 0013 8000", "CN¥129.00", "偏好", "卫浴"):
        assert basic in page, basic
    timeline = (await agent.part(f"/customers/{fang}/timeline")).text
    for word in ("A1001", "CN¥129.00", "退换货", "T-77", "苏静", "生日祝福"):
        assert word in timeline, word


async def test_r036_purchases_service_campaigns_and_browsing_each_by_itself(visit: Visits, fang: int) -> None:
    agent = await visit("agent")
    words = {name: next(iter(said.values())) for name, said in KINDS.items()}
    for name in ("order.paid", "service.contacted", "ticket.closed", "campaign.clicked", "page.viewed", "app.login"):
        only = (await agent.part(f"/customers/{fang}/timeline?name={name}")).text
        listed = re.sub(r"<form.*?</form>", "", only, flags=re.DOTALL)
        assert [each for each, word in words.items() if word in listed] == [name]
    browsing = (await agent.part(f"/customers/{fang}/panels/pages.browsing")).text
    assert "竹纤维毛巾详情" in browsing
    assert "退换货" not in browsing


@pytest.mark.parametrize(
    "condition",
    [
        {"type": "event", "event": "page.viewed", "measure": "count", "op": "gte", "value": 1},
        {"type": "event", "event": "order.paid", "measure": "sum", "of": "amount", "op": "gte", "value": 129},
        {"type": "event", "event": "service.contacted", "measure": "count", "op": "eq", "value": 1},
        {"type": "field", "field": "customer.attributes.likes", "op": "contains", "value": "bath"},
    ],
    ids=["behaviour", "transaction", "interaction", "preference"],
)
async def test_r037_customers_are_found_by_each_kind_of_data(
    visit: Visits, record: Record, fang: int, condition: dict[str, Any]
) -> None:
    await record({"name": "app.login", "identities": {"phone": "13900139000"}, "traits": {"name": "李静"}})
    manager = await visit("manager")
    found = (await manager.get("/customers", params={"condition": json.dumps(condition)})).text
    assert ("王芳" in found, "李静" in found) == (True, False)


async def test_r038_everybody_sees_the_same_newest_data_and_finds_what_they_need(
    visit: Visits, record: Record, fang: int, query_counter: QueryCounter
) -> None:
    manager, agent, viewer = await visit("manager"), await visit("agent"), await visit("viewer")
    changed = await agent.patch(f"{API}/customers/{fang}", json={"attributes": {"city": "成都"}})
    assert changed.status_code == 200, changed.text
    for colleague in (manager, agent, viewer):
        assert "成都" in (await colleague.get(f"/customers/{fang}")).text
        assert "city 上海 → 成都" in (await colleague.part(f"/customers/{fang}/timeline")).text
    # Service: from a number to the whole history.
    for path in (f"/customers/lookup?phone={PHONE['phone']}", f"/customers/{fang}", f"/customers/{fang}/timeline"):
        query_counter.reset()
        assert "王芳" in (await agent.get(path)).text
        assert 0 < query_counter.count <= 15
    # Marketing: who has put something into the cart and not bought.
    await record({"name": "cart.added", "identities": {"phone": "13900139000"}, "traits": {"name": "李静"}})
    never = {"type": "event", "event": "order.paid", "measure": "count", "op": "eq", "value": 0}
    wanted = {"type": "all", "of": [{**never, "event": "cart.added", "op": "gte", "value": 1}, never]}
    aimed = (await manager.get("/customers", params={"condition": json.dumps(wanted)})).text
    assert ("李静" in aimed, "王芳" in aimed) == (True, False)
    # Sales: what they looked at before they bought anything.
    [event] = await record(
        {"name": "product.viewed", "identities": {"phone": "13900139000"}, "properties": {"title": "四件套"}}
    )
    assert "四件套" in (await agent.part(f"/customers/{event.customer_id}/panels/pages.browsing")).text


async def test_r041_very_many_customers_each_with_needs_of_their_own(
    platform: Platform, visit: Visits, client: httpx.AsyncClient, query_counter: QueryCounter
) -> None:
    await defining.create(platform, Actor.command("test"), NewField(key="need", label="需求"))
    for start in range(0, MANY, AT_ONCE):
        events = [
            {
                "name": "app.login",
                "identities": {"phone": f"1380{number:07}"},
                "traits": {"name": f"客户{number}", "need": f"need {number}"},
            }
            for number in range(start, start + AT_ONCE)
        ]
        assert (await client.post(f"{API}/events", json={"events": events})).status_code < 300
    admin = await visit("admin")
    last = MANY - 1
    need = {"type": "field", "field": "customer.attributes.need", "op": "eq", "value": f"need {last}"}
    counted = await client.post(f"{API}/conditions/count", json={"condition": {"type": "not", "of": need}})
    assert counted.json()["count"] == last
    for query in ({"condition": json.dumps(need)}, {"q": f"1380{last:07}"}, {"q": f"客户{last}"}):
        query_counter.reset()
        page = (await admin.get("/customers", params=query)).text
        assert 0 < query_counter.count <= 15
        assert (f">客户{last}<" in page, ">客户7<" in page) == (True, False), query
    first = (await admin.get("/customers")).text
    assert f">客户{last}<" in first
    assert re.search(r'href="[^"]*cursor=', first)
