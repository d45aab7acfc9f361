"""R040: whoever picks up the phone sees who calls and what they looked at."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import httpx

    from conftest import As
    from zhike.testing.databases import QueryCounter
    from zhike.testing.plugin import Record
    from zhike.testing.visiting import Visits

PHONE = "13912345678"


@pytest.fixture
async def caller(record: Record) -> int:
    """A customer who has looked at something and bought something."""
    [event] = await record(
        {"name": "app.login", "identities": {"phone": PHONE}, "traits": {"name": "<script>王芳", "company": "晨光"}}
    )
    whose = {"phone": PHONE}
    await record({"name": "product.viewed", "identities": whose, "properties": {"title": "智能水杯<b>"}})
    await record({"name": "order.paid", "identities": whose, "amount": "199.00", "currency": "CNY"})
    return event.customer_id


async def test_r040_the_browsing_of_who_calls_pops_up(visit: Visits, caller: int, query_counter: QueryCounter) -> None:
    agent = await visit("admin")
    made = await agent.post("/tasks/new", data={"title": "Send <i>a quote", "customer": str(caller)})
    assert made.status_code == 303
    for number in (PHONE, "139 1234 5678", "+8613912345678", "%2B86-139-1234-5678"):
        query_counter.reset()
        page = await agent.get(f"/customers/lookup?phone={number}")
        assert f'<h2><a href="/customers/{caller}">&lt;script&gt;王芳</a></h2>' in page.text, number
    assert 0 < query_counter.count <= 15
    assert "智能水杯&lt;b&gt;" in page.text
    assert "¥199.00" in page.text
    assert "Send &lt;i&gt;a quote" in page.text
    assert f'href="/tasks/new?customer_id={caller}"' in page.text
    part = await agent.part(f"/customers/lookup?phone={PHONE}")
    assert part.text.strip().startswith('<div class="zk-stack" id="lookup">')


async def test_r040_it_opens_from_a_softphone_after_the_login(anonymous: httpx.AsyncClient) -> None:
    opened = await anonymous.get(f"/customers/lookup?phone={PHONE}", headers={"accept": "text/html"})
    assert opened.status_code == 303
    assert opened.headers["location"] == f"/login?next=%2Fcustomers%2Flookup%3Fphone%3D{PHONE}"


async def test_r040_several_are_listed_and_nobody_leads_to_a_new_customer(visit: Visits, record: Record) -> None:
    made = await record(
        *(
            {"name": "app.login", "identities": {"external_id": name}, "traits": {"name": name, "phone": PHONE}}
            for name in ("甲", "乙")
        )
    )
    admin, viewer = await visit("admin"), await visit("viewer")
    several = await admin.get(f"/customers/lookup?phone={PHONE}")
    assert "Several customers have this number" in several.text
    assert set(re.findall(r'href="/customers/(\d+)"', several.text)) == {str(event.customer_id) for event in made}
    nobody = await admin.get("/customers/lookup?phone=13900139000")
    assert 'href="/customers/new?phone=%2B8613900139000"' in nobody.text
    assert 'href="/customers"' in nobody.text
    assert "/customers/new?phone" not in (await viewer.get("/customers/lookup?phone=13900139000")).text


async def test_r040_what_is_no_number_says_so(visit: Visits) -> None:
    agent = await visit("agent")
    for number in ("12", "<script>x", "%00"):
        page = await agent.get(f"/customers/lookup?phone={number}")
        assert page.status_code == 400, number
        assert "<script>x" not in page.text


async def test_r040_masks_and_scopes_hold_and_a_lookup_is_audited(visit: Visits, acting: As, caller: int) -> None:
    await acting({"customers.read": "own"})
    viewer, agent, admin = await visit("viewer"), await visit("role-0"), await visit("admin")
    masked = await viewer.get(f"/customers/lookup?phone={PHONE}")
    assert "王芳" in masked.text
    assert "139 1234 5678" not in masked.text
    assert "/tasks/new" not in masked.text
    stranger = await agent.get(f"/customers/lookup?phone={PHONE}")
    assert "王芳" not in stranger.text
    assert "Nobody has this number" in stranger.text
    audited = await admin.get("/api/v1/audit?action=customer.lookup", headers={"accept": "application/json"})
    assert audited.json()["items"][0]["actor"] == f"user:{viewer.user_id}"
