"""The explorer of events and the pages about their types: what is found, what a reader may see, what is told of it."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import As
    from zhike.contracts import RecordedEvent
    from zhike.testing.databases import QueryCounter
    from zhike.testing.plugin import Record, RunUntilIdle
    from zhike.testing.visiting import Visits

PAID = {"name": "order.paid", "identities": {"phone": "13800138000"}, "amount": "99.50", "message_id": "m-paid"}


@pytest.fixture
async def log(record: Record) -> list[RecordedEvent]:
    """Two customers and three events."""
    return await record(
        {
            **PAID,
            "traits": {"name": "王芳"},
            "source": "taobao",
            "properties": {"sku": "A-1", "lines": [{"sku": "A-1", "n": 2}], "<b>": "<script>alert(1)</script>"},
        },
        {"name": "page.viewed", "identities": {"external_id": "c2"}, "traits": {"name": "<script>x"}, "source": "web"},
        {"name": "page.viewed", "identities": {"phone": "13800138000"}, "properties": {"url": "/tea"}},
    )


def shown(text: str) -> list[int]:
    return [int(number) for number in re.findall(r'data-row="(\d+)"', text)]


async def test_the_log_is_listed_and_narrowed(visit: Visits, log: list[RecordedEvent]) -> None:
    admin = await visit("admin")
    everything = await admin.get("/events?kind=behaviour")
    paid, other, viewed = (event.id for event in log)
    assert sorted(shown(everything.text)) == sorted([paid, other, viewed])
    assert "&lt;script&gt;x" in everything.text
    assert "<script>x" not in everything.text
    for query, expected in {
        "names=order.paid": {paid},
        "source=web": {other},
        "identity=13800138000&kind=behaviour": {paid, viewed},
        "identity=external_id:c2&kind=behaviour": {other},
        f"customer_id={log[0].customer_id}&kind=behaviour": {paid, viewed},
        "q=tea": {viewed},
        "q=A-1": {paid},
        "when_to=2001-01-01": set(),
    }.items():
        assert set(shown((await admin.get(f"/events?{query}")).text)) == expected, query
    part = await admin.part("/events?names=page.viewed")
    assert part.text.strip().startswith('<section class="card zk-table" id="events"')


async def test_an_event_unfolds_and_is_a_page(visit: Visits, log: list[RecordedEvent]) -> None:
    admin = await visit("admin")
    part = await admin.part("/events/event?id=m-paid")
    assert "<html" not in part.text
    for said in ("A-1", "&lt;script&gt;alert(1)", "&lt;b&gt;", "m-paid", "taobao"):
        assert said in part.text, said
    assert "<script>alert" not in part.text
    assert "<html" in (await admin.get("/events/event?id=m-paid")).text
    assert (await admin.get("/events/event?id=elsewhere")).status_code == 404
    assert (await admin.get("/events/event")).status_code == 400


async def test_new_events_come_by_the_tail(
    visit: Visits, log: list[RecordedEvent], record: Record, run_until_idle: RunUntilIdle
) -> None:
    admin = await visit("admin")
    await run_until_idle()
    page = await admin.get("/events?live=1&source=web")
    widget = re.search(r'data-url="([^"]+)" data-position="(\d+)"', page.text)
    assert widget is not None
    address = f"{widget[1]}&position={widget[2]}"
    nothing = await admin.part(address)
    assert (shown(nothing.text), widget[2] in nothing.text) == ([], True)
    new = await record(
        {"name": "page.viewed", "identities": {"external_id": "c2"}, "source": "web"},
        {"name": "page.viewed", "identities": {"external_id": "c2"}, "source": "shop"},
    )
    await run_until_idle()
    news = await admin.part(address)
    assert shown(news.text) == [new[0].id]
    assert int(re.findall(r'data-position="(\d+)"', news.text)[0]) > int(widget[2])
    assert 'data-widget="tail"' not in (await admin.get("/events")).text


async def test_a_reader_sees_masks(visit: Visits, log: list[RecordedEvent]) -> None:
    viewer = await visit("viewer")
    created = await viewer.get("/events?names=customer.created")
    assert len(shown(created.text)) == 2
    for address in re.findall(r'data-unfold="([^"]+)"', created.text):
        details = await viewer.part(address.replace("&amp;", "&"))
        assert details.status_code == 200
        assert "13800138000" not in details.text
    assert (await viewer.get("/events?identity=13800138000")).status_code == 403
    page = await viewer.get("/events/types/order.paid")
    assert 'title="****">****' in page.text
    assert 'title="A-1">A-1' not in page.text


async def test_types_are_told_with_their_properties(visit: Visits, log: list[RecordedEvent]) -> None:
    admin = await visit("admin")
    types = await admin.get("/events/types")
    rows = dict(re.findall(r'<a href="/events/types/([\w.]+)">.*?</a></td>(.*?)</tr>', types.text, re.DOTALL))
    assert {"order.paid", "page.viewed", "customer.merged"} <= rows.keys()
    assert re.search(r">\s*2\s*<", rows["page.viewed"])
    page = await admin.get("/events/types/order.paid")
    for said in ("sku", "A-1", "lines", "&lt;b&gt;", "王芳", "/customers?condition="):
        assert said in page.text, said
    assert "<script>alert" not in page.text
    unseen = await admin.get("/events/types/customer.merged")
    assert unseen.status_code == 200
    assert "/customers?condition=" not in unseen.text
    assert (await admin.get("/events/types/nobody.knows")).status_code == 404


async def test_a_type_that_was_seen_is_listed_once_however_many_there_are(
    visit: Visits, log: list[RecordedEvent], record: Record
) -> None:
    admin = await visit("admin")
    await record(*({"name": f"z.n{n}", "identities": {"external_id": "c1"}} for n in range(120)))
    first = (await admin.get("/events/types")).text
    [rest] = re.findall(r'href="([^"]*cursor=[^"]*)"', first)
    second = (await admin.get(html.unescape(rest))).text
    names = [re.findall(r'<a href="/events/types/([\w.]+)">', page) for page in (first, second)]
    assert "customer.created" in names[0]
    assert not set(names[0]) & set(names[1])


async def test_a_bad_address_says_what_is_wrong(visit: Visits) -> None:
    admin = await visit("admin")
    for path, status in {
        "/events?kind=dog": 400,
        "/events?customer_id=x": 400,
        "/events?customer_id=0": 400,
        "/events?when_from=yesterday": 400,
        "/events?when_to=9999-12-31": 422,
        "/events?when_from=0001-01-01": 422,
        "/events?cursor=elsewhere": 400,
        "/events?identity=:x": 422,
        "/events?q=%00": 400,
        "/events?q=" + "x" * 201: 400,
        "/events/tail?position=-1": 400,
        "/events/tail?position=99999999999999999999": 400,
        "/events/types?cursor=elsewhere": 400,
        "/events?utm_source=mail": 200,
    }.items():
        assert (await admin.get(path)).status_code == status, path


async def test_what_was_typed_stays_when_it_does_not_fit(visit: Visits, log: list[RecordedEvent]) -> None:
    admin = await visit("admin")
    page = await admin.get("/events?identity=phone:12&source=web")
    assert page.status_code == 422
    assert 'value="phone:12"' in page.text
    assert 'value="web"' in page.text


async def test_an_empty_log_says_how_to_send_the_first_event(visit: Visits) -> None:
    admin = await visit("admin")
    page = await admin.get("/events")
    assert "curl http://zhike/api/v1/events" in page.text
    assert "zhike demo" in page.text
    narrowed = await admin.get("/events?source=web")
    assert "curl" not in narrowed.text


async def test_the_pages_take_few_statements(
    visit: Visits, log: list[RecordedEvent], query_counter: QueryCounter
) -> None:
    admin = await visit("admin")
    await admin.get("/events")
    for path in ("?live=1&names=order.paid", "/event?id=m-paid", "/types", "/types/order.paid"):
        query_counter.reset()
        assert (await admin.get(f"/events{path}")).status_code == 200
        assert query_counter.count <= 15, path


async def test_the_home_page_draws_the_last_days_for_those_who_see_everybody(
    visit: Visits, log: list[RecordedEvent], acting: As
) -> None:
    admin = await visit("admin")
    assert 'data-panel="pages.trend"' in (await admin.get("/")).text
    panel = await admin.part("/start/panels/pages.trend")
    figures = re.findall(r'zk-tile-label">([^<]+)</span><span class="zk-tile-value">(\d+)<', panel.text)
    assert figures == [("New customers", "2"), ("Order paid", "1")]
    assert panel.text.count("<rect") == 2 * 30
    await acting({"customers.read": "all", "events.read": "team"})
    limited = await visit("role-0")
    assert "pages.trend" not in (await limited.get("/")).text
    assert (await limited.part("/start/panels/pages.trend")).status_code == 403
