"""Reading what ingest stored: customers by id, identity and age, timelines, event types."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from zhike.access.actor import Actor
from zhike.customers import service as customers
from zhike.errors import BadRequest, NotFound
from zhike.events import service as events
from zhike.events.ingest import store
from zhike.events.schemas import CheckedEvent
from zhike.ids import new_message_id
from zhike.orm import Database

NOW = datetime(2026, 3, 14, 8, tzinfo=UTC)
ACTOR = Actor.command("test")
NOBODY = Actor(kind="token", id=1, name="n", role="none", permissions=frozenset())


def event(identities: list[tuple[str, str]], traits: dict[str, Any] | None = None, **fields: Any) -> CheckedEvent:
    given = {"index": 0, "name": "page.view", "message_id": new_message_id(), "occurred_at": NOW} | fields
    return CheckedEvent(**given, identities=identities, traits=traits)


async def put(database: Database, *given: CheckedEvent) -> None:
    async with database.transaction() as connection:
        await store(connection, given, origin="token:7", live=True, now=NOW)


async def ids(database: Database, **options: Any) -> list[int]:
    return [customer.id for customer in (await customers.list_(database, ACTOR, **options)).items]


async def test_a_customer_has_its_columns_identities_and_attributes(database: Database, query_counter: Any) -> None:
    identities = [("external_id", "x"), ("phone", "+8613800138000"), ("device_id", "d2")]
    await put(database, event(identities, {"name": "安", "city": "上海", "age": 3}), event([("device_id", "d1")]))
    await put(database, event([("external_id", "x"), ("device_id", "d1")]))
    query_counter.reset()
    customer = await customers.get(database, ACTOR, 1)
    assert query_counter.count == 1
    assert msgspec.json.decode(msgspec.json.encode(customer)) == {
        "id": 1,
        "kind": "person",
        "name": "安",
        "phone": "+8613800138000",
        "email": None,
        "company": None,
        "stage": None,
        "owner": None,
        "team": None,
        "identities": {"external_id": ["x"], "phone": ["+8613800138000"], "device_id": ["d1", "d2"]},
        "attributes": {"age": 3, "city": "上海"},
        "created_at": "2026-03-14T08:00:00Z",
        "updated_at": "2026-03-14T08:00:00Z",
    }
    assert list(customer.identities) == ["external_id", "phone", "device_id"]


async def test_a_losers_id_answers_with_the_winner(database: Database) -> None:
    await put(database, event([("anonymous_id", "a")]), event([("device_id", "d")]), event([("phone", "+861")]))
    await put(database, event([("device_id", "d"), ("anonymous_id", "a")]))
    await put(database, event([("phone", "+861"), ("device_id", "d")]))
    for customer_id in (1, 2, 3):
        assert (await customers.get(database, ACTOR, customer_id)).id == 3
        page = await events.timeline(database, ACTOR, customer_id)
        assert [one.name for one in page.items].count("page.view") == 5
    assert await ids(database) == [3]


async def test_what_is_not_there_or_not_seen_is_not_found(database: Database) -> None:
    await put(database, event([("phone", "+861")]))
    for actor, customer_id in ((ACTOR, 2), (NOBODY, 1)):
        with pytest.raises(NotFound):
            await customers.get(database, actor, customer_id)
        with pytest.raises(NotFound):
            await events.timeline(database, actor, customer_id)
    assert (await customers.list_(database, NOBODY)).items == []
    assert (await customers.list_(database, NOBODY, q="+861")).items == []


async def test_the_list_is_paged_newest_first(database: Database, query_counter: Any) -> None:
    await put(database, *[event([("external_id", str(n)), ("device_id", str(n))]) for n in range(7)])
    seen, cursor = [], None
    while True:
        query_counter.reset()
        page = await customers.list_(database, ACTOR, limit=3, cursor=cursor)
        assert query_counter.count == 1
        seen.append([customer.id for customer in page.items])
        await put(database, event([("external_id", f"later {len(seen)}")]))
        if (cursor := page.next) is None:
            break
    assert seen == [[7, 6, 5], [4, 3, 2], [1]]
    assert all(customer.identities for customer in (await customers.list_(database, ACTOR)).items)


QUERIES = {
    "138 0013 8000": [1],
    "+86-138-0013-8000": [1],
    "Ann@Example.com": [1],
    "ann@example.com ": [1],
    "x1": [3, 2],
    "X1": [],
    "m-77": [3],
    "d": [1],
    "nobody": [],
    "\x00": [],
    "\ud83d": [],
    "' OR 1=1 --": [],
    "x" * 1000: [],
    "": [3, 2, 1],
}


async def test_q_finds_exact_identities_in_every_namespace(shop: Database) -> None:
    assert {q: await ids(shop, q=q) for q in QUERIES} == QUERIES


@pytest.fixture
async def shop(database: Database) -> Database:
    await put(
        database,
        event([("phone", "+8613800138000"), ("email", "ann@example.com"), ("device_id", "d")]),
        event([("external_id", "x1")]),
        event([("member_no", "x1"), ("zz_card", "m-77")]),
    )
    return database


async def test_a_timeline_is_paged_by_time(database: Database) -> None:
    minutes = [3, 1, 2, 2, 2, 0]
    await put(
        database,
        *[
            event([("phone", "+861")], occurred_at=NOW - timedelta(days=1, minutes=minute), message_id=f"{n}")
            for n, minute in enumerate(minutes)
        ],
        event([("phone", "+862")]),
    )
    seen: list[str] = []
    cursor = None
    pages = 0
    while True:
        page = await events.timeline(database, ACTOR, 1, limit=2, cursor=cursor)
        seen += [one.message_id for one in page.items if one.kind == "behaviour"]
        pages += 1
        if (cursor := page.next) is None:
            break
    # Those of one instant follow the log, backwards.
    assert (seen, pages) == (["5", "1", "4", "3", "2", "0"], 4)


async def test_an_event_is_shown_in_major_units_with_its_properties_unparsed(database: Database) -> None:
    await put(
        database,
        event(
            [("phone", "+861")],
            name="order.paid",
            message_id="m",
            amount=1230,
            currency="CNY",
            properties='{"price": 12345678901234567890.10}',
            source="shop",
        ),
        event([("phone", "+861")], name="order.paid", amount=-7, currency="JPY"),
    )
    page = await events.timeline(database, ACTOR, 1)
    other, shown, created = page.items
    assert (shown.amount, shown.currency, other.amount) == (Decimal("12.30"), "CNY", Decimal(-7))
    assert bytes(shown.properties) == b'{"price": 12345678901234567890.10}'
    assert (shown.name, shown.kind, shown.source, shown.origin, shown.live) == (
        "order.paid", "behaviour", "shop", "token:7", True,
    )  # fmt: skip
    assert (created.name, created.kind, created.amount, created.currency) == (
        "customer.created",
        "platform",
        None,
        None,
    )


async def test_event_types_are_listed_by_name(database: Database) -> None:
    await put(database, *[event([("phone", "+861")], name=name) for name in ("b", "a", "B", "b")])
    first = await events.types(database, ACTOR, limit=3)
    second = await events.types(database, ACTOR, limit=3, cursor=first.next)
    names = [(one.name, one.kind) for one in [*first.items, *second.items]]
    assert names == [("B", "behaviour"), ("a", "behaviour"), ("b", "behaviour"), ("customer.created", "platform")]
    assert second.next is None


async def test_cursors_work_only_in_their_own_list(shop: Database) -> None:
    await put(shop, *[event([("external_id", "x1")]) for _ in range(3)])
    page = await customers.list_(shop, ACTOR, limit=1, key=b"k")
    timeline = await events.timeline(shop, ACTOR, 2, limit=1, key=b"k")
    for cursor, key in ((page.next, b"other"), (timeline.next, b"k"), ("", b"k"), ("x" * 3000, b"k"), ("é", b"k")):
        with pytest.raises(BadRequest):
            await customers.list_(shop, ACTOR, cursor=cursor, key=key)
    for cursor in (page.next, timeline.next):
        with pytest.raises(BadRequest):
            await events.timeline(shop, ACTOR, 1, cursor=cursor, key=b"k")
