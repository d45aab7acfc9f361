"""The list of customers: what is found, what a reader may see of it, and what is done to many."""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from zhike.testing.databases import QueryCounter
    from zhike.testing.plugin import Record, RunUntilIdle
    from zhike.testing.visiting import Visits

VIEW = ("page", "address")
CITY = {"type": "field", "field": "customer.attributes.city", "op": "eq", "value": "上海"}


@pytest.fixture
async def people(record: Record) -> dict[str, int]:
    """Three customers, by name."""
    made = await record(
        {"name": "app.login", "identities": {"phone": "13800138000"}, "traits": {"name": "王芳", "city": "上海"}},
        {"name": "app.login", "identities": {"phone": "13900139000"}, "traits": {"name": "<script>x", "city": "北京"}},
        {"name": "app.login", "identities": {"external_id": "c3"}, "traits": {"name": "长" * 500, "city": "上海"}},
    )
    return dict(zip(("王芳", "script", "long"), (event.customer_id for event in made), strict=True))


def listed(text: str) -> set[int]:
    return {int(number) for number in re.findall(r'<a href="/customers/(\d+)">', text)}


async def test_customers_are_listed_found_and_filtered(visit: Visits, people: dict[str, int]) -> None:
    admin = await visit("admin")
    everybody = await admin.get("/customers")
    assert listed(everybody.text) == set(people.values())
    assert "&lt;script&gt;x" in everybody.text
    assert "<script>x" not in everybody.text
    for query in ("wf", "王芳", "8000", "13800138000", "+86 138 0013 8000"):
        found = await admin.get("/customers", params={"q": query})
        assert listed(found.text) == {people["王芳"]}, query
    condition = await admin.get("/customers", params={"condition": json.dumps(CITY)})
    assert listed(condition.text) == {people["王芳"], people["long"]}
    both = await admin.get("/customers", params={"condition": json.dumps(CITY), "q": "13900139000"})
    assert listed(both.text) == set()
    ordered = await admin.get("/customers?sort=name")
    assert re.findall(r'<a href="/customers/(\d+)">', ordered.text)[0] == str(people["script"])
    part = await admin.part("/customers?sort=-name")
    assert part.text.strip().startswith('<section class="card zk-table" id="customers"')
    ruled = await admin.get("/customers", params={"rule": json.dumps(CITY), "condition": "{", "kind": "person"})
    assert listed(ruled.text) == {people["王芳"], people["long"]}


async def test_a_reader_sees_masks_and_no_more_than_their_scope(visit: Visits, people: dict[str, int]) -> None:
    viewer = await visit("viewer")
    page = await viewer.get("/customers?columns=phone&columns=email")
    assert "8000" in page.text
    assert "138 0013 8000" not in page.text
    assert "13800138000" not in page.text
    assert "sort=phone" not in page.text
    assert "/customers/new" not in page.text
    assert "/customers/bulk/" not in page.text
    refused = await viewer.get("/customers?sort=phone")
    assert refused.status_code == 422
    assert "phone" in refused.text
    assert (await viewer.get("/customers/new")).status_code == 403
    ask = await viewer.post("/customers/bulk/customers.set_stage", data={"ids": [str(people["long"])]})
    assert ask.status_code == 403


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("condition={", 422),
        ("condition=[]", 422),
        ('condition={"type":"field","field":"customer.attributes.gone","op":"nonsense","value":1}', 422),
        ("owner=x", 400),
        ("cursor=elsewhere", 400),
        ("q=%00", 400),
        ("kind=dog", 400),
        ("sort=nothing", 422),
        ("utm_source=mail", 200),
        ("q=" + "x" * 201, 400),
    ],
)
async def test_a_bad_address_says_what_is_wrong(visit: Visits, query: str, status: int) -> None:
    admin = await visit("admin")
    assert (await admin.get(f"/customers?{query}")).status_code == status


