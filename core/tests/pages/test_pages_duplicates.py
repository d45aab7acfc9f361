"""Duplicates and merges as pages: what is proposed to whom, deciding, merging field by field, and undoing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from zhike.customers.duplicates import detect
from zhike.work import begin

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from zhike.platform import Platform
    from zhike.testing.databases import QueryCounter
    from zhike.testing.plugin import RunUntilIdle
    from zhike.testing.visiting import Visits

PART = {"hx-request-type": "partial"}
FANG = ({"name": "王芳", "phone": "13800138000"}, {"name": "王芳", "phone": "13800138001", "company": "<b>晨光"})
LEI = ({"name": "李<script>雷", "phone": "13900139000"}, {"name": "李<script>雷", "phone": "13900139001"})


@pytest.fixture
async def people(client: Any, platform: Platform, run_until_idle: RunUntilIdle) -> list[int]:
    """Two pairs who may be one, compared already."""
    made = []
    for number, fields in enumerate((*FANG, *LEI)):
        answer = await client.post("/api/v1/customers", json={**fields, "identities": {"external_id": f"e{number}"}})
        made.append(int(answer.json()["id"]))
    async with begin(platform, origin="test") as work:
        work.enqueue(detect.JOB, detect.Detection(), key="test")
    await run_until_idle()
    return made


@pytest.fixture
def role(client: Any) -> Callable[..., Awaitable[None]]:
    """Makes a role that merges."""

    async def make(name: str, scope: str = "all", **rules: str) -> None:
        permissions = {"customers.read": scope, "customers.merge": scope}
        body = {"name": name, "label": name, "permissions": permissions, "rules": rules}
        answer = await client.post("/api/v1/roles", json=body)
        assert answer.status_code in {200, 201}, answer.text

    return make


def pairs(text: str) -> list[str]:
    return re.findall(r'action="(/duplicates/pairs/\d+)"', text)


async def test_pairs_stand_side_by_side_with_reasons(
    visit: Visits, people: list[int], query_counter: QueryCounter
) -> None:
    manager = await visit("manager")
    query_counter.reset()
    page = await manager.get("/duplicates")
    assert query_counter.count <= 15, query_counter.statements
    assert len(pairs(page.text)) == 2
    assert "Same name, phone numbers that differ by a slip" in page.text
    assert "138 0013 8001" in page.text
    assert "<script>雷" not in page.text
    assert "<b>晨光" not in page.text
    assert len(pairs((await manager.get(f"/duplicates?customer={people[0]}")).text)) == 1
    assert pairs((await manager.get("/duplicates?rule=name_email")).text) == []
    part = await manager.part("/duplicates")
    assert part.text.strip().startswith('<div id="duplicates"')


async def test_a_bad_address_is_refused(visit: Visits) -> None:
    manager = await visit("manager")
    for query in ("state=none", "score=x", "score=120", "cursor=elsewhere", "customer=0"):
        assert (await manager.get(f"/duplicates?{query}")).status_code == 400, query


async def test_who_may_not_merge_is_shown_and_allowed_nothing(
    visit: Visits, people: list[int], role: Callable[..., Awaitable[None]]
) -> None:
    agent = await visit("agent")
    assert 'href="/duplicates"' not in (await agent.get("/customers")).text
    for path in ("/duplicates", "/duplicates/merges", "/duplicates/accept", f"/customers/{people[0]}/merge"):
        assert (await agent.get(path)).status_code == 403, path
    body = {"winner": str(people[0]), "with": [str(people[1])]}
    assert (await agent.post(f"/customers/{people[0]}/merge", data=body)).status_code == 403
    await role("blind", phone="mask")
    blind = await visit("blind")
    seen = await blind.get("/duplicates?score=0")
    assert pairs(seen.text) == []  # the phone numbers were compared
    pair = pairs((await (await visit("manager")).get("/duplicates")).text)[0]
    refused = await blind.post(pair, data={"decision": "merge"}, headers=PART)
    assert "Somebody else has decided" in refused.text
    await role("narrow", scope="own")
    narrow = await visit("narrow")
    assert pairs((await narrow.get("/duplicates")).text) == []
    assert "Compare all again" not in (await narrow.get("/duplicates")).text
    assert (await narrow.post("/duplicates/scan")).status_code == 403
    assert (await narrow.get(f"/customers/{people[0]}/merge")).status_code == 404


async def test_a_pair_is_decided_on_and_that_is_undone(visit: Visits, people: list[int]) -> None:
    manager = await visit("manager")
    first, second = pairs((await manager.get("/duplicates")).text)
    later = await manager.post(first, data={"decision": "later"}, headers=PART)
    assert later.status_code == 200
    assert "data-decided" in later.text
    assert pairs((await manager.get("/duplicates?state=later")).text) == [first]
    await manager.post(first, data={"decision": "open"}, headers=PART)
    await manager.post(first, data={"decision": "distinct"}, headers=PART)
    assert pairs((await manager.get("/duplicates")).text) == [second]
    merged = await manager.post(second, data={"decision": "merge"}, headers=PART)
    undo = re.search(r'action="(/merges/\d+/undo)"', merged.text)
    assert undo is not None
    again = await manager.post(second, data={"decision": "merge"}, headers=PART)
    assert "Somebody else has decided" in again.text
    listed = await manager.get("/duplicates/merges")
    assert undo[1] in listed.text
    assert (await manager.post(undo[1])).status_code == 303
    twice = await manager.post(undo[1])
    assert (twice.status_code, twice.headers["location"]) == (303, "/duplicates/merges")
    assert "undone" in (await manager.get("/duplicates/merges")).text
    assert (await manager.post(first, data={"decision": "nonsense"})).status_code == 400


async def test_the_surest_are_merged_at_once_after_they_were_counted(visit: Visits, people: list[int]) -> None:
    manager = await visit("manager")
    asked = await manager.get("/duplicates/accept?score=80")
    assert "2 pairs have at least this score." in asked.text
    assert (await manager.post("/duplicates/accept", data={"score": "80"})).status_code == 200
    assert len(pairs((await manager.get("/duplicates")).text)) == 2  # nothing happens before the number was seen
    fewer = await manager.post("/duplicates/accept", data={"score": "80", "expected": "1"})
    assert fewer.status_code == 409
    assert "2 pairs have at least this score." in fewer.text
    done = await manager.post("/duplicates/accept", data={"score": "80", "expected": "2"})
    assert "2 pairs are merged." in done.text
    assert pairs((await manager.get("/duplicates")).text) == []
    assert (await manager.post("/duplicates/accept", data={"score": "10", "expected": "2"})).status_code == 400


async def test_customers_are_merged_field_by_field_and_parted_again(
    visit: Visits, people: list[int], query_counter: QueryCounter
) -> None:
    manager = await visit("manager")
    one, other = people[:2]
    query_counter.reset()
    assert (await manager.get(f"/customers/{other}/merge?with={one}")).status_code == 200
    assert query_counter.count <= 15, query_counter.statements
    empty = await manager.get(f"/customers/{one}/merge")
    assert "Pick who is the same" in empty.text
    shown = await manager.get(f"/customers/{one}/merge?with={other}")
    assert "&lt;b&gt;晨光" in shown.text
    assert f'name="field:phone" value="{other}"' in shown.text
    assert f'name="winner" value="{one}"' in shown.text
    turned = await manager.get(f"/customers/{one}/merge?with={other}&winner={other}")
    assert f'name="winner" value="{other}"' in turned.text
    body = {"winner": str(one), "with": [str(one), str(other)], "field:phone": str(other), "default:phone": str(one)}
    done = await manager.post(f"/customers/{one}/merge", data=body)
    assert (done.status_code, done.headers["location"]) == (303, f"/customers/{one}")
    landed = await manager.get("/duplicates")  # the toast is shown on whichever page comes next
    undo = re.search(r'action="(/merges/\d+/undo)"', landed.text)
    assert undo is not None
    merges = await manager.get(f"/customers/{one}/merges")
    assert undo[1] in merges.text
    assert (await manager.get(f"/api/v1/customers/{one}")).json()["phone"] == "13800138001"
    await manager.post(undo[1])
    assert (await manager.get(f"/api/v1/customers/{one}")).json()["phone"] == "13800138000"


async def test_what_cannot_be_merged_says_why_and_keeps_what_was_picked(
    visit: Visits, people: list[int], client: Any
) -> None:
    manager = await visit("manager")
    made = await client.post(
        "/api/v1/customers", json={"kind": "company", "name": "晨光", "identities": {"external_id": "co"}}
    )
    company = made.json()["id"]
    mixed = await manager.get(f"/customers/{people[0]}/merge?with={company}")
    assert mixed.status_code == 409
    assert "They are one all the same" in mixed.text
    assert (await manager.get(f"/customers/{people[0]}/merge?with={company}&mixed=1")).status_code == 200
    body = {"winner": str(people[0]), "with": [str(people[0]), str(people[1])]}
    stranger = await manager.post(f"/customers/{people[0]}/merge", data={**body, "field:name": str(people[2])})
    assert stranger.status_code == 422
    assert f'name="with" value="{people[1]}"' in stranger.text
    assert (await manager.post(f"/customers/{people[0]}/merge", data={"winner": "x"})).status_code == 400
    assert (await manager.get("/customers/999999/merge")).status_code == 404


async def test_the_customers_page_says_who_may_be_the_same(visit: Visits, people: list[int]) -> None:
    manager = await visit("manager")
    panel = await manager.part(f"/customers/{people[0]}/panels/pages.duplicates")
    assert f'href="/customers/{people[1]}"' in panel.text
    assert (await (await visit("agent")).part(f"/customers/{people[0]}/panels/pages.duplicates")).status_code == 403


async def test_all_are_compared_again(visit: Visits, people: list[int]) -> None:
    asked = await (await visit("manager")).post("/duplicates/scan")
    assert (asked.status_code, asked.headers["location"]) == (303, "/duplicates")
