"""Looking into events: a customer's timeline with filters, the log of all customers, its tail, and the types."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from zhike.access.actor import Actor
from zhike.contracts import EventType
from zhike.events import service
from zhike.events.telling import by_day, told
from zhike.i18n import text

API = "/api/v1"
T0 = datetime(2026, 3, 1, tzinfo=UTC)
READ = {"customers.read": "all", "events.read": "all"}


class Log:
    """Stores events and reads them."""

    def __init__(self, client: Any, platform: Any, record: Any, run: Any) -> None:
        self.client, self.platform, self._record, self.run = client, platform, record, run

    async def store(self, who: str, *events: tuple[str, dict[str, Any]]) -> int:
        """Store events of a customer, an hour apart, and return whose they are."""
        stored = await self._record(
            *(
                {"name": name, "identities": {"external_id": who}, "occurred_at": T0 + timedelta(hours=n), **more}
                for n, (name, more) in enumerate(events)
            )
        )
        return int(stored[0].customer_id)

    async def get(self, path: str, client: Any = None, status: int = 200, **query: Any) -> Any:
        answer = await (client or self.client).get(f"{API}/{path}", params=query)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def names(self, path: str, client: Any = None, **query: Any) -> list[str]:
        items = (await self.get(path, client, **query))["items"]
        return [each.get("event", each)["name"] for each in items]


@pytest.fixture
def log(client: Any, platform: Any, record: Any, run_until_idle: Any) -> Log:
    return Log(client, platform, record, run_until_idle)


SHOP = (
    ("page.view", {"properties": {"title": "青禾 100% 棉", "page": "/a"}, "source": "web"}),
    ("order.paid", {"amount": 128, "currency": "CNY", "properties": {"product": "茶杯", "n": 2}, "source": "app"}),
    ("page.view", {"properties": {"title": "茶壶"}, "source": "app"}),
)


async def test_a_timeline_is_filtered_and_turned_both_ways(log: Log) -> None:
    customer = await log.store("e1", *SHOP)
    path = f"customers/{customer}/events"
    assert await log.names(path) == ["customer.created", "page.view", "order.paid", "page.view"]
    assert await log.names(path, kind="behaviour", names="order.paid, customer.created") == ["order.paid"]
    assert await log.names(path, source="app") == ["page.view", "order.paid"]
    hours = {"since": (T0 + timedelta(hours=1)).isoformat(), "until": (T0 + timedelta(hours=2)).isoformat()}
    assert await log.names(path, **hours) == ["order.paid"]
    assert await log.names(path, q="茶") == ["page.view", "order.paid"]
    # What would be patterns are words here.
    assert (await log.names(path, q="100% 棉"), await log.names(path, q="1_0")) == (["page.view"], [])
    assert await log.names(path, q="customer CREATED") == ["customer.created"]
    first = await log.get(path, limit=2)
    assert (first["previous"], len(first["items"])) == (None, 2)
    second = await log.get(path, limit=2, cursor=first["next"])
    assert ([each["name"] for each in second["items"]], second["next"]) == (["order.paid", "page.view"], None)
    back = await log.get(path, limit=2, cursor=second["previous"])
    assert (back["items"], back["previous"]) == (first["items"], None)
    assert (await log.get(path, limit=2, cursor=back["next"]))["items"] == second["items"]
    newest = first["items"][0]
    assert (await log.get(path, limit=1, cursor=back["next"], source="app"))["items"][0]["source"] == "app"
    assert newest["label"] == "Customer created"
    await log.get(path, status=400, since="2026-03-01T00:00:00")
    await log.get(path, status=400, since="1900-03-01T00:00:00Z")


async def test_events_are_told_in_a_line(log: Log, platform: Any) -> None:
    class Paid(msgspec.Struct):
        n: int
        product: str = ""

    customer = await log.store(
        "e1",
        *SHOP,
        ("survey.sent", {"properties": {"z": {"score": 1}, "ok": True, "channel": "{0.__class__}", "a": ["x", "y"]}}),
        ("empty.one", {}),
        ("long.one", {"properties": {"text": "長" * 80}}),
    )
    types = platform.registry.event_types
    line = text("{product} × {n}, {amount} {currency} {missing}")
    types["order.paid"] = EventType(name="order.paid", kind="behaviour", label="Paid", summary=line)
    types["page.view"] = EventType(name="page.view", kind="behaviour", label=text("Customer created"), payload=Paid)
    db, registry = platform.db, platform.registry
    page = await service.timeline(db, Actor.command("test"), customer, registry=registry)
    events = {each.event.name: each for each in told(registry, page.items, "zh_CN")}
    assert (events["order.paid"].label, events["order.paid"].summary) == ("Paid", "茶杯 × 2, 128.00 CNY")
    assert (events["page.view"].label, events["page.view"].summary) == ("客户已创建", "青禾 100% 棉 · /a")
    assert events["survey.sent"].summary == "{0.__class__} · x, y · score"
    assert (events["empty.one"].label, events["empty.one"].summary) == ("empty.one", "")
    assert len(events["long.one"].summary) == 60
    days = by_day(told(registry, [each for each in page.items if each.kind == "behaviour"], "en"), ZoneInfo("UTC"))
    assert [(str(day.day), len(day.events)) for day in days] == [("2026-03-01", 6)]
    days = by_day(days[0].events, ZoneInfo("America/Los_Angeles"))
    assert [str(day.day) for day in days] == ["2026-02-28"]


async def test_the_log_of_all(log: Log, acting: Any) -> None:
    one = await log.store("e1", *SHOP)
    other = await log.store("e2", ("page.view", {"properties": {"title": "x"}}), ("cart.added", {"source": "web"}))
    items = (await log.get("events", limit=3))["items"]
    assert {each["customer_id"] for each in items} == {other}
    assert await log.names("events", names="cart.added") == ["cart.added"]
    assert await log.names("events", names="order.paid,cart.added", q="茶") == ["order.paid"]
    assert await log.names("events", customer_id=other, kind="behaviour") == ["cart.added", "page.view"]
    assert await log.names("events", identity="external_id:e1", names="order.paid") == ["order.paid"]
    assert await log.names("events", identity="external_id:nobody") == []
    assert await log.names("events", until=(T0 + timedelta(minutes=1)).isoformat()) == ["page.view", "page.view"]
    for query in ({}, {"names": "page.view"}):
        seen, cursor = [], None
        while True:
            page = await log.get("events", limit=2, **query, **({"cursor": cursor} if cursor else {}))
            seen += [each["event"]["id"] for each in page["items"]]
            if (cursor := page["next"]) is None:
                break
        assert len(seen) == len(set(seen)) == (3 if query else 7)
    await log.get("events", status=400, identity="phone:1")
    person = {"login": "ann", "name": "Ann", "role": "viewer", "password": "correct horse battery 7"}
    ann = (await log.client.post(f"{API}/users", json=person)).json()["id"]
    await log.client.patch(f"{API}/customers/{one}", json={"owner": ann, "name": "王芳"})
    own = await acting({"customers.read": "own", "events.read": "own"}, {"name": "mask", "phone": "mask"}, user=ann)
    assert sorted(set(await log.names("events", own, kind="behaviour"))) == ["order.paid", "page.view"]
    assert await log.names("events", own, names="cart.added") == []
    items = (await log.get("events", own, limit=1))["items"]
    assert items[0]["customer_name"] == "****"
    # What quotes fields that are masked is not found by them.
    assert "customer.updated" in await log.names("events", q="王芳")
    assert await log.names("events", own, q="王芳") == []
    assert await log.names("events", own, customer_id=one, q="茶杯") == ["order.paid"]
    assert (await log.get("events", own, 403, identity="phone:13800138000"))["code"] == "hidden"
    await log.get("events", await acting({"customers.read": "all"}), 403)


async def test_a_short_window_has_a_next_page(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    from zhike.events import explorer

    monkeypatch.setattr(explorer, "WINDOW", 3)
    await log.store("e1", ("rare.one", {}), *[("page.view", {})] * 8)
    found, pages, cursor = [], 0, None
    while True:
        page = await log.get("events", source="nowhere", **({"cursor": cursor} if cursor else {}))
        found, pages = found + page["items"], pages + 1
        if (cursor := page["next"]) is None:
            break
    assert (found, pages) == ([], 4)


async def test_the_tail(log: Log) -> None:
    await log.store("e1", *SHOP)
    await log.run()
    start = (await log.get("events/tail"))["position"]
    assert (await log.get("events/tail", position=start)) == {"position": start, "items": []}
    await log.store("e2", ("cart.added", {}), ("page.view", {}))
    assert (await log.get("events/tail", position=start))["items"] == []  # not placed in the log yet
    await log.run()
    tail = await log.get("events/tail", position=start, kind="behaviour")
    assert ([each["event"]["name"] for each in tail["items"]], tail["position"] > start) == (
        ["page.view", "cart.added"],
        True,
    )
    assert await log.names("events/tail", position=start, names="cart.added") == ["cart.added"]
    assert await log.names("events/tail", position=start, limit=1, kind="behaviour") == ["page.view"]


async def test_types_and_their_properties(log: Log, platform: Any, acting: Any, query_counter: Any) -> None:
    await log.store("e1", *SHOP, *[("page.view", {"properties": {"title": None, "vip": True}})] * 2)
    figures = {each["name"]: each for each in (await log.get("events/types/figures"))["items"]}
    view, created = figures["page.view"], figures["customer.created"]
    assert (view["count"], view["about"], view["registered_by"], view["kind"]) == (4, False, None, "behaviour")
    assert view["last_at"] == (T0 + timedelta(hours=4)).isoformat().replace("+00:00", "Z")
    assert (created["registered_by"], created["label"]) == ("customers", "Customer created")
    page = await log.get("events/types/figures", limit=1)
    assert (await log.get("events/types/figures", cursor=page["next"]))["items"][0]["name"] > page["items"][0]["name"]
    told_ = await log.get("events/types/page.view/properties")
    assert told_["sample"] == 4
    assert told_["properties"][0] == {"name": "title", "types": ["null", "text"], "share": 1.0, "example": "茶壶"}
    assert told_["properties"][-1] == {"name": "page", "types": ["text"], "share": 0.25, "example": "/a"}
    masked = await acting(READ, {"phone": "mask"})
    shown = await log.get("events/types/order.paid/properties", masked)
    assert {each["name"]: each["example"] for each in shown["properties"]} == {"product": "****", "n": "2"}
    own = await acting({"customers.read": "own", "events.read": "own"})
    assert {each["count"] for each in (await log.get("events/types/figures", own))["items"]} == {None}
    await log.get("events/types/page.view/properties", own, 404)