async def test_the_list_takes_few_statements(
    visit: Visits, people: dict[str, int], query_counter: QueryCounter
) -> None:
    admin = await visit("admin")
    await admin.get("/customers")
    query_counter.reset()
    await admin.get("/customers?columns=phone&columns=attributes.city&stage=x")
    assert query_counter.count <= 15


async def test_a_customer_is_made_or_completed_and_nothing_typed_is_lost(visit: Visits, people: dict[str, int]) -> None:
    agent = await visit("agent")
    typed = {"kind": "company", "name": "晨光贸易", "phone": "12", "email": "a@example.com", "external_id": ""}
    wrong = await agent.post("/customers/new", data=typed)
    assert wrong.status_code == 422
    assert 'value="晨光贸易"' in wrong.text
    assert 'value="a@example.com"' in wrong.text
    nobody = await agent.post("/customers/new", data={"name": "晨光贸易"})
    assert "Give at least a phone" in nobody.text
    missing = await agent.post("/customers/new", data={"phone": "13800138111"})
    assert (missing.status_code, "This is needed" in missing.text) == (422, True)
    nobody_s = await agent.post("/customers/new", data={**typed, "phone": "13800138111", "owner": "9" * 30})
    assert (nobody_s.status_code, "At most" in nobody_s.text) == (422, True)
    chosen = await agent.post("/customers/new", data={"phone": "13800138111", "owner": str(agent.user_id)})
    assert f'<option value="{agent.user_id}" selected>agent1</option>' in chosen.text
    made = await agent.post("/customers/new", data={**typed, "phone": "13700137000"})
    assert made.status_code == 303
    assert re.fullmatch(r"/customers/\d+", made.headers["location"])
    known = await agent.post("/customers/new", data={"name": "王芳芳", "phone": "13800138000"})
    assert known.headers["location"] == f"/customers/{people['王芳']}"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("phone", "12", "**** 不是有效的电话号码，应为 13800138000、021-62345678 或 +16502530000 这样的格式"),
        ("phone", "138****8000", "这是未显示内容的占位，不是有效的值"),
        ("email", "fang", "应为邮箱地址，例如 name@example.com"),
        ("uscc", "123", "应为统一社会信用代码：18 位，且校验码正确"),
        ("external_id", "号" * 100, "应为 1 到 200 字节的文本，实际为 300 字节"),
        ("external_id", "9" * 201, "最多 200 个字符"),
        ("owner", "999", "没有启用的用户 999"),
        ("owner", "x", "应为整数"),
        ("kind", "x", "应为可选项之一"),
        ("name", "长" * 501, "最多 500 个字符"),
        ("company", "长" * 501, "最多 500 个字符"),
    ],
)
async def test_what_is_refused_of_a_new_customer_stands_beside_its_field(
    visit: Visits, field: str, value: str, said: str
) -> None:
    agent = await visit("agent")
    typed = {"kind": "person", "name": "王芳", "phone": "13800138111", field: value}
    wrong = await agent.post("/customers/new", data=typed, headers={"Accept-Language": "zh-CN"})
    assert wrong.status_code == 422
    assert re.findall(r'id="f-(\w+)-error">.*?<span>(.*?)</span>', wrong.text) == [(field, said)]
    assert "zk-c-red" not in wrong.text


async def test_many_are_changed_in_the_background(
    visit: Visits, people: dict[str, int], run_until_idle: RunUntilIdle
) -> None:
    admin = await visit("admin")
    chosen: dict[str, Any] = {"all": "1", "condition": json.dumps(CITY)}
    asked = await admin.post("/customers/bulk/customers.set_stage", data=chosen)
    assert asked.status_code == 200
    assert 'name="condition"' in asked.text
    assert "2 customers get this stage" in asked.text
    started = await admin.post("/customers/bulk/customers.set_stage/start", data={**chosen, "option_stage": "老客户"})
    assert started.status_code == 200
    assert re.search(r"/progress/\d+", started.text)
    await run_until_idle()
    page = await admin.get("/customers", params={"stage": "老客户"})
    assert listed(page.text) == {people["王芳"], people["long"]}
    nobody = await admin.post("/customers/bulk/customers.set_stage/start", data={"option_stage": "x"})
    assert nobody.status_code == 400


