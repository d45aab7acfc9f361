"""The sample company: always the same, invented throughout, and worth looking at."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from zhike import settings
from zhike._host.demo import company, setup
from zhike.events import ingest
from zhike.orm import Database
from zhike.testing.plugin import FrozenNow

CONFIG = settings.load(Path("unused"), {})
ZONE = ZoneInfo("Asia/Shanghai")
ANCHOR = date(2026, 3, 14)
NOW = datetime(2026, 3, 14, 8, tzinfo=UTC)


@pytest.fixture(scope="module")
def events() -> list[company.Item]:
    return company.events(ANCHOR, ZONE)


def test_the_same_arguments_give_the_same_events(events: list[company.Item]) -> None:
    assert company.events(ANCHOR, ZONE) == events
    assert company.events(ANCHOR, ZONE, seed=7) != events
    assert [item["message_id"] for item in company.events(ANCHOR + timedelta(days=1), ZONE)] != []


def test_it_spans_eighteen_months_that_end_yesterday(events: list[company.Item]) -> None:
    days = [datetime.fromisoformat(item["occurred_at"]).date() for item in events]
    assert days == sorted(days)
    assert ANCHOR - timedelta(days=549) < days[0] < ANCHOR - timedelta(days=540)
    assert ANCHOR - timedelta(days=3) < days[-1] < ANCHOR
    assert 28_000 < len(events) < 40_000
    assert len({item["message_id"] for item in events}) == len(events)


def test_it_has_customers_who_buy_and_a_singles_day(events: list[company.Item]) -> None:
    names = Counter(item["name"] for item in events)
    assert names["member.joined"] == company.CUSTOMERS
    assert names["order.paid"] > 4_000
    assert names["order.refunded"] > 100
    orders = Counter(item["occurred_at"][5:10] for item in events if item["name"] == "order.paid")
    assert orders.most_common(1)[0][0] in {"11-11", "06-18"}
    assert orders["11-11"] > 4 * sum(orders.values()) / 365


def test_nobody_real_can_be_reached(events: list[company.Item]) -> None:
    phones = {item["identities"]["phone"] for item in events if "phone" in item["identities"]}
    emails = {item["identities"]["email"] for item in events if "email" in item["identities"]}
    # No operator in China has numbers that begin with 154; example.com is reserved by RFC 2606.
    assert all(re.fullmatch(r"154\d{8}", phone) for phone in phones)
    assert all(email.endswith("@example.com") for email in emails)
    assert len(phones) > 1_500


async def test_it_is_imported_once_into_an_empty_database(database: Database) -> None:
    stored = await setup.import_company(database, CONFIG, NOW, customers=50)
    assert stored == len(company.events(ANCHOR, ZONE, customers=50))
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM customer WHERE merged_into IS NULL") == 50
        assert await connection.fetchval("SELECT count(*) FROM event WHERE behaviour AND live") == 0
    assert await setup.import_company(database, CONFIG, NOW + timedelta(days=1), customers=50) == 0
    assert await setup.first_token(database) is not None
    assert await setup.first_token(database) is None


async def test_a_company_with_customers_of_its_own_gets_neither_sample_nor_token(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute("INSERT INTO customer (name) VALUES ('自己的客户')")
    assert await setup.import_company(database, CONFIG, NOW, customers=50) == 0
    assert await setup.first_token(database) is None


async def test_an_interrupted_start_goes_on_with_the_same_events_on_another_day(
    database: Database, frozen_now: FrozenNow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "BATCH", 100)
    store = ingest.store
    calls = 0

    async def fail_at_the_third(*arguments: Any, **options: Any) -> ingest.Ingested:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise ConnectionResetError
        return await store(*arguments, **options)

    monkeypatch.setattr(ingest, "store", fail_at_the_third)
    with pytest.raises(ConnectionResetError):
        await setup.import_company(database, CONFIG, frozen_now(), customers=50)
    frozen_now.advance(days=2)
    expected = len(company.events(ANCHOR, ZONE, customers=50))
    assert await setup.import_company(database, CONFIG, frozen_now(), customers=50) == expected - 200
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM event WHERE behaviour") == expected
        actions = await connection.fetch("SELECT action, object FROM audit WHERE actor = 'command:demo' ORDER BY id")
    assert [tuple(row) for row in actions] == [("demo.begin", "demo:2026-03-14"), ("demo.end", "demo:2026-03-14")]
    assert await setup.import_company(database, CONFIG, frozen_now(), customers=50) == 0