async def test_a_view_is_saved_and_removed(visit: Visits, people: dict[str, int]) -> None:
    admin = await visit("admin")
    asked = await admin.get("/views/new?page=customers&kind=person")
    assert "kind=person" in asked.text
    body = {"page": "customers", "address": "page=customers&kind=person&columns=phone", "name": "个人", "shared": "me"}
    saved = await admin.post("/views/new", data=body)
    assert (saved.status_code, saved.headers["location"]) == (303, "/customers?kind=person&columns=phone")
    again = await admin.post("/views/new", data=body)
    assert again.status_code == 409
    page = await admin.get("/customers")
    removal = re.search(r"/views/\d+/remove", (await admin.get(saved.headers["location"])).text)
    assert "个人" in page.text
    assert removal is not None
    assert (await admin.post(removal[0])).status_code == 303
    assert "个人</a>" not in (await admin.get("/customers")).text


async def test_the_button_of_a_narrowed_list_saves_what_it_shows(visit: Visits, people: dict[str, int]) -> None:
    admin = await visit("admin")
    page = await admin.get("/customers?kind=person&sort=name")
    [button] = re.findall(r'hx-get="(/views/new[^"]*)"', page.text)
    dialog = (await admin.part(html.unescape(button))).text
    hidden = {name: html.unescape(re.findall(rf'name="{name}" value="([^"]*)"', dialog)[0]) for name in VIEW}
    saved = await admin.post("/views/new", data={**hidden, "name": "个人", "shared": "me"})
    assert saved.headers["location"] == "/customers?sort=name&kind=person"


async def test_who_is_chosen_is_named_and_an_empty_list_says_why(visit: Visits, people: dict[str, int]) -> None:
    admin, viewer = await visit("admin"), await visit("viewer")
    page = (await admin.get(f"/customers?owner={admin.user_id}")).text
    assert f'<option value="{admin.user_id}" selected>admin1</option>' in page
    nobody = {"type": "field", "field": "customer.attributes.city", "op": "eq", "value": "nowhere"}
    empty = (await admin.get("/customers", params={"condition": json.dumps(nobody)})).text
    assert ("Nothing matches" in empty, "No customers yet" in empty) == (True, False)
    assert 'href="/customers/new">New customer' not in (await viewer.get("/customers?columns=name")).text


async def test_a_search_that_is_narrowed_leads_on_where_a_page_has_nobody(visit: Visits, record: Record) -> None:
    admin = await visit("admin")
    named = [{"name": "a.b", "identities": {"external_id": f"c{n}"}, "traits": {"name": "赵"}} for n in range(201)]
    first = (await record({**named[0], "traits": {"name": "赵", "city": "上海"}}))[0].customer_id
    await record(*named[1:])
    page = (await admin.get("/customers", params={"q": "赵", "condition": json.dumps(CITY)})).text
    assert listed(page) == set()
    [rest] = re.findall(r'href="([^"]*cursor=[^"]*)"', page)
    assert listed((await admin.get(html.unescape(rest))).text) == {first}


async def test_the_builder_is_told_what_there_is_and_how_many_match(visit: Visits, people: dict[str, int]) -> None:
    admin = await visit("admin", language="zh")
    known = (await admin.get("/conditions/catalogue")).json()
    assert {"customer.stage", "customer.attributes.city"} <= {field["field"] for field in known["fields"]}
    assert {"name": "app.login", "label": "登录", "properties": []} in known["events"]
    counted = await admin.post("/conditions/count", data={"field": "rule", "rule": json.dumps(CITY)})
    assert "2" in counted.text
    wrong = await admin.post("/conditions/count", data={"field": "rule", "rule": "{"})
    assert wrong.status_code == 200
    assert "text-warning" in wrong.text
